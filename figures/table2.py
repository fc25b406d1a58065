"""Table 2: the ablation, from AP Loss to aLRP Loss with GIoU, self-balance and ATSS."""

from figures.claim import COLUMNS, spread
from figures.comparison import by_row, rows_of
from figures.paper import TABLE_2, TAGS, show
from figures.runs import Run, at_the_end, result
from figures.style import markdown, section

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
PAPER = f"""{TAGS} They are of RetinaNet with ResNet-50 at 512 pixels after 100 epochs of COCO, on minival, in percent;
rho is Pearson's correlation of the two rankings of a class's true positives, by score and by IoU, mean over the
classes. The text also gives differences: aLRP Loss with IoU has about 5 AP90 more than AP Loss at a similar AP50, and
with self-balance 8.4 AP90 more; rho of aLRP Loss is .48 and .49."""
OURS = """Ours are of `alrp_tiny` (for all but ATSS with the IoU assigner and three ratios), trained from scratch for
10,000 steps on 8,000 pictures of shapes, evaluated on 1,000. With several seeds: mean ± half of their range. One seed
can be off by as much, some half a point of AP and one of AP90.

As in the paper, aLRP Loss has more AP90 and a higher rho than AP Loss in every row, GIoU is better than IoU, and ATSS
better than the IoU assigner. Not as in the paper, aLRP Loss with IoU has 2.2 points of AP less than AP Loss, and with
IoU the self-balance changes nothing that two seeds can show; with GIoU and ATSS it is worth two points of AP against
the weight 1 ([Table 3](table3.md)). GIoU brings 2.2 points of AP, where the paper has .2. We do not know why. What of
this is the error of the boxes, and what the order of the pull, is separated in [`claim.md`](claim.md).

A run of 468 steps cannot rank the rows: there AP Loss led them all, by 4.8 points or more. The first 4,500 steps of
the last row, or so, ran in bfloat16 on an NVIDIA H200, the seed 1 of the rows with two seeds in bfloat16 on a CPU, and
everything else in float32 on a CPU."""

PHOTOGRAPHS = """MobileNetV2 on a sample of COCO, 1,843 photographs. Two epochs (460 steps of 8) with three losses (mean
± standard deviation of three seeds), fourteen epochs with two of them, two epochs of aLRP Loss with one thing changed
(one seed each). `rho` as it is, all else in percent. [`comparison.md`](comparison.md) says what this shows and what it
does not."""


def draw(run: Run | None = None) -> str:
    """The paper's rows beside ours, or above that of another run."""
    if run is not None:
        of_run = result(run)
        own = [run.folder.name, *(_percent(name, float(of_run[name])) for name in COLUMNS)]
        rows = [["paper", *COLUMNS], *([NAMES[name], *show(TABLE_2[name])] for name in NAMES), own]
        return markdown("Table 2: ablation, and a run", rows, PAPER)
    rows = [["", *COLUMNS, "seeds", *(f"{name}, ours" for name in COLUMNS)]]
    for name, title in NAMES.items():
        ours = at_the_end(RUNS[name])
        rows.append([title, *show(TABLE_2[name]), str(len(ours)), *spread(ours, COLUMNS)])
    photographs = by_row(rows_of("comparison", "comparison") + fourteen_epochs() + variants(), COLUMNS)
    return markdown("Table 2: ablation", rows, f"{PAPER}\n\n{OURS}") + section(
        "On photographs", photographs, PHOTOGRAPHS
    )


def fourteen_epochs() -> list[dict[str, str]]:
    return [row | {"recipe": f"{row['recipe']}, 14 epochs"} for row in rows_of("long", "comparison")]


def variants() -> list[dict[str, str]]:
    """The rows of the second comparison, without the loss that is in both."""
    return [row for row in rows_of("ablation", "comparison") if row["recipe"] != "aLRP Loss"]


def _percent(name: str, value: float) -> str:
    return f"{value:.2f}".lstrip("0") if name == "rho" else f"{100 * value:.1f}"
