"""Length: AP, AP90 and oLRP against training steps, for three detectors; mean of the seeds, and their range.

aLRP Loss, AP Loss with smooth L1, and AP Loss with the mean of the GIoU errors of aLRP Loss, times 3, for the boxes.

Small detectors on shapes, 10,000 and 20,000 steps, the learning rate a tenth after seven and eight ninths of them.
"""

from collections import defaultdict

import numpy as np
from matplotlib.figure import Figure

from alrp_ref.machine.files import read_table
from alrp_ref.palette import INK
from figures.style import LOOKS, Look, letter
from studies.results import DATA

LOSSES = {"alrp": "aLRP Loss", "ap": "AP Loss"}
CURVES = {name: (title, LOOKS[title]) for name, title in LOSSES.items()}
CURVES |= {"ap_alike_3": ("AP Loss, GIoU × 3", Look(INK, ":", "D"))}
"""Title and look, by recipe."""
PANELS = ("AP", "AP90", "oLRP")


def evaluations(total_steps: int) -> dict[str, dict[int, list[dict[str, str]]]]:
    """By loss and step, the rows of all seeds."""
    found: dict[str, dict[int, list[dict[str, str]]]] = {name: defaultdict(list) for name in CURVES}
    for row in read_table(DATA / "length" / "results.csv"):
        if row["recipe"] in CURVES and int(row["total_steps"]) == total_steps:
            found[row["recipe"]][int(row["steps"])].append(row)
    return found


def draw() -> Figure:
    figure = Figure(figsize=(9, 3.9))
    for axes, metric in zip(figure.subplots(1, len(PANELS)), PANELS, strict=True):
        for total_steps, strength in ((10_000, 1.0), (20_000, 0.5)):
            for name, by_step in evaluations(total_steps).items():
                title, (colour, line, marker) = CURVES[name]
                steps = sorted(by_step)
                values = [[float(row[metric]) for row in by_step[step]] for step in steps]
                look = {"color": colour, "marker": marker, "markersize": 3, "alpha": strength}
                label = f"{title}, {total_steps:,}"
                axes.plot(steps, [np.mean(v) for v in values], line, label=label, **look)
                least, most = zip(*((min(v), max(v)) for v in values), strict=True)
                axes.fill_between(steps, least, most, color=colour, alpha=0.2 * strength)
        axes.set(xlabel="training step", xlim=(0, 20_500))
        letter(axes, metric)
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return figure
