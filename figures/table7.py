"""Table 7: FoveaBox with three losses. The text is `table7.md.j2`."""

from figures.paper import TABLE_7, show
from figures.prose import render

COLUMNS = ("AP", "AP50", "AP75", "AP90", "oLRP")


def draw() -> str:
    rows = [["recipe", *COLUMNS], *([name, *show(numbers)] for name, numbers in TABLE_7.items())]
    return render("table7", rows=rows)
