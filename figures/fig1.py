"""Figure 1: three detectors with the same scores and the same boxes, and what each measure and loss says of them.

Ten anchors, four of them positive, five objects (one is never found). Every number is the printed one: AP is COCO's
idea with all-point interpolation, AP and aLRP Loss have the hard step, cross entropy is a mean over the ten anchors,
IoU loss one over the four positives.

The column of L1 is open. L1 needs coordinates, and the picture gives IoUs only: boxes of one IoU can have any L1. The
paper prints .29 for each detector.
"""

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from alrp_ref import alrp_loss, ap_loss
from alrp_ref.palette import GREY, INK, LIGHT, POSITIVE
from figures.style import letter

SCORES = torch.arange(10, 0, -1, dtype=torch.float64) / 10
POSITIVES = [0, 2, 5, 9]
IOUS = {"$R_1$": (0.95, 0.80, 0.65, 0.50), "$R_2$": (0.80, 0.65, 0.50, 0.95), "$R_3$": (0.50, 0.65, 0.80, 0.95)}
THRESHOLDS, OBJECTS = (0.50, 0.65, 0.80, 0.95), 5
HARD = 0.05
"""A step narrower than half the distance of two scores is the hard step."""

NOT_IN_THE_PICTURE = "L1"

PRINTED = {
    "$R_1$": (0.51, 0.43, 0.33, 0.20, 0.37, 0.87, 0.36, 0.29, 0.28, 0.53),
    "$R_2$": (0.51, 0.39, 0.24, 0.02, 0.29, 0.87, 0.36, 0.29, 0.28, 0.69),
    "$R_3$": (0.51, 0.19, 0.08, 0.02, 0.20, 0.87, 0.36, 0.29, 0.28, 0.89),
}


def numbers() -> dict[str, dict[str, float]]:
    """What each measure and loss says of each detector."""
    return {name: _measures(torch.tensor(ious, dtype=torch.float64)) for name, ious in IOUS.items()}


def _measures(ious: torch.Tensor) -> dict[str, float]:
    targets = torch.zeros(10, dtype=torch.int64)
    targets[POSITIVES] = 1
    ap = {f"AP$_{{{100 * t:.0f}}}$": _average_precision(ious, t) for t in THRESHOLDS}
    alrp = alrp_loss(SCORES, targets, (1 - ious) / 0.5, delta=HARD)
    return ap | {
        "AP": sum(ap.values()) / len(ap),
        "cross\nentropy": float(torch.nn.functional.binary_cross_entropy(SCORES, targets.double())),
        "AP\nLoss": float(ap_loss(SCORES, targets, delta=HARD)),
        "IoU\nLoss": float((1 - ious).mean()),
        "aLRP\nLoss": float(alrp.cls + alrp.loc),
    }


def _average_precision(ious: torch.Tensor, threshold: float) -> float:
    """Sum of the interpolated precisions of the true positives over the number of objects."""
    true = torch.zeros(10, dtype=torch.float64)
    true[POSITIVES] = (ious >= threshold).double()
    precision = true.cumsum(0) / torch.arange(1, 11)
    return float((precision.flip(0).cummax(0).values.flip(0) * true).sum() / OBJECTS)


def draw() -> Figure:
    """(a) the ten anchors; (b) how they are evaluated; (c) what the losses say."""
    figure = Figure(figsize=(10, 3.7))
    above, below = figure.subfigures(2, 1, height_ratios=(1.1, 1))
    _anchors(above.subplots())
    left, right = below.subplots(1, 2)
    found = numbers()
    names = list(found["$R_1$"])
    _table(left, names[:5], found, "(b) average precision: five objects, all-point interpolation")
    _table(right, [*names[5:7], NOT_IN_THE_PICTURE, *names[7:]], found, "(c) losses")
    return figure


def _anchors(ax: Axes) -> None:
    letter(ax, "(a) ten anchors, best score first; blue: positives, with the IoU of each detector's box")
    for place in range(10):
        positive = place in POSITIVES
        ax.add_patch(_cell(place, 0, POSITIVE if positive else LIGHT))
        ax.text(place + 0.5, 0.5, f"{SCORES[place]:.1f}", ha="center", va="center", color="white" if positive else INK)
    for line, (name, ious) in enumerate(IOUS.items(), 1):
        ax.text(-0.1, line + 0.5, name, ha="right", va="center")
        for place, iou in zip(POSITIVES, ious, strict=True):
            ax.add_patch(_cell(place, line, POSITIVE, alpha=iou**3))
            ax.text(
                place + 0.5, line + 0.5, f"{iou:.2f}", ha="center", va="center", color="white" if iou > 0.9 else INK
            )
        for place in set(range(10)) - set(POSITIVES):
            ax.text(place + 0.5, line + 0.5, "-", ha="center", va="center", color=GREY)
    ax.text(-0.1, 0.5, "score", ha="right", va="center")
    ax.set(xlim=(-1, 10), ylim=(4, 0))
    ax.set_axis_off()


def _cell(x: float, y: float, colour: str, alpha: float = 1.0):
    from matplotlib.patches import Rectangle

    return Rectangle((x + 0.03, y + 0.06), 0.94, 0.88, facecolor=colour, alpha=alpha, linewidth=0)


def _table(ax: Axes, columns: list[str], found: dict[str, dict[str, float]], title: str) -> None:
    letter(ax, title)
    for x, column in enumerate(columns):
        ax.text(x + 0.5, 0.5, column, ha="center", va="center", color=GREY)
        if column == NOT_IN_THE_PICTURE:
            note = "not given\nby IoUs;\nprinted:\n.29 each"
            ax.text(x + 0.5, 2.5, note, ha="center", va="center", color=GREY, fontsize=8)
            continue
        distinct = len({round(values[column], 9) for values in found.values()}) > 1
        for y, values in enumerate(found.values(), 1):
            weight = "bold" if distinct and column in ("AP", "aLRP\nLoss") else "normal"
            text = f"{values[column] + 1e-9:.2f}".lstrip("0")
            ax.text(x + 0.5, y + 0.5, text, ha="center", va="center", color=INK, weight=weight)
    for y, name in enumerate(found, 1):
        ax.text(0, y + 0.5, name, ha="right", va="center")
    ax.axhline(1, color=INK, linewidth=0.8)
    ax.set(xlim=(-0.4, len(columns)), ylim=(4, 0))
    ax.set_axis_off()
