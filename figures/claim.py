"""Claim: what the loss is worth, on shapes, on photographs and on COCO, on one page. The text is `claim.md.j2`."""

from collections.abc import Hashable, Sequence

from alrp_ref.machine.files import read_table
from alrp_ref.reports.seeds import Study
from figures import seeds
from figures.prose import apart, count, render
from studies import recipes
from studies.results import DATA, MEASURED, METRICS

LOSSES = {"alrp": "aLRP Loss", "ap": "AP Loss", "focal": "focal loss"}

ON_SHAPES = [
    ("aLRP Loss", "alrp", 10_000),
    ("AP Loss", "ap", 10_000),
    ("AP Loss, mean GIoU × 3", "ap_alike_3", 10_000),
    ("focal loss", "focal", 10_000),
    ("RS Loss", "rs", 10_000),
    ("aLRP Loss", "alrp", 20_000),
    ("AP Loss", "ap", 20_000),
    ("AP Loss, mean GIoU × 3", "ap_alike_3", 20_000),
    ("aLRP Loss, constant weight 1", "giou_weight_1", 10_000),
    ("aLRP Loss, constant weight 2", "giou_weight_2", 10_000),
    ("aLRP Loss, constant weight 5", "giou_weight_5", 10_000),
    ("aLRP Loss, renewed 5 times an epoch", "alrp_renewed_5", 10_000),
    ("AP Loss, smooth L1 × 3", "ap_smooth_l1_3", 10_000),
    ("AP Loss, smooth L1 × 10", "ap_smooth_l1_10", 10_000),
    ("AP Loss, smooth L1 × 30", "ap_smooth_l1_30", 10_000),
    ("AP Loss, mean GIoU × 1", "ap_alike_1", 10_000),
    ("AP Loss, mean GIoU × 10", "ap_alike_10", 10_000),
]
"""Title, recipe in `data/length/results.csv`, and length of each row."""

TRAINED_BY = {
    "alrp": ("aLRP Loss", "weighted by rank", "self-balance"),
    "ap_ordered": ("AP Loss", "weighted by rank", "self-balance"),
    "giou_weight_2": ("aLRP Loss", "weighted by rank", "2"),
    "giou_weight_5": ("aLRP Loss", "weighted by rank", "5"),
    "ap_ordered_5": ("AP Loss", "weighted by rank", "5"),
    "alrp_alike_3": ("aLRP Loss", "unweighted mean", "3"),
    "ap_alike_3": ("AP Loss", "unweighted mean", "3"),
    "ap_alike_10": ("AP Loss", "unweighted mean", "10"),
    "ap_scored_2": ("AP Loss", "weighted by score", "2"),
    "ap_scored_3": ("AP Loss", "weighted by score", "3"),
    "rs_alike_3": ("RS Loss", "unweighted mean", "3"),
    "rs": ("RS Loss", "weighted by score", "balance of each step"),
}
"""By recipe: who trains the scores, how the errors of the boxes are averaged, and their weight."""


def _rows(*recipes: str) -> list[tuple[str, str, str, str]]:
    return [(*TRAINED_BY[recipe], recipe) for recipe in recipes]


SWITCHES = _rows(
    *("alrp", "ap_ordered", "giou_weight_2", "giou_weight_5", "ap_ordered_5"),
    *("alrp_alike_3", "ap_alike_3"),
)
WEIGHTING = (
    ("alrp_alike_3", "giou_weight_2"),
    ("alrp_alike_3", "giou_weight_5"),
    ("ap_alike_3", "ap_ordered_5"),
    ("ap_alike_10", "ap_ordered_5"),
)
"""Pairs of recipes with the same scores: unweighted mean, weighted by rank."""
LADDER = _rows("ap_alike_3", "ap_alike_10", "ap_scored_2", "ap_scored_3", "ap_ordered_5", "rs_alike_3", "rs")
"""From no order of the boxes to the steepest."""

FEW = [
    ("aLRP Loss", "few_alrp", 10_000),
    ("AP Loss, smooth L1 × 1", "few_ap", 10_000),
    ("AP Loss, mean GIoU × 3", "few_ap_alike_3", 10_000),
]
"""Trained on 800 pictures."""

IN_SHORT = [row for row in ON_SHAPES if row[1] in ("alrp", "ap", "focal", "ap_alike_3", "rs")]


def draw() -> str:
    """The page."""
    return render(
        "claim",
        short=on_shapes(IN_SHORT),
        frozen=on_frozen_features(),
        elsewhere=elsewhere(),
        number_of_rows=len({recipe for _, recipe, _ in ON_SHAPES} | {recipe for *_, recipe in SWITCHES}),
    )


def on_shapes(shown: Sequence[tuple[str, str, int]] = ON_SHAPES) -> list[list[str]]:
    rows = [["shapes", "steps", "seeds", *MEASURED]]
    return rows + [[title, f"{steps:,}", *of_run(recipe, steps)] for title, recipe, steps in shown]


def square(shown: Sequence[tuple[str, str, str, str]] = SWITCHES) -> list[list[str]]:
    """Who trains the scores, and who the boxes."""
    rows = [["scores by", "errors of the boxes", "their weight", "seeds", *MEASURED]]
    return rows + [[scores, boxes, weight, *of_run(recipe)] for scores, boxes, weight, recipe in shown]


def weighting() -> list[list[str]]:
    """What the unweighted mean has more than the errors weighted by rank, at constant weights, pair by pair."""
    rows = [["scores by", "unweighted mean less weighted by rank", "seeds", "AP", "AP75", "AP90", "rho"]]
    for unweighted, by_rank in WEIGHTING:
        scores, _, weight = TRAINED_BY[unweighted]
        own = [scores, f"× {weight} less × {TRAINED_BY[by_rank][2]}", f"{count(unweighted)}, {count(by_rank)}"]
        rows.append(own + [apart(unweighted, by_rank, metric) for metric in rows[0][3:]])
    return rows


def on_frozen_features() -> list[list[str]]:
    """Heads on the features of a trained network, in percent but for rho."""
    titles = {recipe: title for title, recipe, _ in ON_SHAPES}
    found = {(row["row"], row["class"]): row for row in read_table(DATA / "heads" / "results.csv")}
    rows = [["head trained by", "photographs", *MEASURED, "AP, persons", "AP, others"]]
    for recipe in dict.fromkeys(recipe for recipe, _ in found):
        own = found[recipe, "all"]
        values = [f"{100 * float(own[metric]):.1f}" for metric in METRICS] + [f"{float(own['rho']):.3f}"]
        groups = [f"{100 * float(found[recipe, group]['AP']):.1f}" for group in ("person", "others")]
        rows.append([titles[recipe], own["photographs"], *values, *groups])
    return rows


def on_photographs() -> list[list[str]]:
    rows = [["", "seeds", *METRICS]]
    for group in ("person", "others"):
        study = seeds.photographs(group)
        for loss, title in LOSSES.items():
            rows += [[f"{group}, {title}", str(len(study.cells[loss])), *cells(study, loss, METRICS)]]
    return rows


def elsewhere() -> list[list[str]]:
    """What others have on COCO."""
    rows = read_table(DATA / "elsewhere.csv")
    return [["detector, ResNet-50", *list(rows[0])[1:]], *(list(row.values()) for row in rows)]


def to_train() -> list[list[str]]:
    """The recipe of each row."""
    shown = SWITCHES + LADDER
    titles = {recipe: f"scores: {scores}; boxes: {boxes}, {weight}" for scores, boxes, weight, recipe in shown}
    titles |= {recipe: title for title, recipe, _ in ON_SHAPES}
    titles |= {f"photographs_{loss}": f"photographs, {title}" for loss, title in LOSSES.items()}
    found = recipes.ON_SHAPES | recipes.PHOTOGRAPHS
    return [["row", "recipe"], *([title, f"`{found[name]}`"] for name, title in titles.items())]


def of_run(recipe: str, steps: int = 10_000) -> list[str]:
    """The number of seeds of a run on shapes, and its cells."""
    study = seeds.shapes()
    return [str(len(study.values((recipe, steps), "AP"))), *cells(study, (recipe, steps), MEASURED)]


def cells(study: Study, cell: Hashable, columns: Sequence[str]) -> list[str]:
    """Mean of the seeds ± its standard error, by column."""
    digits = {"rho": 3}
    found = {column: study.mean(cell, column) for column in columns}
    return [f"{m:.{digits.get(c, 1)}f} ± {error:.{digits.get(c, 1)}f}" for c, (m, error) in found.items()]
