"""The toy of `studies/toy.py`: what each of the two switches does, on seen and on new examples."""

import numpy as np
from matplotlib.figure import Figure

from alrp_ref.machine.files import read_table
from alrp_ref.palette import INK, LIGHT
from figures.style import LOOKS, letter
from studies.results import DATA
from studies.toy import CORNERS, METRICS, WEIGHTS


def kept(noise: float, examples: str, scores_by: str, boxes_by: str, weight: str) -> dict[str, np.ndarray]:
    """Of each metric in data/toy.csv the values of all seeds."""
    setting = {
        "noise": f"{noise:g}",
        "examples": examples,
        "scores_by": scores_by,
        "boxes_by": boxes_by,
        "weight": weight,
    }
    rows = [row for row in read_table(DATA / "toy.csv") if setting.items() <= row.items()]
    return {name: np.array([float(row[name]) for row in rows]) for name in METRICS}


def best_weight(noise: float, scores_by: str) -> str:
    """Of five constant weights the one with the highest AP90 on the seen examples, mean over the seeds."""
    ap90 = {weight: kept(noise, "seen", scores_by, "alike", str(weight))["AP90"].mean() for weight in WEIGHTS}
    return str(max(ap90, key=ap90.get))


def corner(noise: float, examples: str, scores_by: str, boxes_by: str) -> dict[str, np.ndarray]:
    """`kept`, with self-balance or at the best constant weight."""
    weight = "self-balance" if boxes_by == "aLRP" else best_weight(noise, scores_by)
    return kept(noise, examples, scores_by, boxes_by, weight)


ASIDE = {"aLRP": -0.2, "AP": 0.2}
TITLES = {"rho": r"$\rho$ of score and IoU", "AP50": "AP50", "AP75": "AP75", "AP90": "AP90"}


def draw() -> Figure:
    figure = Figure(figsize=(9, 3.7))
    for place, (axes, metric) in enumerate(zip(figure.subplots(1, 4), ("AP50", "AP75", "AP90", "rho"), strict=True)):
        for scores_by, boxes_by in CORNERS:
            colour, _, marker = LOOKS[f"{scores_by} Loss"]
            for examples, fill, further in (("seen", colour, -0.08), ("new", "white", 0.08)):
                values = corner(0.8, examples, scores_by, boxes_by)[metric]
                name = f"scores by {scores_by} Loss, {examples} examples" if boxes_by == "aLRP" else None
                at = (boxes_by == "alike") + ASIDE[scores_by] + further
                looks = {"marker": marker, "color": colour, "markerfacecolor": fill, "capsize": 2, "linestyle": "none"}
                axes.errorbar(at, values.mean(), values.std(ddof=1), label=name, **looks)
        axes.axvline(0.5, color=LIGHT, linewidth=0.8)
        axes.set_xticks([0, 1], ["aLRP Loss,\nself-balance", "all alike,\nbest weight"])
        axes.set(xlim=(-0.5, 1.5), ylim=None if metric == "rho" else (-0.03 * axes.get_ylim()[1], None))
        axes.axhline(0, color=INK, linewidth=0.8, zorder=0)
        letter(axes, f"({'abcd'[place]}) {TITLES[metric]}")
    figure.supxlabel("boxes by", fontsize=9)
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=2)
    return figure
