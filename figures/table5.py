"""Table 5: what the order of the scores is worth: AP between the worst and the best correlation with IoU.

The text is `table5.md.j2`.
"""

from alrp_ref.machine.files import read_table
from figures import comparison
from figures.prose import bound, render
from studies.results import DATA, METRICS, Run, bounds

NAMES = {"lower": "worst order", "as it is": "as it is", "upper": "best order"}
RUNS = {"ap_iou_anchors": "AP Loss", "alrp_giou_sb": "aLRP Loss"}
"""The recipe of each detector in `data/length/bounds.csv`."""


def draw(run: Run | None = None) -> str:
    """Our detector, or another run's."""
    ours = bounds(run) if run is not None else read_table(DATA / "length" / "bounds.csv")
    rows = [["ours", *METRICS[:4]]]
    for one in ours:
        order = NAMES[one["order"]]
        title = f"{RUNS[one['recipe']]}, {order}" if "recipe" in one else order
        rows.append([title, *(f"{100 * float(one[c]):.1f}" for c in METRICS[:4])])
    photographs = None if run is not None else comparison.bounds()
    return render("table5", rows=rows, photographs=photographs, run=run, part=part)


def part(recipe: str, metric: str) -> str:
    """How far a detector is on the way from its worst to its best order, in percent."""
    worst, found, best = (bound(recipe, order, metric) for order in NAMES)
    return f"{100 * (found - worst) / (best - worst):.0f}"
