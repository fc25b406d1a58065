"""Table 2: the ablation, from AP Loss to aLRP Loss with GIoU, self-balance and ATSS. The text is `table2.md.j2`."""

from figures.claim import of_run
from figures.comparison import by_row
from figures.paper import TABLE_2, show
from figures.prose import render
from studies.results import MEASURED, Run, result

NAMES = {
    "ap": "AP Loss, smooth L1",
    "alrp_iou": "aLRP, IoU",
    "alrp_iou_sb": "aLRP, IoU, self-balance",
    "alrp_giou_sb": "aLRP, GIoU, self-balance",
    "alrp_giou_sb_atss": "aLRP, GIoU, self-balance, ATSS",
}
RUNS = {
    "ap": "ap_iou_anchors",
    "alrp_iou": "alrp_iou_weight_1",
    "alrp_iou_sb": "alrp_iou_sb",
    "alrp_giou_sb": "alrp_giou_sb",
    "alrp_giou_sb_atss": "alrp",
}
"""The recipe of each row in `data/length/results.csv`."""


def draw(run: Run | None = None) -> str:
    """The paper's rows beside ours, or above that of another run."""
    if run is not None:
        found = result(run)
        own = [run.folder.name, *(_percent(name, float(found[name])) for name in MEASURED)]
        rows = [["paper", *MEASURED], *([NAMES[name], *show(TABLE_2[name])] for name in NAMES), own]
        return render("table2", rows=rows, run=run)
    rows = [["", *MEASURED, "seeds", *(f"{name}, ours" for name in MEASURED)]]
    rows += [[title, *show(TABLE_2[name]), *of_run(RUNS[name])] for name, title in NAMES.items()]
    return render("table2", rows=rows, photographs=on_photographs(), run=None)


def on_photographs() -> list[list[str]]:
    """Two epochs, fourteen epochs, and the ablation without the loss that is in both."""
    rows = [["", *MEASURED], *by_row("comparison", MEASURED)]
    rows += [[f"{name}, 14 epochs", *cells] for name, *cells in by_row("long", MEASURED)]
    return rows + [row for row in by_row("ablation", MEASURED) if row[0] != "aLRP Loss"]


def _percent(name: str, value: float) -> str:
    return f"{value:.2f}".lstrip("0") if name == "rho" else f"{100 * value:.1f}"
