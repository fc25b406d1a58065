"""Table 1: how many hyper-parameters a loss has. The text is `table1.md.j2`."""

from figures.prose import render

OTHERS = ("AP Loss", "Focal Loss", "FCOS", "DR Loss", "FreeAnchor", "Faster R-CNN", "CenterNet")


def draw() -> str:
    rows = [*([name, ""] for name in OTHERS), ["mean of the others", "about 6"], ["aLRP Loss", "1"]]
    return render("table1", rows=[["loss", "number"], *rows])
