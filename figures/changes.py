"""Changes: AP against AP90 of small detectors on shapes, a dot for each seed and an arrow for each change.

10,000 steps. The dots of a detector have one colour, which is that of the loss of its scores, and its mean has a ring.
"""

import numpy as np
from matplotlib.figure import Figure

from alrp_ref.palette import GREY, INK, LIGHT
from figures import seeds
from figures.style import LOOKS

DETECTORS = {
    "ap": ("AP Loss", "AP Loss,\nsmooth L1 × 1", "lower right"),
    "ap_smooth_l1_3": ("AP Loss", "smooth L1 × 3", "above"),
    "ap_smooth_l1_10": ("AP Loss", "smooth L1 × 10", "lower right"),
    "ap_alike_3": ("AP Loss", "AP, GIoU × 3", "above"),
    "ap_alike_10": ("AP Loss", "AP, GIoU × 10", "below"),
    "alrp_alike_3": ("aLRP Loss", "aLRP, GIoU × 3", "below"),
    "giou_weight_5": ("aLRP Loss", "by rank, × 5", "right"),
    "alrp": ("aLRP Loss", "aLRP Loss", "right"),
    "rs_alike_3": ("RS Loss", "RS, GIoU × 3", "above"),
    "rs": ("RS Loss", "RS Loss", "right"),
    "focal": ("focal loss", "focal loss, smooth L1", "below"),
}
"""By recipe: who trains the scores, the words beside the dot, and where they stand."""
ARROWS = {
    ("ap", "ap_smooth_l1_3"): "weight",
    ("ap_smooth_l1_3", "ap_smooth_l1_10"): "weight",
    ("ap_smooth_l1_3", "ap_alike_3"): "error",
    ("ap_alike_3", "ap_alike_10"): "weight",
    ("ap_alike_3", "alrp_alike_3"): "scores",
    ("ap_alike_3", "rs_alike_3"): "scores",
    ("alrp_alike_3", "giou_weight_5"): "weighting, × 5",
    ("giou_weight_5", "alrp"): "self-balance",
}
"""What is changed from one detector to the next."""
PLACES = {
    "right": (8, -3, "left"),
    "lower right": (5, -24, "left"),
    "above": (0, 8, "center"),
    "below": (0, -17, "center"),
}


def draw() -> Figure:
    figure = Figure(figsize=(7.4, 4.2))
    axes, study = figure.subplots(), seeds.shapes()
    points = {name: np.array([study.values((name, 10_000), metric) for metric in ("AP90", "AP")]) for name in DETECTORS}
    for (start, end), change in ARROWS.items():
        tail, head = (points[name].mean(axis=1) for name in (start, end))
        axes.annotate("", head, tail, arrowprops={"arrowstyle": "->", "color": GREY, "shrinkA": 7, "shrinkB": 7})
        box = {"boxstyle": "square,pad=0.1", "facecolor": "white", "edgecolor": "none"}
        axes.text(*(tail + head) / 2, change, color=GREY, fontsize=7, ha="center", va="center", bbox=box)
    for name, (loss, words, place) in DETECTORS.items():
        colour, _, marker = LOOKS[loss]
        axes.plot(*points[name], marker, color=colour, markersize=4, linestyle="none")
        middle = points[name].mean(axis=1)
        axes.plot(*middle, "o", color=colour, markerfacecolor="none", markersize=11, markeredgewidth=0.8)
        x, y, align = PLACES[place]
        axes.annotate(words, middle, (x, y), textcoords="offset points", color=INK, fontsize=8, ha=align)
    axes.grid(color=LIGHT, linewidth=0.6)
    axes.set(xlabel="AP90", ylabel="AP", xlim=(20, 42.5), ylim=(62.3, 71.6))
    for loss in dict.fromkeys(loss for loss, *_ in DETECTORS.values()):
        axes.plot([], [], LOOKS[loss].marker, color=LOOKS[loss].colour, linestyle="none", label=f"scores by {loss}")
    axes.legend(loc="lower left", fontsize=8)
    return figure
