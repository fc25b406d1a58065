"""Run a benchmark, print its tables, and keep them: what `python -m benchmarks` does.

Results go to results/NAME.json, and the tables into README.md, between the marks of that benchmark.
"""

import json
from functools import partial
from importlib import import_module
from pathlib import Path

from tabulate import tabulate

from benchmarks.timing import machine

HERE = Path(__file__).parent


def bench(name: str, quick: bool, out: Path | None, coco: Path | None = None) -> None:
    """Run one; `quick` only tries it out, and writes nothing unless `out`, a folder, is given.

    `coco`, for the benchmark "data", is a data set in COCO's layout whose pictures are read as well.
    """
    module = import_module(f"benchmarks.bench_{name}")
    where = machine()
    folder = None if quick and out is None else out or HERE / "results"
    keep = partial(_keep, folder, name, where)
    results = module.bench(quick, *{"gpu": [keep], "data": [coco]}.get(name, []))
    text = f"{', '.join(where.values())}\n\n{tables(module.tables(results))}"
    print(f"\n{text}")
    if folder is None:
        return
    keep(results)
    print(f"\n{folder / name}.json")
    if out is None:
        _into_readme(name, text)


def _keep(folder: Path | None, name: str, where: dict[str, str], results: dict[str, list]) -> None:
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        content = {"machine": where, "results": results}
        (folder / f"{name}.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def tables(rows_by_title: dict[str, list[dict[str, object]]]) -> str:
    """All tables of a benchmark below one another, each with its title."""
    return "\n\n".join(f"{title}\n\n{table(rows)}" for title, rows in rows_by_title.items())


def table(rows: list[dict[str, object]]) -> str:
    """Rows of the same keys as a Markdown table, numbers to three digits."""
    texts = [{key: _text(value) for key, value in row.items()} for row in rows]
    return tabulate(texts, headers="keys", tablefmt="pipe", disable_numparse=True, stralign="right")


def _text(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.3g}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _into_readme(name: str, text: str) -> None:
    path = HERE / "README.md"
    readme = path.read_text(encoding="utf-8")
    begin, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->"
    before, rest = readme.split(begin)
    path.write_text(f"{before}{begin}\n{text}\n\n{end}{rest.split(end)[1]}", encoding="utf-8")
