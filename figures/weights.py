"""Weights: AP, AP90 and oLRP against a constant weight of the boxes, and self-balance, which needs none (Table 3)."""

from matplotlib.figure import Figure

from alrp_ref.palette import GREY
from figures.style import LOOKS, letter
from figures.table3 import SELF_BALANCE, WEIGHTS
from studies.results import at_the_end

PANELS = ("AP", "AP90", "oLRP")
LINES = {"giou": ("GIoU", LOOKS["aLRP Loss"].colour, "-"), "iou": ("IoU", GREY, "--")}
"""Title, colour and line of each error."""


def draw() -> Figure:
    figure = Figure(figsize=(9, 3.4))
    for axes, metric in zip(figure.subplots(1, len(PANELS)), PANELS, strict=True):
        for error, (title, colour, line) in LINES.items():
            constants = WEIGHTS[error]
            values = [[float(row[metric]) for row in at_the_end(f"{error}_weight_{weight}")] for weight in constants]
            means = [sum(v) / len(v) for v in values]
            axes.semilogx(constants, means, line, color=colour, marker="o", markersize=3, label=title)
            balanced = [float(row[metric]) for row in at_the_end(SELF_BALANCE[error])]
            axes.axhline(sum(balanced) / len(balanced), color=colour, linestyle=line, linewidth=0.8)
            axes.axhspan(min(balanced), max(balanced), color=colour, alpha=0.15, linewidth=0)
        axes.set_xticks(WEIGHTS["giou"], [str(weight) for weight in WEIGHTS["giou"]])
        axes.minorticks_off()
        axes.set(xlabel="constant weight of the boxes")
        letter(axes, metric)
    axes.legend(title="marks: constants\nflat: self-balance")
    return figure
