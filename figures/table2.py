"""Table 2: the ablation, from AP Loss to aLRP Loss with GIoU, self-balance and ATSS. The text is `table2.md.j2`."""

from figures.claim import COLUMNS, of_run
from figures.comparison import by_row, rows_of
from figures.paper import TABLE_2, TAGS, show
from figures.prose import render
from figures.runs import Run, result

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
        own = [run.folder.name, *(_percent(name, float(found[name])) for name in COLUMNS)]
        rows = [["paper", *COLUMNS], *([NAMES[name], *show(TABLE_2[name])] for name in NAMES), own]
        return render("table2", rows=rows, tags=TAGS, run=run)
    rows = [["", *COLUMNS, "seeds", *(f"{name}, ours" for name in COLUMNS)]]
    rows += [[title, *show(TABLE_2[name]), *of_run(RUNS[name])] for name, title in NAMES.items()]
    photographs = by_row(rows_of("comparison", "comparison") + fourteen_epochs() + variants(), COLUMNS)
    return render("table2", rows=rows, tags=TAGS, photographs=photographs, run=None)


def fourteen_epochs() -> list[dict[str, str]]:
    return [row | {"recipe": f"{row['recipe']}, 14 epochs"} for row in rows_of("long", "comparison")]


def variants() -> list[dict[str, str]]:
    """The rows of the second comparison, without the loss that is in both."""
    return [row for row in rows_of("ablation", "comparison") if row["recipe"] != "aLRP Loss"]


def _percent(name: str, value: float) -> str:
    return f"{value:.2f}".lstrip("0") if name == "rho" else f"{100 * value:.1f}"
