"""Table 3: constant weights of the boxes against self-balance, for GIoU and for IoU. The text is `table3.md.j2`."""

from figures.claim import of_run
from figures.prose import render
from studies.results import MEASURED

WEIGHTS = {"giou": (1, 2, 5, 10, 20, 50), "iou": (1, 5, 10)}
SELF_BALANCE = {"giou": "alrp", "iou": "iou_self_balance"}
"""The recipe with self-balance in `data/length/results.csv`, for each error."""


def draw() -> str:
    """One table for each error."""
    return render("table3", giou=rows("giou"), iou=rows("iou"))


def rows(error: str) -> list[list[str]]:
    found = [["weight of the boxes", "seeds", *MEASURED]]
    found += [[str(weight), *of_run(f"{error}_weight_{weight}")] for weight in WEIGHTS[error]]
    return [*found, ["self-balance", *of_run(SELF_BALANCE[error])]]
