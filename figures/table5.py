"""Table 5: what the order of the scores is worth: AP between the worst and the best correlation with IoU."""

from figures import comparison
from figures.runs import DATA, Run, bounds, read_table
from figures.style import markdown, section

COLUMNS = ("AP", "AP50", "AP75", "AP90")
NAMES = {"lower": "worst order", "as it is": "as it is", "upper": "best order"}
NOTE = """In percent. The paper's text speaks of up to 20, and of about 10, points of AP; its numbers we have not read.

The detections of a class stay, and so does which of them are true at IoU 0.5 (each takes the box that it overlaps
most of those still free, best score first). At a threshold at which n of them are true, the n highest scored are taken
for the true ones (best order), or the n lowest (worst order). A class without a true positive at a threshold counts 0
there, in all three rows; the older release's evaluator takes all instead of none in the worst order, so that its lower
bound may be a little high. Equal scores keep the order in which the detections are listed. "As it is" may differ
a little from the AP of `alrp eval`: a detection in a crowd counts as false here, where COCO passes over it, and the
true ones of IoU 0.5 are those of all thresholds, while COCO matches anew at each."""
RUNS = {"ap_iou_anchors": "AP Loss", "alrp_giou_sb": "aLRP Loss"}
"""The recipe of each detector in `data/length/bounds.csv`."""
OURS = """Ours: two detectors of Table 2 after 10,000 steps, on 1,000 pictures of shapes: AP Loss, and aLRP Loss with
GIoU and self-balance. Both have the IoU assigner and seed 0. In AP both lie four points below their best order. At IoU
0.9, AP Loss is halfway between its worst and its best order, and aLRP Loss at two thirds: its scores follow the boxes
more closely."""

PHOTOGRAPHS = """The same for MobileNetV2 on a sample of COCO, two epochs with each of three losses (mean ± standard
deviation of three seeds) and fourteen with two of them (one seed): see [`comparison.md`](comparison.md)."""


def draw(run: Run | None = None) -> str:
    """Our detector, or another run's."""
    ours = bounds(run) if run is not None else read_table(DATA / "length" / "bounds.csv")
    rows = [["ours", *COLUMNS]]
    for one in ours:
        order = NAMES[one["order"]]
        title = f"{RUNS[one['recipe']]}, {order}" if "recipe" in one else order
        rows.append([title, *(f"{100 * float(one[c]):.1f}" for c in COLUMNS)])
    page = markdown("Table 5: what correlation is worth", rows, NOTE + (f"\n\n{OURS}" if run is None else ""))
    return page + section("On photographs", comparison.bounds(), PHOTOGRAPHS) if run is None else page
