"""Table 8: Faster R-CNN, sampled with two baselines, unsampled with aLRP Loss. The text is `table8.md.j2`."""

from figures.paper import TABLE_8, show
from figures.prose import render

COLUMNS = ("AP", "AP50", "AP75", "AP90", "oLRP")


def draw() -> str:
    rows = [["recipe", *COLUMNS], *([name, *show(numbers)] for name, numbers in TABLE_8.items())]
    return render("table8", rows=rows)
