"""aLRP Loss, AP Loss and focal loss on a sample of COCO: a page of what `alrp compare` found."""

from collections.abc import Sequence

from alrp_ref.reports.comparison import BOUNDS, COLUMNS, by_rate, mean_rows, spread, summary
from figures.runs import DATA, read_table
from figures.style import section, text

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
    "alrp_mobilenet_320:loc_weight=200.0": "initial weight 200",
    "alrp_mobilenet_320:self_balance_epochs=0.1": "weight renewed ten times an epoch",
    "alrp_mobilenet_320:warmup_iters=5": "warm-up of 5 steps, not 46",
    "alrp_mobilenet_320:clip_norm=20.0": "gradients clipped at 20, not 2",
}
"""What a reader calls each recipe."""

ORDERS = {"lower": "worst", "as it is": "as it is", "upper": "best"}
METRICS = COLUMNS[:-1]  # without minutes
PLACES = ("share", "pull", "anchors", "boxes", "above")

SETTING = """A 1,843-image sample of COCO, MobileNetV2 with ImageNet weights, 320 pixels, batches of 8, evaluated on 204
images of val2017, all 80 classes, on a CPU. The same model, data, augmentation, batch and number of steps for each
loss; the learning rate of each was chosen on every tenth training image, held out of the sweep. These are figures of
short runs on a sample, not COCO's. The pages that `alrp compare` wrote show twelve of the images with each detector's
boxes; the photographs are not ours to keep, so here are plots alone.

In percent but for rho and minutes. rho is the correlation of the rankings by score and by IoU of the true positives
of a class, mean over the classes, of which most have a few: a class with two counts as much as persons do."""

COMMANDS = """export OMP_NUM_THREADS=1     # a thread each: two processes with the same command share the runs
M=alrp_mobilenet_320
set -- --coco DIR --backbone-weights mobilenet_v2_features.pth --device cpu --workers 0
alrp compare --recipes $M ap_mobilenet_320 focal_mobilenet_320 --seeds 3 --budget 460 --out runs/photos "$@"
alrp train --recipe $M --out runs/long/alrp "$@"; alrp train --recipe ap_mobilenet_320 --out runs/long/ap "$@"
alrp compare --recipes $M ${M}:self_balance_epochs=0:loc_weight=1.0 ${M}:loc_error=iou ${M}:loc_step=smoothed \\
    ${M}:delta=0.5 ${M}:delta=2.0 ${M}:rank_scope=image --seeds 1 --budget 460 --out runs/ablation "$@"
alrp compare --recipes $M ${M}:loc_step=smoothed ${M}:loc_weight=200.0 ${M}:clip_norm=20.0 \\
    ${M}:self_balance_epochs=0.1 ${M}:warmup_iters=5 --seeds 1 --budget 460 --out runs/tried "$@\""""

RESULT = """After two epochs the paper's ordering does not show: AP Loss is ahead of aLRP Loss, with no overlap of the
three seeds, though a fourth run of aLRP Loss, on another processor, came close (.44, below). The lead is at IoU 0.5; at
0.75 the two cannot be told apart, and at 0.9 there is nothing to compare. Both rankings are far ahead of focal loss.
Whether aLRP Loss gives scores that follow IoU cannot be told: the spread of rho is as large as the difference."""

LONG = """The recipes' own length, 3,220 steps, with the learning rates that the sweep chose, which are the recipes'.
One seed each, so that in the mean over all classes the two cannot be told apart: AP Loss is ahead by 13 %, no longer by
40, and after two epochs a seed's standard deviation was an eighth of the AP. On persons, of which there are enough, the
paper's ordering is there: aLRP Loss is ahead, and the more so the higher the IoU (below)."""

CLASSES = """After two epochs (mean ± standard deviation of three seeds) and after fourteen (one seed). On persons, by
far the most frequent class, aLRP Loss is ahead, though after two epochs not clearly in AP50; it is behind in the mean
over all classes, most of which have a few objects among 204 images."""

WHY = """Every positive counts here, found or not, in two groups: the share of the group in all positives; its share in
the pull, the sum of the gradients of the loss with respect to the errors of the boxes (not kept of the first runs;
"What else was tried" has it); the mean IoU of anchors and of boxes with their objects; and the share of boxes above IoU
0.5. AP Loss and focal loss pull at all boxes alike, by smooth L1. aLRP Loss pulls at a box for every positive below it
in the ranking, divided by its rank (Figure 2): those at the top learn first, and here the top is persons. They are 26 %
of the positives and have 82 % of the pull after two epochs, and 66 % after fourteen. The boxes of the other classes
hardly leave their anchors in two epochs and are catching up after fourteen, while persons' boxes are better than those
of AP Loss by then. That is what the paper wants of the loss, and it takes its time where most classes have a few
examples."""

BOUNDS_TEXT = """Table 5's procedure on these detectors: AP in percent if the scores of the true positives had the worst
order by IoU, the one they have, and the best."""

ABLATION = """aLRP Loss with one thing changed, its learning rate kept, two epochs, one seed: differences below two
tenths of a point of AP mean nothing, and rho is noise. On persons, whose AP is known to 0.4 points, two changes can be
told from it: without self-balance, at weight 1, AP falls from 8.6 to 5.7, and with each image ranked for itself to 5.9;
the others stay between 7.8 and 9.0 (data/ablation/classes.csv)."""

RATES = """AP on the images held out, after a third of the 460 steps, one run each. The rates that were best are the
recipes' own for the two rankings and a higher one for focal loss; the differences are as small as those between seeds,
so that this says no more than that none of the three was trained at a rate that is plainly wrong."""

TRIED = """What might hold the other boxes back, one thing at a time, two epochs, one seed: the order of the boxes'
part, its initial weight, the period of the self-balance, the warm-up, the clipping of gradients. None of it moves the
pull away from persons, or the others' boxes away from their anchors; a higher weight makes both worse, and with
gradients clipped at 20 the boxes fly apart, so that the bound of 2 is not what holds them. AP over all classes is
noise: the first row is the run above that reached .27 on another processor. The number of positives is no cause either:
it is the same for the three losses."""

VERDICT = """It says nothing against the paper's table: fourteen epochs of 1,843 images are a five-hundredth of its
training. What shows is how the loss works. Its boxes learn in the order of the scores, which costs the classes with few
examples at first, and pays at high IoU where there are many."""


def rows_of(folder: str, name: str) -> list[dict[str, str]]:
    """A table of a comparison, with names to be read."""
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
            section("Two epochs", summary(rows_of("comparison", "comparison")), RESULT),
            section("Fourteen epochs", summary(rows_of("long", "comparison")), LONG),
            "\n![Losses while training, and precision against recall](comparison_curves.png)\n",
            section("Where the mean comes from", after("classes", "class", ("AP", "AP50", "AP75", "oLRP")), CLASSES),
            section("Why", after("positives", "class", PLACES), WHY),
            section("What the order of the scores is worth", after("bounds", "order", BOUNDS), BOUNDS_TEXT),
            section("Ablation", by_row(rows_of("ablation", "comparison"), METRICS), ABLATION),
            section("What else was tried", tried(), TRIED),
            section("The learning rates", rates(), RATES),
            f"\n## What this says of the paper\n\n{text(VERDICT)}\n",
        ]
    )


def bounds() -> list[list[str]]:
    """Table 5 on photographs."""
    return after("bounds", "order", BOUNDS)


def after(table: str, key: str, columns: Sequence[str]) -> list[list[str]]:
    """A table of both comparisons: two epochs, then fourteen; `key` comes first."""
    lines = [[key, "epochs", "recipe", *columns]]
    for epochs, folder in (("2", "comparison"), ("14", "long")):
        rows = [{column: row.get(column) for column in (key, "recipe", *columns)} for row in rows_of(folder, table)]
        lines += [[group, epochs, *cells] for group, *cells in mean_rows(rows, (key, "recipe"), columns)[1:]]
    return lines


def by_row(rows: list[dict[str, str]], columns: Sequence[str]) -> list[list[str]]:
    """`summary` with a row for each recipe."""
    names, *others = zip(*(line for line in summary(rows) if line[0] in ("", *columns)), strict=True)
    return [list(names), *map(list, others)]


def tried() -> list[list[str]]:
    """What each variant reaches, and what becomes of the boxes of persons and of the others."""
    classes = {row["recipe"]: row for row in rows_of("tried", "classes") if row["class"] == "person"}
    groups = {(row["recipe"], row["class"]): row for row in rows_of("tried", "positives")}
    lines = [["", "AP", "AP, person", "pull, person", "boxes, person", "boxes, others", "above, others"]]
    for row in rows_of("tried", "comparison"):
        name = row["recipe"]
        person, others = groups[name, "person"], groups[name, "others"]
        cells = (row["AP"], classes[name]["AP"], person["pull"], person["boxes"], others["boxes"], others["above"])
        lines.append([name, *(spread([cell], "AP") for cell in cells)])
    return lines


def rates() -> list[list[str]]:
    """AP on the images held out, by learning rate."""
    (_, *columns), *rows = by_rate(rows_of("comparison", "sweep"))
    return [["AP in percent", *columns], *rows]
