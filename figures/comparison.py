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
