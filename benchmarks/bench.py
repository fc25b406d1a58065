"""Run a benchmark, print its tables, and keep them: what `alrp bench` does.

Results go to results/NAME.json, a picture of them, if the benchmark draws one, to NAME.png beside it, and the tables
into README.md, between the marks of that benchmark.
"""

import json
from importlib import import_module
from pathlib import Path

from benchmarks.timing import machine

HERE = Path(__file__).parent


def bench(name: str, quick: bool, out: Path | None) -> None:
    """Run one; `quick` only tries it out, and writes nothing unless `out`, a folder, is given."""
    module = import_module(f"benchmarks.bench_{name}")
    where = machine()
    results = module.bench(quick)
    text = "\n\n".join(f"{title}\n\n{table(rows)}" for title, rows in module.tables(results).items())
    text = f"{', '.join(where.values())}\n\n{text}"
    print(f"\n{text}")
    if quick and out is None:
        return
    folder = out or HERE / "results"
    folder.mkdir(parents=True, exist_ok=True)
    content = {"machine": where, "results": results}
    (folder / f"{name}.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    print(f"\n{folder / name}.json")
    if hasattr(module, "picture"):
        module.picture(results).savefig(folder / f"{name}.png", dpi=100)
    if out is None:
        _into_readme(name, text)


def table(rows: list[dict[str, object]]) -> str:
    """Rows of the same keys as a Markdown table, numbers to three digits."""
    columns = {key: None for row in rows for key in row}
    lines = [list(columns), *[[_text(row.get(key, "")) for key in columns] for row in rows]]
    widths = [max(len(line[i]) for line in lines) for i in range(len(columns))]
    padded = [" | ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)) for line in lines]
    rule = " | ".join("-" * (width - 1) + ":" for width in widths)
    return "\n".join(f"| {line} |" for line in (padded[0], rule, *padded[1:]))


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
