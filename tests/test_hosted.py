"""The course on other machines: Colab, Kaggle, Binder, a container, and its site on GitHub Pages."""

import json
import os
import re
import shutil
import site
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import nbformat
import pytest
import yaml

from figures import blocks, hosted

ROOT = Path(__file__).parents[1]
sys.path.append(str(ROOT / "docs" / "site"))

import downloads  # noqa: E402

ADDRESS = "https://github.com/someone/alrp_ref"
NOTEBOOK = ROOT / "notebooks" / "07_self_balance.ipynb"
NAMED = ("-c", "user.name=a reader", "-c", "user.email=reader@example.com")


@pytest.mark.parametrize("host", ["/content", "/kaggle/input"])
def test_the_first_cell_finds_the_source(tmp_path, monkeypatch, host):
    """Unpacked from a zip file, or as a folder in a folder; the command that follows is pip's."""
    page = (ROOT / "docs" / "hosted.md").read_text(encoding="utf-8")
    cell, command = re.search(r"```python\n(.*?)\n(%pip [^\n]*)\n```", page, re.S).groups()
    place = tmp_path / "host" / "uploaded"
    place.mkdir(parents=True)
    (place / "pyproject.toml").write_text('name = "another"')
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    if host == "/content":
        with zipfile.ZipFile(tmp_path / "host" / "alrp_ref-main.zip", "w") as archive:
            archive.writestr("alrp_ref-main/pyproject.toml", text)
    else:
        (place / "alrp_ref").mkdir()
        (place / "alrp_ref" / "pyproject.toml").write_text(text)
    monkeypatch.chdir(tmp_path)
    found = {}
    exec(cell.replace(host, str(tmp_path / "host")), found)
    assert (found["source"] / "pyproject.toml").read_text() == text
    assert command == "%pip install --no-deps {source}"


def test_the_files_of_other_hosts_ask_for_what_there_is():
    """An extra of pyproject.toml, and a command of the Makefile; Binder takes torch for CPUs."""
    requirements = (ROOT / ".binder" / "requirements.txt").read_text()
    assert "\n.[notebooks]\n" in requirements and "\nnotebooks = [" in (ROOT / "pyproject.toml").read_text()
    assert "\n--extra-index-url https://download.pytorch.org/whl/cpu\n" in requirements
    container = json.loads((ROOT / ".devcontainer" / "devcontainer.json").read_text())
    assert container["postCreateCommand"].startswith("make install PIP_FLAGS=")


def test_one_setting_gives_all_addresses(tmp_path, monkeypatch):
    """`Repository` in pyproject.toml gives those of the site, Colab and Binder; another form of it is an error."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    monkeypatch.setattr(hosted, "PYPROJECT", tmp_path / "pyproject.toml")

    def setting(line: str) -> hosted.Host | None:
        own = re.sub(r"^Repository = .*\n", "", text, flags=re.M)
        hosted.PYPROJECT.write_text(own.replace("[project.urls]\n", f"[project.urls]\n{line}\n"), encoding="utf-8")
        return hosted.host()

    assert setting("") is None and setting('Repository = ""') is None
    host = setting(f'Repository = "{ADDRESS}"')
    assert host.site == "https://someone.github.io/alrp_ref/"
    assert host.colab("a.ipynb").endswith("/github/someone/alrp_ref/blob/gh-pages/notebooks/a.ipynb")
    assert host.binder("a.ipynb").endswith("/gh/someone/alrp_ref/HEAD?labpath=notebooks/a.ipynb")
    with pytest.raises(ValueError, match="Repository must be https"):
        setting('Repository = "git@github.com:someone/alrp_ref"')


@pytest.mark.parametrize("page", ["readme", "landing"])
def test_pages_name_the_site_where_it_has_an_address(page, monkeypatch):
    """README and the first page of the site name it below their titles, and README stays short; or nothing shows."""
    monkeypatch.setattr(hosted, "repository", lambda: None)
    assert blocks.filled(page).splitlines()[1:3] == ["<!-- results: address -->", "<!-- end of results -->"]
    monkeypatch.setattr(hosted, "repository", lambda: ADDRESS)
    lines = blocks.filled(page).splitlines()
    assert hosted.host().site in lines[2]
    assert page != "readme" or len(lines) < 150


def repository(folder: Path, *names: str) -> Path:
    """A repository of git with some of our files."""
    unread = shutil.ignore_patterns("__pycache__", "*.npz", "*.ipynb")
    for name in names:
        source, target = ROOT / name, folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(source, target, ignore=unread) if source.is_dir() else shutil.copy(source, target)
    for command in (["init", "-b", "main"], ["add", "."], [*NAMED, "commit", "-m", "ours"]):
        subprocess.run(["git", *command], cwd=folder, check=True, capture_output=True)
    return folder


def imported() -> set[str]:
    """The modules that the notebooks import, without the folders that lie beside theirs."""
    paths = (ROOT / "notebooks").glob("*.ipynb")
    code = "\n".join(c.source for p in paths for c in nbformat.read(p, 4).cells if c.cell_type == "code")
    names = set(re.findall(r"^(?:import|from) (\w+)", code, re.MULTILINE))
    return {name for name in names if not (ROOT / name).is_dir()}


def test_the_first_cell_of_a_downloaded_notebook_fetches_the_course(tmp_path):
    """In an empty folder it clones and installs alrp_ref, and no torch; then all that notebooks import is found."""
    source = repository(tmp_path / "source", "alrp_ref", "notebooks", ".ci", "pyproject.toml", "LICENSE")
    downloads.write(NOTEBOOK, tmp_path, hosted.Host(ADDRESS))
    cell = nbformat.read(tmp_path / NOTEBOOK.name, 4).cells[1].source.replace(ADDRESS, source.as_uri())
    shown = f"""
from importlib.util import find_spec
print(find_spec("alrp_ref").origin, os.getcwd(), [name for name in {sorted(imported())} if not find_spec(name)])"""
    empty = tmp_path / "empty"
    empty.mkdir()
    (empty / "cells.ipy").write_text(cell + shown, encoding="utf-8")

    # A Python of its own, as a host has it: with all packages of this one but alrp_ref. Its pip may not use a network.
    venv.create(tmp_path / "python")
    python = tmp_path / "python" / "bin" / "python"
    own = subprocess.check_output([python, "-c", "import site; print(site.getsitepackages()[0])"], text=True).strip()
    Path(own, "there.pth").write_text("\n".join(site.getsitepackages()))
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    env |= {"PIP_NO_INDEX": "1", "PIP_NO_BUILD_ISOLATION": "0", "IPYTHONDIR": str(tmp_path)}
    command = [python, "-m", "IPython", "cells.ipy"]
    run = subprocess.run(command, cwd=empty, env=env, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr
    clone = empty / "alrp_ref" / "notebooks"
    assert run.stdout.splitlines()[-1] == f"{own}/alrp_ref/__init__.py {clone} []"
    assert {path.name.partition("-")[0] for path in Path(own).glob("*.dist-info")} == {"alrp_ref"}


def test_the_cell_that_fetches_does_nothing_within_the_course(tmp_path, monkeypatch):
    """Beside course.py it neither clones nor installs nor changes the folder."""
    (tmp_path / "course.py").touch()
    monkeypatch.chdir(tmp_path)
    called, path = [], [*sys.path]
    cell = re.sub(r"^( *)!(.*)$", r"\1called.append('''\2''')", downloads.FETCH, flags=re.M)
    exec(cell, {"called": called})
    assert called == [] and sys.path == path and Path.cwd() == tmp_path
    (tmp_path / "course.py").unlink()
    with pytest.raises(FileNotFoundError, match="alrp_ref/notebooks"):
        exec(cell, {"called": called})
    assert len(called) == 1


def test_a_downloaded_notebook_has_no_relative_link():
    """A picture and a page lead to the repository, another chapter to Colab, and other addresses stay."""
    host = hosted.Host(ADDRESS)
    text = "![where](where/07.svg) [claim](../figures/claim.md) [next](08.ipynb) [paper](https://arxiv.org) [here](#a)"
    assert downloads.with_addresses(text, host).split() == [
        f"![where]({ADDRESS}/raw/HEAD/notebooks/where/07.svg)",
        f"[claim]({ADDRESS}/blob/HEAD/notebooks/../figures/claim.md)",
        f"[next]({host.colab('08.ipynb')})",
        "[paper](https://arxiv.org)",
        "[here](#a)",
    ]


@pytest.fixture
def steps() -> dict[str, dict]:
    """The steps of the workflow that run a command, by name."""
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "site.yml").read_text(encoding="utf-8"))
    (job,) = workflow["jobs"].values()
    return {step["name"]: step for step in job["steps"] if "run" in step}


def test_the_workflow_tests_before_it_publishes(steps, tmp_path):
    """Its steps are commands of the Makefile, the build that `make site` runs, and last the one that publishes."""
    assert [*steps] == ["Install", "Test", "Build", "Publish"]
    assert steps["Publish"]["if"] == "github.ref_name == github.event.repository.default_branch"
    shutil.copy(ROOT / "Makefile", tmp_path)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    would_run = {}
    for name in ("Install", "Test"):
        command = steps[name]["run"].replace("make ", "make --dry-run ", 1)
        would_run[name] = subprocess.check_output(["bash", "-ec", command], text=True, cwd=tmp_path)
    assert "--extra-index-url https://download.pytorch.org/whl/cpu -e '.[all]'" in would_run["Install"]
    assert "-m pytest" in would_run["Test"] and "--nbval" in would_run["Test"]
    site = subprocess.check_output(["make", "--dry-run", "--no-print-directory", "site"], text=True, cwd=tmp_path)
    assert site.splitlines()[-1] == steps["Build"]["run"]


def test_the_workflow_publishes_the_site_and_nothing_else(steps, tmp_path):
    """After two runs the branch gh-pages of the origin has one commit, the second site; main is as it was."""
    origin, git = tmp_path / "origin", ["git", "-C", str(tmp_path / "origin")]
    main = repository(tmp_path / "source", ".gitignore", "LICENSE")
    subprocess.run(["git", "clone", "--quiet", "--bare", main, origin], check=True)
    before = subprocess.check_output([*git, "rev-parse", "main"])
    for run, pages in enumerate((["index.html", "old.html"], ["index.html", "_static/style.css", "build/a.html"])):
        checkout = tmp_path / f"checkout{run}"
        subprocess.run(["git", "clone", "--quiet", origin, checkout], check=True)
        for page in pages:
            (checkout / "site" / page).parent.mkdir(parents=True, exist_ok=True)
            (checkout / "site" / page).write_text(page)
        env = {**os.environ, "GITHUB_SHA": "abc"}
        subprocess.run(
            ["bash", "-e", "-c", steps["Publish"]["run"]], cwd=checkout, env=env, check=True, capture_output=True
        )
    published = subprocess.check_output([*git, "ls-tree", "-r", "--name-only", "gh-pages"], text=True)
    assert published.splitlines() == [".nojekyll", "_static/style.css", "build/a.html", "index.html"]
    assert subprocess.check_output([*git, "rev-list", "--count", "gh-pages"]) == b"1\n"
    assert subprocess.check_output([*git, "rev-parse", "main"]) == before
