"""Table 8: Faster R-CNN, sampled with two baselines, unsampled with aLRP Loss. The text is `table8.md.j2`."""

from figures.paper import TABLE_8, show
from figures.prose import render
from studies.results import METRICS


def draw() -> str:
    rows = [["recipe", *METRICS], *([name, *show(numbers)] for name, numbers in TABLE_8.items())]
    return render("table8", rows=rows)
