"""Write the figures and tables: what `python -m figures` does."""

import inspect
from importlib import import_module
from pathlib import Path
from types import ModuleType

from figures import blocks
from figures.style import save
from studies.results import Run

HERE = Path(__file__).parent


def drawings() -> dict[str, ModuleType]:
    """Every file of this folder with a function `draw`, by name."""
    names = sorted(path.stem for path in HERE.glob("*.py") if "\ndef draw(" in path.read_text(encoding="utf-8"))
    return {name: import_module(f"figures.{name}") for name in names}


def make(names: list[str], run: Run | None, out: Path) -> None:
    """Write those named, or all; of a training run, those that can be drawn from one.

    Pages that hold results between text of their own (`blocks.PAGES`) are written where they are: those named, and all
    with all figures, if `out` is this folder.

    Raises: ValueError for a name that there is not, or that cannot be drawn from a run.
    """
    modules, pages = drawings(), list(blocks.PAGES)
    if run is not None:
        modules = {
            name: module for name, module in modules.items() if "run" in inspect.signature(module.draw).parameters
        }
        pages = []
    for name in names:
        if name not in (*modules, *pages):
            what = "figures are" if run is None else "figures of a run are"
            raise ValueError(f"the {what} {', '.join([*modules, *pages])}; got {name!r}")
    for name in names or [*modules, *(pages if out == HERE else [])]:
        if name in pages:
            print(blocks.write(name))
            continue
        drawn = modules[name].draw() if run is None else modules[name].draw(run)
        for path in save(drawn, out / name):
            print(path)
