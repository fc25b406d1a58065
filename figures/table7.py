"""Table 7: FoveaBox with three losses. The text is `table7.md.j2`."""

from figures.paper import TABLE_7, show
from figures.prose import render
from studies.results import METRICS


def draw() -> str:
    rows = [["recipe", *METRICS], *([name, *show(numbers)] for name, numbers in TABLE_7.items())]
    return render("table7", rows=rows)
