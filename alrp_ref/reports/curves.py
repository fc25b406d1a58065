"""The pictures of a run's report, each a matplotlib figure."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from alrp_ref.coco.order import correlation
from alrp_ref.training.log import PARTS, RPN_PARTS

IOUS = {0.5: 0, 0.75: 5, 0.9: 8}
"""IoU threshold -> its place among COCO's 0.50, 0.55, ..., 0.95."""


def loss_curves(rows: Sequence[dict[str, float]]) -> Figure:
    """Both parts of the loss, apart and together, and below them the weight of the self-balance; two stages abreast.

    Args: rows of `metrics.csv`, where the localisation part holds the weight.
    """
    stages = [RPN_PARTS, PARTS] if RPN_PARTS[0] in rows[0] else [PARTS]
    figure = Figure(figsize=(8, 6) if len(stages) == 1 else (11, 6), layout="constrained")
    columns = figure.subplots(2, len(stages), sharex=True, height_ratios=(3, 1), squeeze=False).T
    step = np.array([row["step"] for row in rows])
    for (above, below), names in zip(columns, stages, strict=True):
        cls, weighted, weight = (np.array([row[name] for row in rows]) for name in names[:3])
        for values, name, style in (
            (cls, names[0], "-"),
            (weighted / weight, f"{names[1]}, not weighted", "-"),
            (weighted, f"weight × {names[1]}", "--"),
            (cls + weighted, "total", ":"),
        ):
            above.plot(step, smooth(values), style, label=name)
        above.set(ylabel="loss (running mean)", ylim=(0, None))
        above.legend()
        below.step(step, weight, where="post", color="0.3")
        below.set(ylabel="self-balance\nweight", xlabel="step", ylim=(0, None))
    return figure


def losses_abreast(losses: Mapping[str, Sequence[Mapping[str, float]]]) -> Figure:
    """Both parts of the loss of each recipe, in a plot of its own: what they measure differs.

    Args: of each recipe, by name, rows of `losses.csv`.
    """
    columns = min(4, len(losses))
    rows = math.ceil(len(losses) / columns)
    figure = Figure(figsize=(11, 3 * rows), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False).flat
    for (name, of_recipe), axes in zip(losses.items(), grid, strict=False):
        for part in PARTS[:2]:
            axes.plot([row["step"] for row in of_recipe], [row[part] for row in of_recipe], label=part)
        axes.set_title(name.replace(":", "\n"), fontsize=9)
        axes.set(xlabel="step", ylim=(0, None))
    for axes in grid:  # those left
        axes.set_axis_off()
    figure.axes[0].legend()
    figure.axes[0].set_ylabel("loss")
    return figure


def smooth(values: np.ndarray) -> np.ndarray:
    """Mean over the last fiftieth of the run (fewer values at its beginning)."""
    window = max(1, len(values) // 50)
    sums = np.concatenate([[0.0], np.cumsum(values, dtype=np.float64)])
    end = np.arange(1, len(values) + 1)
    first = np.maximum(0, end - window)
    return (sums[end] - sums[first]) / (end - first)


def precision_recall(precision: Mapping[str, np.ndarray]) -> Figure:
    """Precision against recall at three IoUs, mean over the classes.

    Args: of each detector, by name, its `alrp_ref.coco.precision_curves`. A single one is shown in one plot, several
        in one for each IoU.
    """
    one = len(precision) == 1
    figure = Figure(figsize=(5, 4) if one else (11, 4.2), layout="constrained")
    plots = [figure.subplots()] * len(IOUS) if one else figure.subplots(1, len(IOUS))
    for axes, (iou, place) in zip(plots, IOUS.items(), strict=True):
        for of_iou in precision.values():
            curve = of_iou[place]
            label = f"{f'IoU {iou:.2f}: ' if one else ''}AP {curve.mean():.3f}"
            axes.plot(np.linspace(0, 1, len(curve)), curve, label=label)
        axes.set(xlabel="recall", xlim=(0, 1), ylim=(0, None), title="" if one else f"IoU {iou:.2f}")
        axes.legend()
    plots[0].set_ylabel("precision")
    if not one:
        figure.legend(plots[0].lines, list(precision), loc="outside lower center", ncols=2)
    return figure


def score_against_iou(scores: np.ndarray, ious: np.ndarray) -> Figure:
    """Each true positive's score and its IoU with the box it found; the title states their correlation."""
    figure = Figure(figsize=(5, 4), layout="constrained")
    axes = figure.subplots()
    axes.scatter(ious, scores, s=6, alpha=0.3, edgecolors="none")
    r = correlation(scores, ious)
    said = "" if math.isnan(r) else f", correlation {r:.2f}"
    axes.set(xlabel="IoU", ylabel="score", xlim=(0.5, 1), ylim=(0, 1), title=f"{len(ious)} true positives{said}")
    return figure


def picture_grid(rows: Sequence[Sequence[Image.Image]], titles: Sequence[str]) -> Figure:
    """Drawn pictures in rows, as many to a row as there are titles, which stand above the first."""
    figure = Figure(figsize=(3 * len(titles), 3 * max(1, len(rows))), layout="constrained")
    if not rows:
        return figure
    grid = figure.subplots(len(rows), len(titles), squeeze=False)
    for axes in grid.flat:
        axes.set_axis_off()
    for line, pictures in zip(grid, rows, strict=True):
        for axes, picture in zip(line, pictures, strict=False):
            axes.imshow(picture)
    for axes, title in zip(grid[0], titles, strict=True):
        axes.set_title(title)
    return figure
