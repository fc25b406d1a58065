"""What holds for the project as a whole: its sizes, its set-up and what its README says."""

import ast
import importlib
import os
import re
import shutil
import subprocess
import sys
import tomllib
import warnings
from importlib import metadata
from pathlib import Path

import pytest
import torch

import alrp_ref
from alrp_ref import detection
from alrp_ref.machine.installed import extras

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "alrp_ref"
PAPER = tuple(path.stem for path in sorted((PACKAGE / "paper").glob("*.py")) if path.stem != "__init__")
SLOW = ("pairwise", "lrp")
FAST = [PACKAGE / "ranking_loss.py", *(PACKAGE / "paper" / f"{name}.py" for name in PAPER if name not in SLOW)]
"""The files that a loss runs through, which must not make a GPU wait."""


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


@pytest.mark.parametrize("path", [*FAST, *(PACKAGE / "paper" / f"{name}.py" for name in SLOW)], ids=str)
def test_the_papers_files_need_torch_alone(path):
    """The paper and what makes it exact import torch, NumPy and the standard library, none of the other packages."""
    first = {module.partition(".")[0] for module in imports(path)}
    assert first <= {"torch", "numpy", "alrp_ref", *sys.stdlib_module_names}


def test_the_judge_imports_nothing_of_what_it_judges():
    """`pairwise` imports nothing of the package."""
    assert not any("alrp_ref" in module for module in imports(PACKAGE / "paper" / "pairwise.py"))


def test_a_trained_model_loads_without_plotting_or_evaluation():
    """Whoever detects needs neither matplotlib nor TensorBoard nor an evaluator."""
    code = "import sys; from alrp_ref.detection import load_model; print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert not {"matplotlib", "tensorboard", "hotcoco", "pycocotools", "cv2"} & {
        m.partition(".")[0] for m in run.stdout.split()
    }


@pytest.mark.parametrize("name", PAPER)
def test_the_papers_files_stay_short(name):
    """A file of the paper has at most about two hundred lines; the judge also holds a loss that came after."""
    assert len((PACKAGE / "paper" / f"{name}.py").read_text(encoding="utf-8").splitlines()) <= (
        280 if name == "pairwise" else 220
    )


@pytest.mark.parametrize("path", FAST, ids=lambda path: path.stem)
def test_the_fast_path_neither_loops_nor_waits(path):
    """No loop over examples, no `.item()`, no `.cuda()`, no `.tolist()` in the files the loss runs through.

    The only loops are those over parts, each of some ten thousand scores, over the two buffers of a module, and over
    the parts and options of a loss.
    """
    few = ("self._parts(", "self.named_buffers(", "parts", "own", "range(self.num_parts)", "options.items()")
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.For) and ast.unparse(node.iter).startswith(few):
            continue
        if isinstance(node, ast.ListComp | ast.GeneratorExp) and ast.unparse(node.generators[0].iter).startswith(few):
            continue
        if isinstance(node, ast.GeneratorExp) and "split(size)" in ast.unparse(node.elt):
            continue
        assert not isinstance(node, ast.For | ast.While | ast.ListComp | ast.GeneratorExp), ast.dump(node)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            assert node.func.attr not in ("item", "cuda", "tolist", "cpu", "numpy")


@pytest.mark.parametrize("name", [n for n in PAPER if n not in ("pairwise", "bins")])
def test_public_functions_say_shape_and_source(name):
    """Every public function and class of the paper's files has a docstring with shapes, and names its source.

    Two functions tell what a device can do.
    """
    for node in tree(PACKAGE / "paper" / f"{name}.py").body:
        if isinstance(node, ast.FunctionDef) and not node.name.startswith(("_", "exact_dtype", "has_nonzero_static")):
            text = ast.get_docstring(node) or ""
            assert "hape" in text, f"{name}.{node.name} gives no shapes"
            if name not in ("localisation",):
                assert "Source" in text, f"{name}.{node.name} names no source"
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            assert ast.get_docstring(node), f"{name}.{node.name} has no docstring"


def test_the_losses_import_without_torchvision():
    """`pip install .` is enough for the losses: all names import where nothing but torch and numpy can be imported."""
    blocked = ["torchvision", "cv2", "matplotlib", "pycocotools", "hotcoco", "PIL", "tqdm", "tensorboard"]
    block = f"import sys; sys.modules.update(dict.fromkeys({blocked}))"
    code = f"{block}; import alrp_ref; print(*(getattr(alrp_ref, name).__name__ for name in alrp_ref.__all__))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert run.stdout.replace("alrp_ref.paper.pairwise", "pairwise").split() == alrp_ref.__all__


@pytest.mark.parametrize(
    "loaded, installed, said",
    [("2.14.1+cpu", "2.14.1", None), ("2.8.0", "2.14.1", "restart the runtime"), ("2.5.1", "2.5.1", "needs 2.6")],
)
def test_another_torch_than_the_installed_one_is_said(monkeypatch, loaded, installed, said):
    """As where pip replaces it under a running kernel, and where it is too old."""
    monkeypatch.setattr("importlib.metadata.version", lambda name: installed)
    monkeypatch.setattr(torch, "__version__", loaded)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        importlib.reload(alrp_ref)
    assert [said in str(one.message) for one in caught] == [True] * (said is not None)


@pytest.mark.parametrize("package", [alrp_ref, detection])
def test_what_is_imported_late_is_what_a_type_checker_sees(package):
    """The names that a package gives when asked are those of its `__all__`, and of its imports for type checkers."""
    assert sorted(package.homes) == sorted(package.__all__)
    path = Path(package.__file__)
    block = next(node for node in tree(path).body if isinstance(node, ast.If))
    seen = {name.name: node.module for node in block.body for name in node.names}
    homes = {name: f"{package.__name__}.{home}" for name, home in package.homes.items()}
    assert seen | {"pairwise": ""} == homes | {"pairwise": ""}  # a module of its own
    with pytest.raises(AttributeError, match="has no attribute 'colour'"):
        _ = package.colour


def test_every_module_is_packaged():
    """`pip install .` brings every module, since setuptools finds folders by `__init__.py`, and says they are typed."""
    setup = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]
    assert setup["package-data"]["alrp_ref"] == ["py.typed", "verification/*.npz"] and (PACKAGE / "py.typed").exists()
    assert setup["packages"]["find"]["include"] == ["alrp_ref*"]  # and neither tests nor figures
    folders = {path.parent for path in PACKAGE.rglob("*.py")}
    assert len(folders) >= 4 and all((folder / "__init__.py").exists() for folder in folders)


def test_dependencies_stand_in_one_place():
    """pyproject.toml holds all of them: torch and numpy for the losses; conda's file installs from it."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert sorted(re.match(r"\w+", d).group() for d in project["dependencies"]) == ["numpy", "torch"]
    assert ".[all]" in (ROOT / "environment.yml").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("there", "said"),
    [
        ({"torch", "numpy"}, "not installed: pip install 'alrp-ref[detection]'"),
        ({"torch", "numpy", "pillow", "tqdm"}, "lacks torchvision: pip install 'alrp-ref[detection]'"),
        ({"torch", "numpy", "pillow", "tqdm", "torchvision"}, "installed"),
    ],
)
def test_each_extra_has_a_line(there, said, monkeypatch):
    """`alrp verify` says of an extra that it is installed, or what is missing and the command that installs it."""

    def version(name):
        if name not in there:
            raise metadata.PackageNotFoundError

    needs = ["numpy>=2.0", "torch>=2.6"]
    needs += [f'{name}; extra == "detection"' for name in ("torchvision>=0.26", "pillow>=11", "tqdm")]
    monkeypatch.setattr(metadata, "requires", lambda name: [*needs, 'alrp-ref[detection]; extra == "all"'])
    monkeypatch.setattr(metadata, "version", version)
    assert extras() == f"detection  {said}"


def test_the_readmes_example_prints_what_it_says(capsys):
    """The README's ten lines run as they stand, and print the line that stands below them."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    code, printed = re.search(r"```python\n(.*?)```\s+```\n(.*?)```", text, re.DOTALL).groups()
    exec(compile(code, "README.md", "exec"), {})
    assert capsys.readouterr().out == printed


def test_the_apis_examples_print_what_they_say(capsys):
    """The first five names of the API have an example each, of six lines at most; run in order, they print their
    lines."""
    text = (ROOT / "docs" / "site" / "api.md").read_text(encoding="utf-8").partition("## All modules")[0]
    examples = re.findall(r"## `(\w+)`\n\n```python\n(.*?)```\n```\n(.*?)```", text, re.DOTALL)
    names = [name for name, *_ in examples]
    assert names == ["ALRPLoss", "alrp_loss", "flatten_batch", "giou_error", "verify"]
    namespace = {"torch": torch} | {name: getattr(alrp_ref, name) for name in names}
    for name, code, printed in examples:
        assert len(code.splitlines()) <= 6 and f"{name}(" in code
        exec(compile(code, name, "exec"), namespace)
        assert capsys.readouterr().out == printed


def test_a_loss_of_ones_own_is_its_formula_and_three_lines(capsys):
    """CONTRIBUTING's example runs as it stands, in under thirty lines, and agrees with its double loop to 1e-15."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").partition("## A loss of your own")[2]
    code = re.search(r"```python\n(.*?)```", text, re.DOTALL)[1]
    assert len(code.splitlines()) < 30
    (formula,) = [node for node in ast.parse(code).body if isinstance(node, ast.FunctionDef)]
    assert len(formula.body) == 3
    exec(compile(code, "CONTRIBUTING.md", "exec"), {})
    assert float(capsys.readouterr().out.rpartition(":")[2]) < 1e-15


PAGES = [
    *ROOT.glob("*.md"),
    *(ROOT / "docs").glob("*.md"),
    *(ROOT / "docs" / "log").glob("*.md"),
    ROOT / "figures" / "data" / "README.md",
    *ROOT.glob("figures/*.md"),
    ROOT / "benchmarks" / "README.md",
]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    """Every file that a page links to exists, and every heading of its own."""
    text = page.read_text(encoding="utf-8")
    headings = {
        re.sub(r"[^\w -]", "", line).strip().lower().replace(" ", "-") for line in text.splitlines() if "#" in line
    }
    for link in re.findall(r"\]\(([^)]+)\)", text):
        if link.startswith("#"):
            assert link[1:] in headings, link
        elif "://" not in link:
            assert (page.parent / link.partition("#")[0]).exists(), link


def test_the_table_of_places_names_what_is_there():
    """Each file in CONTRIBUTING's table exists, and each name that it says to be in a file is written there."""
    text = (
        (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").partition("## Where things go")[2].partition("\n## ")[0]
    )
    files = {name for name in re.findall(r"`((?:[\w.]+/)+[\w.]*)`", text) if "NAME" not in name}
    assert len(files) > 10
    homes = {name: home for name in files for home in (ROOT / name, ROOT / "alrp_ref" / name) if home.exists()}
    assert files == homes.keys()
    named = re.findall(r"`(\w+)`(?: of| in) \[?`([\w./]+)`", text)
    assert len(named) > 3
    for name, file in named:
        assert re.search(rf"\b{name}\b", homes[file].read_text(encoding="utf-8")), (name, file)


def test_the_readme_is_short_and_lists_the_public_names():
    """Under 150 lines; the table of the API has a row for each name of `alrp_ref.__all__`."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(text.splitlines()) < 150
    api = text.partition("## API")[2].partition("## ")[0]
    assert sorted(re.findall(r"^\| `(\w+)[(`]", api, re.MULTILINE)) == sorted(["alrp_ref", *alrp_ref.__all__])


def test_bibtex_and_citation_file_agree():
    """The README's BibTeX has the title, authors, volume and year of CITATION.cff, whose version is the package's."""
    cff = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    bibtex = (ROOT / "README.md").read_text(encoding="utf-8").partition("```bibtex")[2]
    authors = re.findall(r"family-names: (\w+), given-names: ([\w ]+)", cff)
    fields = dict(re.findall(r"^  (\w+) *= \{(.*)\},?$", bibtex, re.MULTILINE))
    assert fields["author"] == " and ".join(f"{family}, {given}" for family, given in authors)
    assert fields["title"] == re.findall(r"^  title: (.*)$", cff, re.MULTILINE)[0]
    assert (
        fields["year"] == re.search(r"  year: (\d+)", cff)[1]
        and fields["volume"] == re.search(r"volume: (\d+)", cff)[1]
    )
    assert fields["booktitle"] == re.search(r"collection-title: (.*)", cff)[1]
    assert f"\nversion: {alrp_ref.__version__}\n" in cff


def test_the_annotated_paper_names_functions_that_exist():
    """Each function named in docs/annotated_paper.md is in the file that its link leads to. The paper's thirteen
    equations, Algorithm 1 and both theorems stand there, each equation with a function (8 is in a theorem's box)."""
    text = (ROOT / "docs" / "annotated_paper.md").read_text(encoding="utf-8")
    named = re.findall(r"\[`([\w.]+)`\]\(\.\./alrp_ref/([\w/]+)\.py\)", text)
    functions = [(name, file) for name, file in named if not name.endswith(".py")]
    assert len(functions) > 30
    for name, file in functions:
        value = module = importlib.import_module(f"alrp_ref.{file.replace('/', '.')}")
        first, *path = name.split(".")
        assert first == file.rpartition("/")[2], name
        for part in path:
            value = getattr(value, part)
        home = value.fget if isinstance(value, property) else value
        assert home.__module__ == module.__name__, name
    for number in (*range(1, 8), *range(9, 14)):
        assert text.count(f"\\tag{{{number}}}$$") == 1
        rest = text.partition(f"\\tag{{{number}}}$$")[2]
        assert f"**Eq. ({number})**" in rest.partition("\\tag")[0]
    assert all(f"**{name}" in text for name in ("Eq. (8)", "Algorithm 1", "Theorem 1", "Theorem 2"))


def test_the_list_of_faults_names_tests_that_exist():
    """Each line of docs/log/faults.md ends with the tests that cause the fault, and each of them is there."""
    lines = (ROOT / "docs" / "log" / "faults.md").read_text(encoding="utf-8").splitlines()
    rows = [
        line.split(" | ")[-1]
        for line in lines
        if line.startswith("| ") and "---" not in line and "| test |" not in line
    ]
    named = [re.findall(r"`(test_\w+)`", row) for row in rows]
    assert rows and all(named)
    written = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py"))
    assert {name for names in named for name in names} <= set(re.findall(r"def (test_\w+)", written))


def test_the_demo_leaves_nothing_for_the_linter(tmp_path):
    """`make demo` and then `make test`, which begins with the linter, pass in this order."""
    unread = shutil.ignore_patterns("__pycache__", "*.npz", "*.json", "*.csv", "*.png", "*.svg")
    for name in ("alrp_ref", "studies", "figures", "benchmarks", "tests"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=unread)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    demo = """
import alrp_ref.data as data
from alrp_ref.cli import main
make_shapes = data.make_shapes
data.make_shapes = lambda folder, **sizes: make_shapes(folder, train_images=16, val_images=4)  # in seconds
raise SystemExit(main(["demo", "--steps", "1"]))"""
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, "-c", demo], check=True, capture_output=True, cwd=tmp_path, env=env)
    assert (tmp_path / "runs" / "demo").is_dir()
    for command in (["check"], ["format", "--check"]):
        lint = subprocess.run(
            [sys.executable, "-m", "ruff", *command, "."], capture_output=True, text=True, cwd=tmp_path
        )
        assert lint.returncode == 0, lint.stdout


@pytest.mark.parametrize("failing", [False, True], ids=["passing", "failing"])
@pytest.mark.parametrize("had_venv", [False, True], ids=["clean", "with .venv"])
def test_the_check_of_a_change_leaves_nothing_behind(tmp_path, failing, had_venv):
    """`.ci/run` hands on make's output and exit code, removes the .venv and caches it made, and no .venv it found."""
    (tmp_path / ".ci").mkdir()
    shutil.copy(ROOT / ".ci" / "run", tmp_path / ".ci")
    (tmp_path / "bin").mkdir()
    test = f"mkdir -p .venv .pytest_cache runs/ci; echo $CI $@: 7 passed; [ $1 = demo ] || exit {3 * failing}"
    scripts = {"make": test, "chromium": "exit 0"}
    for name, script in scripts.items():  # a browser is there, so that none is installed
        (tmp_path / "bin" / name).write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / "bin" / name).chmod(0o755)
    if had_venv:
        (tmp_path / ".venv").mkdir()
    path = f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}"
    command = ["bash", tmp_path / ".ci" / "run"]
    run = subprocess.run(command, env={**os.environ, "PATH": path}, capture_output=True, text=True)
    printed = "true demo DEMO_FLAGS=--steps 5 --out runs/ci: 7 passed\ntrue test: 7 passed\n"
    assert (run.returncode, run.stdout) == (3 * failing, printed)
    assert {p.name for p in tmp_path.iterdir()} == {".ci", "bin"} | ({".venv"} if had_venv else set())
