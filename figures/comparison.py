"""aLRP Loss, AP Loss and focal loss on a sample of COCO: a page of what `alrp compare` found."""

from collections.abc import Sequence

from runs import DATA, read_table
from style import section, text

from alrp_ref.training.comparison import COLUMNS, mean_rows, summary

NAMES = {
    "alrp_mobilenet_320": "aLRP Loss",
    "ap_mobilenet_320": "AP Loss",
    "focal_mobilenet_320": "focal loss",
    "alrp_mobilenet_320:self_balance_epochs=0:loc_weight=1.0": "no self-balance, weight 1",
    "alrp_mobilenet_320:loc_error=iou": "1 - IoU for 1 - GIoU",
    "alrp_mobilenet_320:loc_step=smoothed": "smoothed order",
    "alrp_mobilenet_320:delta=0.5": "delta 0.5",
    "alrp_mobilenet_320:delta=2.0": "delta 2",
    "alrp_mobilenet_320:rank_scope=image": "each image ranked for itself",
}
POSITIVE = ("anchors", "boxes", "above")
BOUNDS = ("AP", "AP50", "AP75", "AP90")
ORDERS = {"lower": "worst", "as it is": "as it is", "upper": "best"}

SETTING = """A 1,843-image sample of COCO, MobileNetV2 with ImageNet weights, 320 pixels, 460 steps of 8 images (two
epochs), evaluated on 204 images of val2017, all 80 classes, on a CPU. The same model, data, augmentation, batch and
number of steps for each loss; the learning rate of each was chosen on every tenth training image, held out of the
sweep. These are figures of a short run on a sample, not COCO's.

Mean ± standard deviation over three seeds, in percent but for rho (Spearman's correlation of score and IoU over the
true positives of a class) and minutes (of training, one thread, with other jobs on the machine)."""

COMMANDS = """M=alrp_mobilenet_320
alrp compare --recipes $M ap_mobilenet_320 focal_mobilenet_320 --seeds 3 --budget 460 --coco DIR --out runs/photos \\
    --backbone-weights mobilenet_v2_features.pth --device cpu
alrp compare --recipes $M $M:self_balance_epochs=0:loc_weight=1.0 $M:loc_error=iou $M:loc_step=smoothed $M:delta=0.5 \\
    $M:delta=2.0 $M:rank_scope=image --seeds 1 --budget 460 --coco DIR --out runs/photos \\
    --backbone-weights mobilenet_v2_features.pth --device cpu"""

RESULT = """The paper's ordering does not show: AP Loss is ahead of aLRP Loss, with no overlap of the seeds, and the
lead is at IoU 0.5; at 0.75 the two cannot be told apart, and at 0.9 there is nothing to compare. Both rankings are
far ahead of focal loss. That aLRP Loss gives scores that follow IoU (rho) cannot be told at this size: the spread
is as large as the difference."""

CLASSES = """The mean hides two opposite results. On persons, by far the most frequent class, aLRP Loss is ahead of
AP Loss; it is behind in the mean over all, most of which have a few objects among 204 images."""

POSITIVES = """The reason is where the gradient of the boxes goes. Every positive counts here, found or not: the
mean IoU of its anchor and of its box with the object, and the share of boxes above IoU 0.5, over three seeds. AP
Loss trains all boxes alike, by smooth L1. In aLRP Loss a box is pulled by every positive below it in the ranking,
divided by their ranks (Figure 2): those at the top learn, and after two epochs the top is persons. Boxes of the
other classes have hardly left their anchors."""

BOUNDS_TEXT = """Table 3's procedure on these detectors: AP in percent if the scores of the true positives had the
worst order by IoU, the one they have, and the best."""

ABLATION = """aLRP Loss with one thing changed, its learning rate kept; one seed each, so that differences below a
tenth of a point of AP mean nothing (the standard deviation of a seed is 0.04). On persons, whose AP is known to 0.4
points, two changes can be told from noise: without self-balance, at weight 1, it falls from 8.6 to 5.7, and with
each image ranked for itself to 5.9; the others stay between 7.8 and 9.0 (data/ablation/classes.csv). Whether the
smoothed order is better, the best row in the mean, one seed cannot tell."""

RATES = """AP on the images held out, after a third of the steps. Of the ranking losses the recipe's rate is best
and has a worse one on each side; focal loss takes a higher one."""

VERDICT = """It says nothing against the paper's table, and nothing for it: two epochs are not a hundred. It says
that aLRP Loss starts slowly where examples are few, and why: localisation waits for the ranking. What was looked at
besides: the learning rate (above); clipping of gradients, which is not the cause; the score threshold of the
evaluation (0.01, 0.001 and 0 give the same AP); the self-balance, whose weight is renewed once in 460 steps (50,
then 22 to 32). A warm-up of another length, a higher initial weight and more steps were not tried."""


def rows_of(folder: str, name: str) -> list[dict[str, str]]:
    """A table of one of the two comparisons, with names to be read."""
    rows = read_table(DATA / folder / f"{name}.csv")
    for row in rows:
        row["recipe"] = NAMES[row["recipe"]]
        if "order" in row:
            row["order"] = ORDERS[row["order"]]
    return rows


def draw() -> str:
    """The page."""
    return "".join(
        [
            f"# Three losses on photographs\n\n{text(SETTING)}\n\n```bash\n{COMMANDS}\n```\n",
            section("Result", summary(rows_of("comparison", "comparison")), RESULT),
            "\n![Losses while training, and precision against recall](comparison_curves.png)\n",
            section(
                "Where the mean comes from",
                mean_rows(rows_of("comparison", "classes"), ("class", "recipe"), ("AP", "AP50", "AP75", "oLRP")),
                CLASSES,
            ),
            section("Why", mean_rows(rows_of("comparison", "positives"), ("class", "recipe"), POSITIVE), POSITIVES),
            section("What the order of the scores is worth", bounds(), BOUNDS_TEXT),
            section("Ablation", by_row(rows_of("ablation", "comparison"), COLUMNS[:-1]), ABLATION),
            section("The learning rates", tried(), RATES),
            f"\n## What this says of the paper\n\n{text(VERDICT)}\n",
        ]
    )


def bounds() -> list[list[str]]:
    """Table 3 on photographs."""
    return mean_rows(rows_of("comparison", "bounds"), ("recipe", "order"), BOUNDS)


def by_row(rows: list[dict[str, str]], columns: Sequence[str]) -> list[list[str]]:
    """`summary` with a row for each recipe."""
    names, *others = zip(*(line for line in summary(rows) if line[0] in ("", *columns)), strict=True)
    return [list(names), *map(list, others)]


def tried() -> list[list[str]]:
    """AP on the images held out, by learning rate."""
    rows = rows_of("comparison", "sweep")
    rates = sorted({float(row["lr"]) for row in rows})
    reached = {(row["recipe"], float(row["lr"])): f"{100 * float(row['AP']):.3f}" for row in rows}
    names = dict.fromkeys(row["recipe"] for row in rows)
    return [["AP in percent", *(f"{lr:g}" for lr in rates)]] + [
        [name, *(reached.get((name, lr), "") for lr in rates)] for name in names
    ]
