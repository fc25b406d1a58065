"""Weights: AP, AP90 and oLRP against a constant weight of the boxes, and self-balance, which needs none (Table 3)."""

from matplotlib.figure import Figure

from alrp_ref.palette import INK
from figures.runs import at_the_end
from figures.style import LOOKS, letter
from figures.table3 import WEIGHTS

PANELS = ("AP", "AP90", "oLRP")


def draw() -> Figure:
    figure = Figure(figsize=(9, 3.1))
    for axes, metric in zip(figure.subplots(1, len(PANELS)), PANELS, strict=True):
        of_constants = [[float(row[metric]) for row in at_the_end(f"giou_weight_{weight}")] for weight in WEIGHTS]
        means, colour = [sum(v) / len(v) for v in of_constants], LOOKS["aLRP Loss"].colour
        axes.semilogx(WEIGHTS, means, "o-", color=colour, markersize=3, label="constant weight")
        balanced = [float(row[metric]) for row in at_the_end("alrp")]
        axes.axhline(sum(balanced) / len(balanced), color=INK, linestyle="--", label="self-balance, no search")
        axes.axhspan(min(balanced), max(balanced), color=INK, alpha=0.12, linewidth=0)
        axes.set_xticks(WEIGHTS, [str(weight) for weight in WEIGHTS])
        axes.minorticks_off()
        axes.set(xlabel="constant weight of the boxes")
        letter(axes, metric)
    axes.legend()
    return figure
