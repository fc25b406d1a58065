"""Table 4: the weight that the self-balance starts from. The text is `table4.md.j2`."""

from alrp_ref.machine.files import read_table
from figures.claim import of_run
from figures.prose import render
from studies.results import DATA, MEASURED

RUNS = {"1": "first_weight_1", "10": "first_weight_10", "50, the recipe's": "alrp", "200": "first_weight_200"}
"""The recipe of each initial weight in `data/length/results.csv`."""


def draw() -> str:
    rows = [["initial weight", "seeds", *MEASURED], *([weight, *of_run(recipe)] for weight, recipe in RUNS.items())]
    norms = read_table(DATA / "length" / "clipping.csv")
    ratio = {row["weight"]: float(row["boxes"]) / float(row["scores"]) for row in norms if row["boxes"]}
    return render("table4", rows=rows, ratio=ratio, clipped=clipped(norms))


def clipped(rows: list[dict[str, str]]) -> list[list[str]]:
    """Share of the steps in which the norm of the gradients was clipped, in percent: a row a run, a column a start."""
    starts = list(dict.fromkeys(row["steps"] for row in rows))
    shares = {(row["weight"], row["steps"]): f"{100 * float(row['clipped']):.0f}" for row in rows}
    weights = dict.fromkeys(row["weight"] for row in rows)
    head = ["weight in the first epoch", *(f"from step {start}" for start in starts)]
    return [head, *([weight, *(shares.get((weight, start), "") for start in starts)] for weight in weights)]
