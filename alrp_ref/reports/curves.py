"""The figures of the reports, each a function that returns a matplotlib figure."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from alrp_ref.evaluation import iou_index
from alrp_ref.evaluation.score_iou import correlation
from alrp_ref.training.log import PARTS, RPN_PARTS

SHOWN_IOUS = (0.5, 0.75, 0.9)
"""The IoU thresholds of the precision-recall curves."""

WINDOWS = 50
"""A loss is drawn as its running mean over this part of the run, one fiftieth."""


def loss_curves(rows: Sequence[dict[str, float]]) -> Figure:
    """Both parts of the loss, their sum, and below them the self-balance weight; two stages side by side.

    Args: rows of `metrics.csv`, where `loss_loc` is weighted.
    """
    stages = [RPN_PARTS, PARTS] if RPN_PARTS[0] in rows[0] else [PARTS]
    figure = Figure(figsize=(8, 6) if len(stages) == 1 else (11, 6), layout="constrained")
    columns = figure.subplots(2, len(stages), sharex=True, height_ratios=(3, 1), squeeze=False).T
    step, window = np.array([row["step"] for row in rows]), max(1, len(rows) // WINDOWS)
    for (above, below), names in zip(columns, stages, strict=True):
        cls, weighted, weight = (np.array([row[name] for row in rows]) for name in names[:3])
        for values, name, style in (
            (cls, names[0], "-"),
            (weighted / weight, f"{names[1]}, not weighted", "-"),
            (weighted, f"weight × {names[1]}", "--"),
            (cls + weighted, "total", ":"),
        ):
            above.plot(step, running_mean(values, window), style, label=name)
        above.set(ylabel="loss (running mean)", ylim=(0, None))
        above.legend()
        below.step(step, weight, where="post", color="0.3")
        below.set(ylabel="self-balance\nweight", xlabel="step", ylim=(0, None))
    return figure


def losses_abreast(losses: Mapping[str, Sequence[Mapping[str, float]]]) -> Figure:
    """Both parts of the loss, one plot for each recipe, since losses of different kinds cannot share an axis.

    Args: rows of `losses.csv` by the name of the recipe.
    """
    columns = min(4, len(losses))
    rows = math.ceil(len(losses) / columns)
    figure = Figure(figsize=(11, 3 * rows), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False).flat
    for (name, points), axes in zip(losses.items(), grid, strict=False):
        for part in PARTS[:2]:
            axes.plot([row["step"] for row in points], [row[part] for row in points], label=part)
        axes.set_title(name.replace(":", "\n"), fontsize=9)
        axes.set(xlabel="step", ylim=(0, None))
    for axes in grid:  # unused plots
        axes.set_axis_off()
    figure.axes[0].legend()
    figure.axes[0].set_ylabel("loss")
    return figure


def precision_recall(precision: Mapping[str, np.ndarray]) -> Figure:
    """Precision against recall at three IoUs, mean over the classes.

    Args: `alrp_ref.evaluation.precision_curves` by the name of the detector. One detector gets one plot; several get
        one plot for each IoU.
    """
    one = len(precision) == 1
    figure = Figure(figsize=(5, 4) if one else (11, 4.2), layout="constrained")
    plots = [figure.subplots()] * len(SHOWN_IOUS) if one else figure.subplots(1, len(SHOWN_IOUS))
    for axes, iou in zip(plots, SHOWN_IOUS, strict=True):
        for curves in precision.values():
            curve = curves[iou_index(iou)]
            label = f"{f'IoU {iou:.2f}: ' if one else ''}AP {curve.mean():.3f}"
            axes.plot(np.linspace(0, 1, len(curve)), curve, label=label)
        axes.set(xlabel="recall", xlim=(0, 1), ylim=(0, None), title="" if one else f"IoU {iou:.2f}")
        axes.legend()
    plots[0].set_ylabel("precision")
    if not one:
        figure.legend(plots[0].lines, list(precision), loc="outside lower center", ncols=2)
    return figure


def score_against_iou(scores: np.ndarray, ious: np.ndarray) -> Figure:
    """Score against IoU of each true positive; the title gives their correlation."""
    figure = Figure(figsize=(5, 4), layout="constrained")
    axes = figure.subplots()
    axes.scatter(ious, scores, s=6, alpha=0.3, edgecolors="none")
    r = correlation(scores, ious)
    suffix = "" if math.isnan(r) else f", correlation {r:.2f}"
    axes.set(xlabel="IoU", ylabel="score", xlim=(0.5, 1), ylim=(0, 1), title=f"{len(ious)} true positives{suffix}")
    return figure


def picture_grid(rows: Sequence[Sequence[Image.Image]], titles: Sequence[str]) -> Figure:
    """A grid of pictures with one column for each title."""
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


def running_mean(values: np.ndarray, window: int) -> np.ndarray:
    """Mean of the last `window` values at each step; at the beginning, of the fewer there are: (n,) -> (n,)."""
    sums = np.concatenate([[0.0], np.cumsum(values, dtype=np.float64)])
    end = np.arange(1, len(values) + 1)
    first = np.maximum(0, end - window)
    return (sums[end] - sums[first]) / (end - first)


def block_means(values: np.ndarray, length: int) -> np.ndarray:
    """Means of consecutive blocks of `length` values: (n,) -> (n // length,).

    Values that are not finite are left out. A block without a finite value has the mean NaN.
    """
    blocks = np.reshape(values[: len(values) // length * length], (-1, length))
    known = np.isfinite(blocks)
    total = np.where(known, blocks, 0.0).sum(axis=1)
    return np.where(known.any(axis=1), total / np.maximum(known.sum(axis=1), 1), np.nan)
