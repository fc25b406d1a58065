"""Write `measured.js`: the results of the runs with a constant weight of the boxes, for the picture of chapter 07.

Usage: python notebooks/interactive/measured.py     (reads figures/data/length/results.csv)
"""

import json
import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parents[1]))

from figures.table3 import SELF_BALANCE, WEIGHTS  # noqa: E402
from studies.results import METRICS, at_the_end  # noqa: E402

HEAD = """\
// Written by measured.py from figures/data/length/results.csv: metrics in points, a number for each seed.
// Self-balance has no weight."""


def text() -> str:
    """The module: of each error and weight the metrics of every seed."""
    rows = []
    for error, weights in WEIGHTS.items():
        recipes = {weight: f"{error}_weight_{weight}" for weight in weights} | {
            None: SELF_BALANCE[error]
        }
        rows += [
            {"error": error, "weight": weight, **of_seeds(recipe)}
            for weight, recipe in recipes.items()
        ]
    return "\n".join(
        [HEAD, "export default [", *(f"  {json.dumps(row)}," for row in rows), "];", ""]
    )


def of_seeds(recipe: str) -> dict[str, list[float]]:
    rows = at_the_end(recipe)
    return {metric: [round(100 * float(row[metric]), 2) for row in rows] for metric in METRICS}


if __name__ == "__main__":
    (HERE / "measured.js").write_text(text(), encoding="utf-8")
