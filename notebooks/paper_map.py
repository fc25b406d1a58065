"""The map of notebook 00, from docstrings: symbols, and paper -> formula -> function -> notebook -> test.

Nothing is written down twice. Symbols come from the tables in the docstrings of the paper's files, formulas and
sections from the functions' own docstrings, and who uses what from the code of the notebooks and the tests.
"""

import ast
import importlib
import inspect
import json
import re
from functools import cache
from pathlib import Path
from types import ModuleType

from alrp_ref import losses, paper, rank_sort
from course import formulas_of

HERE = Path(__file__).parent
FIRST = ("pairwise", "ranking", "error_driven", "ap", "localisation", "alrp", "self_balance", "lrp")
"""The order to read in; any other file of the paper comes after these, then the loss that came after, and last the
losses that are made of them."""


NOT_FORMULAS = ("exact_dtype", "has_nonzero_static")
"""What a device can do."""


def files() -> list[ModuleType]:
    """The paper's files, the one of RS Loss, and the losses."""
    names = {path.stem for path in Path(paper.__file__).parent.glob("*.py")} - {"__init__"}
    ordered = [*FIRST, *sorted(names - set(FIRST))]
    return [
        *(importlib.import_module(f"alrp_ref.paper.{name}") for name in ordered),
        rank_sort,
        losses,
    ]


def symbols() -> str:
    """The symbol table, in Markdown."""
    rows = ["| in code | in the paper | shape | file |", "| --- | --- | --- | --- |"]
    for module in files():
        for name, meaning, shape in re.findall(
            r"^(`\w+`) +(\S.*?) {2,}(\S.*)$", module.__doc__, re.MULTILINE
        ):
            cells = (name, _markdown(meaning), shape.replace("|", "\\|"), _link(module))
            rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


def paper_map() -> str:
    """For each of the paper's files, what it computes and where that is taught and tested, in Markdown."""
    parts = []
    for module in files():
        parts.append(f"#### {_link(module)}\n\n{_markdown(module.__doc__.splitlines()[0])}")
        for name, function in public(module).items():
            notebooks = ", ".join(
                f"[{path.stem[:2]}]({path.name})" for path in notebooks_using(function)
            )
            tests = ", ".join(
                f"[{_name(path)}](../tests/{_name(path)}.py)" for path in tests_using(function)
            )
            places = (section(function), f"notebooks {notebooks}", f"tests {tests}")
            parts.append(f"**`{name}`** · {' · '.join(filter(None, places))}")
            parts += [f"$${formula}$$" for formula in formulas_of(function)[:1]]
    return "\n\n".join(parts)


def public(module: ModuleType) -> dict[str, object]:
    """The functions and classes a module defines for others, but for the tuples that its functions return."""
    return {
        name: value
        for name, value in vars(module).items()
        if not name.startswith("_")
        and getattr(value, "__module__", None) == module.__name__
        and (inspect.isfunction(value) or inspect.isclass(value))
        and not hasattr(value, "_fields")
        and name not in NOT_FORMULAS
    }


def section(function: object) -> str:
    """Where in the paper a function comes from, by its docstring."""
    found = re.search(
        r"^Source: ((?:Eqs?\. |[^;.]|\.\d)+)", inspect.getdoc(function) or "", re.MULTILINE
    )
    return found[1].strip() if found else ""


def notebooks_using(function: object) -> list[Path]:
    return [path for path in sorted(HERE.glob("*.ipynb")) if id(function) in _used(path)]


def tests_using(function: object) -> list[Path]:
    return [
        path
        for path in sorted((HERE.parent / "tests").rglob("test_*.py"))
        if id(function) in _used(path)
    ]


@cache
def _used(path: Path) -> set[int]:
    """The objects of the package that a file's code uses, by identity: names are followed through its imports."""
    tree, names, used = ast.parse(_source(path)), {}, set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("alrp_ref"):
            for alias in node.names:
                names[alias.asname or alias.name] = _resolve(f"{node.module}.{alias.name}")
    for node in ast.walk(tree):
        if isinstance(node, ast.Name | ast.Attribute):
            first, *rest = ast.unparse(node).split(".")
            value = names.get(first)
            for name in rest:
                value = getattr(value, name, None)
            used.add(id(value))
    return used


def _source(path: Path) -> str:
    if path.suffix == ".py":
        return path.read_text(encoding="utf-8")
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    code = "\n".join(
        "".join(cell["source"]) + "\n" for cell in cells if cell["cell_type"] == "code"
    )
    return re.sub(r"^[%!].*$", "", code, flags=re.MULTILINE)


def _resolve(dotted: str) -> object:
    try:
        return importlib.import_module(dotted)
    except ModuleNotFoundError:
        module, _, name = dotted.rpartition(".")
        return getattr(importlib.import_module(module), name, None)


def _link(module: ModuleType) -> str:
    path = f"{module.__name__.removeprefix('alrp_ref.').replace('.', '/')}.py"
    return f"[{path}](../alrp_ref/{path})"


def _name(path: Path) -> str:
    return path.relative_to(HERE.parent / "tests").with_suffix("").as_posix()


def _markdown(rst: str) -> str:
    """Inline formulas as Markdown has them, with bars that do not end a table's cell."""
    return re.sub(
        r":math:`([^`]*)`", lambda found: f"${found[1].replace('|', chr(92) + 'vert ')}$", rst
    )
