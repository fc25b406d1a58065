"""Short runs with aLRP, AP and focal loss on a sample of COCO: a page of what `alrp compare` found."""

from collections.abc import Sequence

from alrp_ref.reports.comparison import BOUNDS, COLUMNS, by_rate, mean_rows, spread, summary
from figures.runs import DATA, read_table
from figures.style import section, text

NAMES = {
    "alrp_mobilenet_320": "aLRP Loss",
    "ap_mobilenet_320": "AP Loss",
    "focal_mobilenet_320": "focal loss",
    "alrp_mobilenet_320:loss.self_balance_epochs=0:loss.first_weight=1.0": "no self-balance, weight 1",
    "alrp_mobilenet_320:loss.loc_error=iou": "1 - IoU for 1 - GIoU",
    "alrp_mobilenet_320:loss.loc_step=smoothed": "smoothed order",
    "alrp_mobilenet_320:loss.delta=0.5": "delta 0.5",
    "alrp_mobilenet_320:loss.delta=2.0": "delta 2",
    "alrp_mobilenet_320:rank_scope=image": "each image ranked for itself",
    "alrp_mobilenet_320:loss.first_weight=200.0": "initial weight 200",
    "alrp_mobilenet_320:loss.self_balance_epochs=0.1": "weight renewed ten times an epoch",
    "alrp_mobilenet_320:warmup_iters=5": "warm-up of 5 steps, not 46",
    "alrp_mobilenet_320:clip_norm=20.0": "gradients clipped at 20, not 2",
}
"""What a reader calls each recipe."""

ORDERS = {"lower": "worst", "as it is": "as it is", "upper": "best"}
METRICS = COLUMNS[:-1]  # without minutes
PLACES = ("share", "pull", "anchors", "boxes", "above")

SUMMARY = """These runs are short: two and fourteen epochs of 1,843 images, a five-hundredth of the paper's training.
[`claim.md`](claim.md) has the losses at length. A short run cannot rank the losses. It shows where aLRP Loss begins and
why AP Loss leads there. Four findings:

1. After two epochs AP Loss is ahead of aLRP Loss, .51 against .31 AP, with no overlap of the three seeds. After
fourteen epochs it is ahead by less, 4.9 against 4.3 AP (one seed).

2. Persons are a quarter of the positives. On them aLRP Loss is ahead, and the more so the higher the IoU: after
fourteen epochs 40.5 against 36.5 AP50, and 8.1 against 4.4 AP75.

3. The likely cause is the pull on the boxes. aLRP Loss spends 82 % of it on persons after two epochs and 66 % after
fourteen, because persons are ranked high. The boxes of the other classes follow later. (AP Loss also has another error
of a box, smooth L1, which was not tried apart here; [`claim.md`](claim.md) does it on shapes.)

4. No setting of aLRP Loss that was tried moves the pull to the other classes."""

SETTING = """A 1,843-image sample of COCO, MobileNetV2 with ImageNet weights, 320 pixels, batches of 8, evaluated on 204
images of val2017 with all 80 classes, on a CPU. All losses have the same model, data, augmentation, batch size and
number of steps. The learning rate of each loss was chosen on every tenth training image, which the sweep did not train
on. The crop of the augmentation was torchvision's, which keeps fewer boxes than the release's
([verification](../docs/verification.md)). The photographs are not ours to keep, so this page has plots alone.

Numbers are in percent, except rho and minutes. rho is the correlation of the rankings by score and by IoU of the true
positives of a class. It is the mean over the classes, so a class with two true positives counts as much as persons."""

COMMANDS = """export OMP_NUM_THREADS=1     # a thread each: two processes with the same command share the runs
M=alrp_mobilenet_320
set -- --coco DIR --backbone-weights mobilenet_v2_features.pth --device cpu --workers 0
alrp compare --recipes $M ap_mobilenet_320 focal_mobilenet_320 --seeds 3 --budget 460 --out runs/photos "$@"
alrp train --recipe $M --out runs/long/alrp "$@"; alrp train --recipe ap_mobilenet_320 --out runs/long/ap "$@"
alrp compare --recipes $M ${M}:loss.self_balance_epochs=0:loss.first_weight=1.0 ${M}:loss.loc_error=iou \\
    ${M}:loss.loc_step=smoothed ${M}:loss.delta=0.5 ${M}:loss.delta=2.0 --seeds 1 --budget 460 --out runs/ablation "$@"
alrp compare --recipes $M ${M}:loss.loc_step=smoothed ${M}:loss.first_weight=200.0 ${M}:clip_norm=20.0 \\
    ${M}:loss.self_balance_epochs=0.1 ${M}:warmup_iters=5 --seeds 1 --budget 460 --out runs/tried "$@\""""

RESULT = """Mean ± standard deviation of three seeds. AP Loss is ahead at IoU 0.5. At IoU 0.75 the two cannot be told
apart, and at 0.9 both are near zero. Both are far ahead of focal loss. The spread of rho is as large as its difference,
so it says nothing here. A fourth run of aLRP Loss, on another processor, reached an AP of .44 ("What else was
tried")."""

LONG = """The recipes' own length, 3,220 steps, with the learning rates that the sweep chose; these are the recipes'
own. There is one seed of each, so the difference of the means over all classes is within what another seed could
change: after two epochs a seed's standard deviation was an eighth of the AP."""

CLASSES = """After two epochs (mean ± standard deviation of three seeds) and after fourteen (one seed). Persons are by
far the most frequent class. On them aLRP Loss is ahead, though after two epochs not clearly in AP50. Most of the other
classes have only a few objects among 204 images, and in their mean AP Loss is ahead."""

WHY = """All positives count here, detected or not, in two groups. `share` is the group's share of all positives;
`pull` its share of the sum of the gradients of the loss with respect to the errors of the boxes (not kept of the first
runs; "What else was tried" has it); `anchors` and `boxes` the mean IoU of the anchors and of the predicted boxes with
their objects; `above` the share of boxes above IoU 0.5.

AP Loss and focal loss train the boxes by smooth L1, which pulls at all boxes alike. aLRP Loss pulls at a box once for
every positive below it in the ranking, divided by that positive's rank (Figure 2). So the boxes at the top of the
ranking learn first, and here persons are at the top. After two epochs the boxes of the other classes have hardly left
their anchors. After fourteen they are catching up, and persons' boxes are better than with AP Loss."""

BOUNDS_TEXT = """Table 5's procedure on these detectors: AP in percent if the scores of the true positives had the worst
order by IoU, the order that they have, and the best order."""

ABLATION = """aLRP Loss with one thing changed and the same learning rate, two epochs, one seed. Differences below 0.2
points of AP mean nothing, because the same run on another processor differed by as much; rho is noise. On persons,
whose AP is known to 0.4 points, two changes show: without self-balance, at weight 1, AP falls from 8.6 to 5.7, and with
each image ranked for itself to 5.9. The others stay between 7.8 and 9.0 (data/ablation/classes.csv). The row of
each image for itself was made with an earlier version, which had `rank_scope=image` (commit b5a478c is the last)."""

RATES = """AP on the held-out images after a third of the 460 steps, one run each. The best rates are the recipes' own
for the two rankings, and a higher one for focal loss. The differences are as small as those between seeds, so the sweep
shows only that no loss was trained at a rate that is plainly wrong."""

TRIED = """What might hold back the boxes of the other classes, one change at a time, two epochs, one seed: the order in
the boxes' part, the initial weight, the period of the self-balance, the warm-up, and the clipping of gradients. None of
them moves the pull away from persons, or the boxes of the other classes away from their anchors. A higher weight makes
both worse. With gradients clipped at 20 the boxes diverge, so the bound of 2 is not the cause. The first row is the
run that reached .27 on another processor: AP over all classes is noise. The number of positives is the same for the
three losses, so it is no cause either."""


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
            f"# Short runs on photographs\n\n{text(SUMMARY)}\n",
            f"\n## Setting\n\n{text(SETTING)}\n\n```bash\n{COMMANDS}\n```\n",
            section("Two epochs", summary(rows_of("comparison", "comparison")), RESULT),
            section("Fourteen epochs", summary(rows_of("long", "comparison")), LONG),
            "\n![Losses while training, and precision against recall](comparison_curves.png)\n",
            section("Where the mean comes from", after("classes", "class", ("AP", "AP50", "AP75", "oLRP")), CLASSES),
            section("Why", after("positives", "class", PLACES), WHY),
            section("What the order of the scores is worth", after("bounds", "order", BOUNDS), BOUNDS_TEXT),
            section("Ablation", by_row(rows_of("ablation", "comparison"), METRICS), ABLATION),
            section("What else was tried", tried(), TRIED),
            section("The learning rates", rates(), RATES),
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
