"""Losses of three detectors over two epochs of photographs, and precision against recall of two after fourteen.

Each loss has an axis of its own, as they measure different things; means over three seeds. Precision: mean over all
classes, one seed.
"""

import numpy as np
from matplotlib.figure import Figure

from alrp_ref.palette import BOXES
from alrp_ref.reports.curves import SHOWN_IOUS
from figures.comparison import rows_of
from figures.style import LOOKS, letter

LOSSES = ("aLRP Loss", "AP Loss", "focal loss")


def draw() -> Figure:
    figure = Figure(figsize=(9, 5.6))
    above, below = figure.subplots(2, 3)
    for axes, name in zip(above, LOSSES, strict=True):
        rows = [row for row in rows_of("comparison", "losses") if row["recipe"] == name]
        step, cls, loc = (np.array([float(row[c]) for row in rows]) for c in ("step", "loss_cls", "loss_loc"))
        axes.plot(step, cls, color=LOOKS[name].colour, label="scores")
        axes.plot(step, loc, "--", color=BOXES, label="boxes, not weighted")
        axes.set(xlabel="training step", ylim=(0, None))
        letter(axes, name)
        axes.legend()
    above[0].set_ylabel("loss")
    rows = rows_of("long", "precision_recall")
    for axes, iou in zip(below, map(str, SHOWN_IOUS), strict=True):
        for name in dict.fromkeys(row["recipe"] for row in rows):
            of_loss = [row for row in rows if row["recipe"] == name and row["IoU"] == iou]
            recall, precision = (np.array([float(row[c]) for row in of_loss]) for c in ("recall", "precision"))
            look, label = LOOKS[name], f"{name}: AP {100 * precision.mean():.2f} %"
            axes.plot(recall, precision, look.line, color=look.colour, label=label)
        axes.set(xlabel="recall", xlim=(0, 1), ylim=(0, None))
        letter(axes, f"IoU {iou}, after 14 epochs")
        axes.legend(fontsize=8)
    below[0].set_ylabel("precision")
    return figure
