"""Short runs with aLRP, AP and focal loss on a sample of COCO: a page of what `alrp compare` found.

The text is `comparison.md.j2`.
"""

from collections.abc import Iterable, Sequence

from alrp_ref.machine.files import read_table
from alrp_ref.reports.comparison import BOUNDS, MEASURED, by_rate, summary
from alrp_ref.reports.seeds import Study
from figures.prose import decimal, render
from studies.results import DATA

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
METRICS = MEASURED[:-1]  # without minutes
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
    return render(
        "comparison",
        two_epochs=summary(rows_of("comparison", "comparison")),
        fourteen_epochs=summary(rows_of("long", "comparison")),
        classes=after("classes", "class", ("AP", "AP50", "AP75", "oLRP")),
        positives=after("positives", "class", PLACES),
        bounds=bounds(),
        ablation=[["", *METRICS], *by_row("ablation", METRICS)],
        tried=tried(),
        rates=rates(),
        on=on,
        lead=lead,
        deviation=decimal(study("comparison", "comparison").deviation("AP")[0], 2),
        processors=decimal(another_processor(), 1),
        others=other_variants(),
    )


def study(folder: str, table: str, only: str = "", key: str = "class") -> Study:
    """The runs of a table, by recipe; with `only`, its rows of one class or order."""
    return Study([row for row in rows_of(folder, table) if not only or row[key] == only], lambda row: row["recipe"])


def on(folder: str, recipe: str, column: str = "AP", only: str = "", table: str = "comparison", digits: int = 2) -> str:
    """A number for the text: mean of the seeds, in percent but for rho."""
    return decimal(study(folder, table, only).mean(recipe, column)[0], digits)


def lead(recipe: str, other: str, column: str = "AP", only: str = "", table: str = "comparison") -> str:
    """By how much one of the two-epoch runs has more than another. Raises: ValueError if it has not."""
    by, off = study("comparison", table, only).difference(recipe, other, column)
    if by <= 0:
        raise ValueError(f"the page says that {recipe} has more {column} than {other}; it has {by:.3f}")
    return f"{decimal(by, 2)} ± {decimal(off, 2)}"


def another_processor() -> float:
    """By how much the same run of aLRP Loss differs in AP, made twice."""
    once, again = (study(folder, "comparison").mean("aLRP Loss", "AP")[0] for folder in ("ablation", "tried"))
    return abs(once - again)


def other_variants() -> dict[str, str]:
    """Least and most AP on persons of the ablation, without the two variants that the text names."""
    runs = study("ablation", "classes", "person")
    names = runs.cells.keys() - {"aLRP Loss", "no self-balance, weight 1", "each image ranked for itself"}
    found = [runs.mean(name, "AP")[0] for name in names]
    return {"min": decimal(min(found)), "max": decimal(max(found))}


def bounds() -> list[list[str]]:
    """Table 5 on photographs."""
    return after("bounds", "order", BOUNDS)


def after(table: str, key: str, columns: Iterable[str]) -> list[list[str]]:
    """A table of both comparisons: two epochs, then fourteen; `key` comes first."""
    lines = [[key, "epochs", "recipe", *columns]]
    for epochs, folder in (("2", "comparison"), ("14", "long")):
        for group in dict.fromkeys(row[key] for row in rows_of(folder, table)):
            runs = study(folder, table, group, key)
            lines += [[group, epochs, name, *(runs.shown(name, c) for c in columns)] for name in runs.cells]
    return lines


def by_row(folder: str, columns: Sequence[str]) -> list[list[str]]:
    """A row for each recipe."""
    runs = study(folder, "comparison")
    return [[name, *(runs.shown(name, column) for column in columns)] for name in runs.cells]


def tried() -> list[list[str]]:
    """What each variant reaches, and what becomes of the boxes of persons and of the others."""
    runs, classes = study("tried", "comparison"), study("tried", "classes", "person")
    person, others = study("tried", "positives", "person"), study("tried", "positives", "others")
    columns = [(runs, "AP"), (classes, "AP"), (person, "pull"), (person, "boxes"), (others, "boxes"), (others, "above")]
    lines = [["", "AP", "AP, person", "pull, person", "boxes, person", "boxes, others", "above, others"]]
    return lines + [[name, *(rows.shown(name, column) for rows, column in columns)] for name in runs.cells]


def rates() -> list[list[str]]:
    """AP on the images held out, by learning rate."""
    (_, *columns), *rows = by_rate(rows_of("comparison", "sweep"))
    return [["AP in percent", *columns], *rows]
