"""What holds for the project as a whole: its layers, its sizes, its set-up and what its README says."""

import ast
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "alrp_ref"
PAPER = ("ranking", "step_matrix", "error_driven", "ap", "localisation", "alrp", "self_balance", "lrp", "pairwise")
FAST = ("ranking", "step_matrix", "error_driven", "ap", "alrp", "self_balance")


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def imports(path: Path) -> set[str]:
    """The full names of all modules that a file imports, those of relative imports too."""
    found = set()
    folders = path.relative_to(ROOT).parent.parts
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = folders[: len(folders) - node.level + 1] if node.level else ()
            module = ".".join([*above, *([node.module] if node.module else [])])
            found |= {module} | {f"{module}.{alias.name}" for alias in node.names}
    return found


@pytest.mark.parametrize("name", PAPER)
def test_the_papers_files_need_torch_alone(name):
    """The root of the package is the paper: it imports torch and itself, none of the machinery."""
    outside = {module for module in imports(PACKAGE / f"{name}.py") if not module.startswith(("torch", "alrp_ref"))}
    library = {"typing", "typing.Literal", "typing.NamedTuple", "math", "collections.abc"}
    assert outside <= library | {"collections.abc.Callable", "collections.abc.Iterator"}
    machinery = ("alrp_ref.detection", "alrp_ref.coco", "alrp_ref.training", "alrp_ref.cli")
    assert not any(module.startswith(machinery) for module in imports(PACKAGE / f"{name}.py"))


def test_the_judge_imports_nothing_of_what_it_judges():
    """`pairwise` imports nothing of the package."""
    assert not any("alrp_ref" in module for module in imports(PACKAGE / "pairwise.py"))


@pytest.mark.parametrize("folder", ["detection", "coco"])
def test_arrows_run_down(folder):
    """Detectors and data know nothing of training or the command line; detectors know nothing of data."""
    above = ["alrp_ref.training", "alrp_ref.cli"] + (["alrp_ref.coco"] if folder == "detection" else [])
    for path in (PACKAGE / folder).glob("*.py"):
        assert not any(module.startswith(tuple(above)) for module in imports(path)), path.name


@pytest.mark.parametrize("name", PAPER)
def test_the_papers_files_stay_short(name):
    """A file of the paper has at most about two hundred lines."""
    assert len((PACKAGE / f"{name}.py").read_text(encoding="utf-8").splitlines()) <= 220


@pytest.mark.parametrize("name", FAST)
def test_the_fast_path_neither_loops_nor_waits(name):
    """No loop over examples, no `.item()`, no `.cuda()`, no `.tolist()` in the files the loss runs through.

    The only loops are those over parts, each of some ten thousand scores, and over the two buffers of a module.
    """
    for node in ast.walk(tree(PACKAGE / f"{name}.py")):
        if isinstance(node, ast.For) and ast.unparse(node.iter).startswith(("self._parts(", "self.named_buffers(")):
            continue
        if isinstance(node, ast.GeneratorExp) and "split(size)" in ast.unparse(node.elt):
            continue
        assert not isinstance(node, ast.For | ast.While | ast.ListComp | ast.GeneratorExp), ast.dump(node)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            assert node.func.attr not in ("item", "cuda", "tolist", "cpu", "numpy")


@pytest.mark.parametrize("name", [n for n in PAPER if n not in ("pairwise", "step_matrix")])
def test_public_functions_say_shape_and_source(name):
    """Every public function and class of the paper's files has a docstring with shapes, and names its source."""
    for node in tree(PACKAGE / f"{name}.py").body:
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
            text = ast.get_docstring(node) or ""
            assert "hape" in text, f"{name}.{node.name} gives no shapes"
            if name not in ("localisation",):
                assert "Source" in text, f"{name}.{node.name} names no source"
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            assert ast.get_docstring(node), f"{name}.{node.name} has no docstring"


def test_the_losses_import_without_torchvision():
    """`pip install .` is enough for the losses: they import where nothing but torch and numpy can be imported."""
    blocked = ["torchvision", "matplotlib", "pycocotools", "hotcoco", "PIL", "tqdm", "tensorboard"]
    block = f"import sys; sys.modules.update(dict.fromkeys({blocked}))"
    code = f"{block}; import alrp_ref; print(alrp_ref.alrp_loss.__name__)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert run.stdout.strip() == "alrp_loss"


def test_every_module_is_packaged():
    """`pip install .` brings every module, since setuptools finds folders by `__init__.py`, and says they are typed."""
    setup = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]
    assert setup["package-data"]["alrp_ref"] == ["py.typed"] and (PACKAGE / "py.typed").exists()
    assert setup["packages"]["find"]["include"] == ["alrp_ref*"]  # and neither tests nor figures
    folders = {path.parent for path in PACKAGE.rglob("*.py")}
    assert len(folders) >= 4 and all((folder / "__init__.py").exists() for folder in folders)


def test_dependencies_stand_in_one_place():
    """pyproject.toml holds all of them: torch and numpy for the losses; conda's file installs from it."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert sorted(re.match(r"\w+", d).group() for d in project["dependencies"]) == ["numpy", "torch"]
    assert ".[all]" in (ROOT / "environment.yml").read_text(encoding="utf-8")


def test_doctor_finds_nothing_wrong(capsys):
    """`alrp doctor` passes here, and its lines fit a terminal of 80 columns."""
    from alrp_ref import doctor

    assert doctor.main() == 0
    lines = capsys.readouterr().out.splitlines()
    assert all(len(line) <= 80 for line in lines)
    assert sum(line.startswith("[OK]") for line in lines) >= 8
    assert any("0.5300" in line for line in lines)


def test_doctor_names_what_is_too_old(capsys, monkeypatch):
    """A package below its lower bound is a [FAIL] that says both versions, and the exit code is 1."""
    from alrp_ref import doctor

    monkeypatch.setattr(doctor.metadata, "version", lambda name: "0.0.1" if name == "torch" else "99")
    assert doctor.main() == 1
    out = capsys.readouterr().out
    assert re.search(r"\[FAIL\] torch +0\.0\.1, needs 2\.11 or newer", out)


def test_the_readmes_example_prints_what_it_says(capsys):
    """The README's ten lines run as they stand, and print the line that stands below them."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    code, printed = re.search(r"```python\n(.*?)```\s+```\n(.*?)```", text, re.DOTALL).groups()
    exec(compile(code, "README.md", "exec"), {})
    assert capsys.readouterr().out == printed


def test_the_readmes_links_lead_somewhere():
    """Every file the README links to exists."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    links = [link for link in re.findall(r"\]\(([^)]+)\)", text) if "://" not in link]
    assert links and all((ROOT / link).exists() for link in links), links


def test_the_list_of_faults_names_tests_that_exist():
    """Each line of tests/faults.md ends with the tests that cause the fault, and each of them is there."""
    lines = (ROOT / "tests" / "faults.md").read_text(encoding="utf-8").splitlines()
    rows = [
        line.split(" | ")[-1]
        for line in lines
        if line.startswith("| ") and "---" not in line and "| test |" not in line
    ]
    named = [re.findall(r"`(test_\w+)`", row) for row in rows]
    assert rows and all(named)
    written = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py"))
    assert {name for names in named for name in names} <= set(re.findall(r"def (test_\w+)", written))


@pytest.mark.parametrize("failing", [False, True], ids=["passing", "failing"])
@pytest.mark.parametrize("had_venv", [False, True], ids=["clean", "with .venv"])
def test_the_check_of_a_change_leaves_nothing_behind(tmp_path, failing, had_venv):
    """`.ci/run` hands on make's output and exit code, removes the .venv and caches it made, and no .venv it found."""
    (tmp_path / ".ci").mkdir()
    shutil.copy(ROOT / ".ci" / "run", tmp_path / ".ci")
    (tmp_path / "bin").mkdir()
    scripts = {"make": f"mkdir -p .venv .pytest_cache; echo $CI $@: 7 passed; exit {3 * failing}", "chromium": "exit 0"}
    for name, script in scripts.items():  # a browser is there, so that none is installed
        (tmp_path / "bin" / name).write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / "bin" / name).chmod(0o755)
    if had_venv:
        (tmp_path / ".venv").mkdir()
    path = f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}"
    command = ["bash", tmp_path / ".ci" / "run"]
    run = subprocess.run(command, env={**os.environ, "PATH": path}, capture_output=True, text=True)
    assert (run.returncode, run.stdout) == (3 * failing, "true test: 7 passed\n")
    assert {p.name for p in tmp_path.iterdir()} == {".ci", "bin"} | ({".venv"} if had_venv else set())
