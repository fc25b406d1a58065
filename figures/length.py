"""Length: AP, AP90 and oLRP against training steps, for aLRP Loss and AP Loss; mean of the seeds, and their range.

Small detectors on shapes, 10,000 and 20,000 steps, the learning rate a tenth after seven and eight ninths of them.
"""

from collections import defaultdict

import numpy as np
from matplotlib.figure import Figure

from figures.runs import DATA, read_table
from figures.style import LOOKS, letter

LOSSES = {"alrp": "aLRP Loss", "ap": "AP Loss"}
PANELS = ("AP", "AP90", "oLRP")


def evaluations(total_steps: int) -> dict[str, dict[int, list[dict[str, str]]]]:
    """By loss and step, the rows of all seeds."""
    found: dict[str, dict[int, list[dict[str, str]]]] = {name: defaultdict(list) for name in LOSSES}
    for row in read_table(DATA / "length" / "results.csv"):
        if row["recipe"] in LOSSES and int(row["total_steps"]) == total_steps:
            found[row["recipe"]][int(row["steps"])].append(row)
    return found


def draw() -> Figure:
    figure = Figure(figsize=(9, 3.1))
    for axes, metric in zip(figure.subplots(1, len(PANELS)), PANELS, strict=True):
        for total_steps, strength in ((10_000, 1.0), (20_000, 0.5)):
            for name, by_step in evaluations(total_steps).items():
                colour, line, marker = LOOKS[LOSSES[name]]
                steps = sorted(by_step)
                values = [[float(row[metric]) for row in by_step[step]] for step in steps]
                look = {"color": colour, "marker": marker, "markersize": 3, "alpha": strength}
                label = f"{LOSSES[name]}, {total_steps:,}"
                axes.plot(steps, [np.mean(v) for v in values], line, label=label, **look)
                least, most = zip(*((min(v), max(v)) for v in values), strict=True)
                axes.fill_between(steps, least, most, color=colour, alpha=0.2 * strength)
        axes.set(xlabel="training step", xlim=(0, 20_500))
        letter(axes, metric)
    axes.legend(fontsize="small")
    return figure
