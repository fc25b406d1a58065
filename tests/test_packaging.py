"""What `python -m build` makes: a wheel that can be verified anywhere, and an sdist that is the whole repository."""

import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

import alrp_ref

ROOT = Path(__file__).parents[1]

VECTORS = {f"alrp_ref/verification/official_{name}_cases.npz" for name in ("loss", "rank_sort")}


def python(*command: str, cwd: Path, **env: str) -> str:
    """The output of a Python that sees none of this checkout. Fails with it if the exit code is not 0."""
    env = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"} | env
    run = subprocess.run([sys.executable, *command], capture_output=True, text=True, cwd=cwd, env=env)
    assert run.returncode == 0, run.stdout + run.stderr
    return run.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    """A folder with sdist and wheel. The wheel is made from the sdist, so that nothing else can be in it."""
    pytest.importorskip("build")
    folder = tmp_path_factory.mktemp("built")
    source = folder / "source"
    ours = shutil.ignore_patterns(".git", ".venv", "runs", "build", "dist", "*.egg-info", "__pycache__", ".*_cache")
    shutil.copytree(ROOT, source, ignore=ours)
    python("-m", "build", "--no-isolation", "--outdir", str(folder / "dist"), str(source), cwd=folder)
    return folder / "dist"


def test_the_wheel_holds_the_package_alone(built):
    """All modules, the official lists and py.typed are in the wheel, and nothing else but its metadata."""
    (wheel,) = built.glob("*.whl")
    held = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    modules = {str(path.relative_to(ROOT)) for path in (ROOT / "alrp_ref").rglob("*.py")}
    assert held == modules | {"alrp_ref/py.typed", *VECTORS}


def test_the_sdist_is_the_repository(built):
    """Each file that git tracks is in the sdist: tests with their data, notebooks, figures, examples."""
    git = subprocess.run(["git", "ls-files"], capture_output=True, text=True, cwd=ROOT)
    if git.returncode:
        pytest.skip("needs a clone: git ls-files tells what belongs to it")
    (sdist,) = built.glob("*.tar.gz")
    held = {name.partition("/")[2] for name in tarfile.open(sdist).getnames()}
    assert set(git.stdout.splitlines()) <= held


def test_the_metadata_are_those_of_an_index_page(built):
    """`twine check` passes; version, authors and addresses are there, and no link or picture leads to a file."""
    pytest.importorskip("twine")
    python("-m", "twine", "check", "--strict", *map(str, built.iterdir()), cwd=built)
    (wheel,) = built.glob("*.whl")
    name = next(name for name in zipfile.ZipFile(wheel).namelist() if name.endswith("/METADATA"))
    fields, text = zipfile.ZipFile(wheel).read(name).decode().split("\n\n", 1)
    assert f"\nVersion: {alrp_ref.__version__}\n" in fields
    assert {"Author", "Keywords", "Project-URL"} <= {line.partition(":")[0] for line in fields.splitlines()}
    links = re.findall(r"\]\(([^)]+)\)", text)
    assert links and all(link.startswith("https://") for link in links)


def test_an_installed_wheel_verifies_itself(built, tmp_path):
    """In an empty folder, away from the clone, `alrp verify` finds every number within its bound."""
    pytest.importorskip("pip")
    (wheel,) = built.glob("*.whl")
    installed, away = tmp_path / "installed", tmp_path / "away"
    away.mkdir()
    python("-m", "pip", "install", "--quiet", "--no-deps", "--target", str(installed), str(wheel), cwd=away)
    code = "import sys, alrp_ref, alrp_ref.cli; print(alrp_ref.__file__); sys.exit(alrp_ref.cli.main(['verify']))"
    place, _, report = python("-c", code, cwd=away, PYTHONPATH=str(installed), OMP_NUM_THREADS="1").partition("\n")
    assert place.startswith(str(installed))
    assert f"alrp_ref {alrp_ref.__version__}" in report
    assert "official aLRP Loss                  162" in report
    assert "every number is within its bound" in report


def test_a_read_only_folder_can_be_installed_from(tmp_path):
    """As on Kaggle, which mounts what one uploads so: a wheel is made, and nothing is left beside the source."""
    source, wheels = tmp_path / "source", tmp_path / "wheels"
    source.mkdir()
    mounts = [["--bind", str(ROOT), str(source)], ["-o", "remount,ro,bind", str(source)]]
    if not sys.platform.startswith("linux") or any(
        subprocess.run(["mount", *one], capture_output=True).returncode for one in mounts
    ):
        pytest.skip("needs the right to mount a folder")
    try:
        python("-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "-w", str(wheels), str(source), cwd=tmp_path)
    finally:
        subprocess.run(["umount", str(source)], check=True)
    (wheel,) = wheels.glob("alrp_ref-*.whl")
    assert {"alrp_ref/cli.py", *VECTORS} <= set(zipfile.ZipFile(wheel).namelist())
