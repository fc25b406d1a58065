"""Who imports whom: the rooms of the package stand on floors, and every arrow runs down.

A room is a folder of `alrp_ref/`, or a file beside them. An arrow is an import, wherever it stands: in a function, or
under `TYPE_CHECKING`, too, since that is where packages name what they import late. Python also runs the `__init__` of
each folder that a module is in; that is no arrow.
"""

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "alrp_ref"
PROGRAMS = ("benchmarks", "docs", "examples", "figures", "notebooks", "studies", "tests")
FLOORS = (
    {"paper", "machine", "checks", "palette", "version"},
    {"ranking_loss", "rank_sort", "losses", "batch"},
    {"verification"},
    {"images"},
    {"detection", "data"},
    {"evaluation"},
    {"training"},
    {"reports"},
    {"__init__"},
    {"commands"},
    {"cli"},
)
"""From the ground up. `__init__` stands above all that it could export: only programs import from it."""

Graph = dict[str, set[str]]
"""For each module, or room, those that it imports."""


def modules(package: Path) -> dict[str, Path]:
    """The files of a package by the names of their modules; a folder's name is its `__init__`."""
    found = {}
    for path in sorted(package.rglob("*.py")):
        parts = path.relative_to(package.parent).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports(path: Path, package: str) -> set[tuple[str, str]]:
    """Pairs: the module that an import names, and the name that is taken from it, if any; `package` is the file's."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {(alias.name, "") for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: package.count(".") + 2 - node.level] if node.level else []
            module = ".".join([*above, *([node.module] if node.module else [])])
            found |= {(module, alias.name) for alias in node.names}
    return found


def arrows(package: Path) -> Graph:
    """The graph of a package's files."""
    files, graph = modules(package), {}
    for name, path in files.items():
        folder = name if path.name == "__init__.py" else name.rpartition(".")[0]
        named = {
            f"{module}.{taken}" if f"{module}.{taken}" in files else module for module, taken in imports(path, folder)
        }
        graph[name] = (named & files.keys()) - {name}
    return graph


def room(module: str) -> str:
    """The folder of the package, or the file beside the folders, that a module is in."""
    return module.split(".")[1] if "." in module else "__init__"


def rooms(graph: Graph) -> Graph:
    """The graph of the rooms."""
    found: Graph = {room(module): set() for module in graph}
    for module, imported in graph.items():
        found[room(module)] |= {room(other) for other in imported} - {room(module)}
    return found


def circle(graph: Graph) -> list[str]:
    """Modules, or rooms, of which each imports the one before it, the first one last again; empty if there are none."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return error.args[1]
    return []


def floor(name: str) -> int:
    """The floor that a room is on, 0 for the ground."""
    return next(number for number, level in enumerate(FLOORS) if name in level)


def upward(graph: Graph) -> list[tuple[str, str]]:
    """The imports of a room on a higher floor."""
    return [(one, other) for one in graph for other in graph[one] if floor(room(other)) > floor(room(one))]


def without_a_floor(graph: Graph) -> set[str]:
    """Rooms that `FLOORS` does not know."""
    return rooms(graph).keys() - set().union(*FLOORS)


GRAPH = arrows(PACKAGE)


def test_every_room_has_its_floor():
    """Each file and folder of `alrp_ref/` is on one floor, and each room of a floor is there."""
    assert not without_a_floor(GRAPH)
    assert sorted(name for level in FLOORS for name in level) == sorted(rooms(GRAPH))


def test_arrows_run_down():
    """A room imports itself, its own floor and what is below it."""
    assert not upward(GRAPH)


@pytest.mark.parametrize("graph", [GRAPH, rooms(GRAPH)], ids=["files", "rooms"])
def test_there_is_no_circle(graph):
    """Files and rooms can be put in an order in which each imports only those before it."""
    assert not circle(graph)


def test_data_and_detection_are_neighbours():
    """Whoever reads data needs no detector, and the other way round."""
    assert "detection" not in rooms(GRAPH)["data"] and "data" not in rooms(GRAPH)["detection"]


def test_the_package_imports_no_program():
    """What is installed is complete: nothing of the repository beside `alrp_ref/` is imported by it."""
    for name, path in modules(PACKAGE).items():
        assert not {module.partition(".")[0] for module, _ in imports(path, name)} & set(PROGRAMS), path


def test_figures_and_benchmarks_have_commands_of_their_own():
    """No program imports the command line of the package but the tests, which give commands."""
    for path in (path for folder in ("benchmarks", "figures") for path in (ROOT / folder).glob("*.py")):
        named = imports(path, path.parent.name)
        assert not {("alrp_ref", "cli")} & named and "alrp_ref.cli" not in {module for module, _ in named}, path


def test_only_lazy_imports_by_a_string():
    """An import that these tests cannot see is made in one place, from the names that stand under `TYPE_CHECKING`."""
    by_string = [
        name for name, path in modules(PACKAGE).items() if ("importlib", "import_module") in imports(path, name)
    ]
    assert by_string == ["alrp_ref.machine.lazy"]
    assert not [path for path in PACKAGE.rglob("*.py") if "sys.path" in path.read_text(encoding="utf-8")]


@pytest.mark.parametrize(
    "planted, found",
    [
        ({"paper/ap.py": "def f():\n    from alrp_ref.data import x"}, "up"),
        ({"data/x.py": "import alrp_ref"}, "up"),
        ({"data/x.py": "if TYPE_CHECKING:\n    from ..training import loop"}, "up"),
        (
            {"data/x.py": "from .y import b", "data/y.py": "def f():\n    from alrp_ref.data.x import a"},
            "circle of files",
        ),
        ({"data/x.py": "from alrp_ref.data import y", "data/__init__.py": "from .x import a"}, "circle of files"),
        ({"data/x.py": "import alrp_ref.detection.a", "detection/b.py": "from ..data import x"}, "circle of rooms"),
        ({"utils.py": ""}, "no floor"),
        ({"helpers/a.py": ""}, "no floor"),
        ({"data/x.py": "from alrp_ref.paper import ap", "paper/ap.py": "import torch"}, "nothing"),
    ],
)
def test_what_is_planted_is_found(tmp_path, planted, found):
    """A small package with one fault has that fault."""
    package = tmp_path / "alrp_ref"
    texts = dict.fromkeys(("", "data/", "detection/", "paper/", "training/"), "")
    texts = {f"{folder}__init__.py": text for folder, text in texts.items()} | {"detection/a.py": ""} | planted
    for name, text in texts.items():
        (package / name).parent.mkdir(parents=True, exist_ok=True)
        (package / name).write_text(text)
    graph = arrows(package)
    faults = [
        "no floor" if without_a_floor(graph) else "up" if upward(graph) else "",
        "circle of files" if circle(graph) else "circle of rooms" if circle(rooms(graph)) else "",
    ]
    assert [fault for fault in faults if fault] == ([] if found == "nothing" else [found])
