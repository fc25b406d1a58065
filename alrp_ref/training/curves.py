"""The pictures of a run's report, each a matplotlib figure."""

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

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


def smooth(values: np.ndarray) -> np.ndarray:
    """Mean over the last fiftieth of the run (fewer values at its beginning)."""
    window = max(1, len(values) // 50)
    sums = np.concatenate([[0.0], np.cumsum(values, dtype=np.float64)])
    end = np.arange(1, len(values) + 1)
    first = np.maximum(0, end - window)
    return (sums[end] - sums[first]) / (end - first)


def precision_recall(precision: np.ndarray) -> Figure:
    """Precision against recall at three IoUs, mean over the classes.

    Args: COCO's array (IoU, recall, class), -1 where a class has no ground truth.
    """
    figure = Figure(figsize=(5, 4), layout="constrained")
    axes = figure.subplots()
    for iou, place in IOUS.items():
        curve = precision[place][:, (precision[place] > -1).all(axis=0)].mean(axis=1)
        axes.plot(np.linspace(0, 1, len(curve)), curve, label=f"IoU {iou:.2f}: AP {curve.mean():.3f}")
    axes.set(xlabel="recall", ylabel="precision", xlim=(0, 1), ylim=(0, 1.02))
    axes.legend()
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


def correlation(x: np.ndarray, y: np.ndarray) -> float:
    """Pearson's; NaN where one of them does not vary."""
    return float(np.corrcoef(x, y)[0, 1]) if len(x) > 1 and np.ptp(x) > 0 and np.ptp(y) > 0 else math.nan


def side_by_side(pairs: Sequence[tuple[Image.Image, Image.Image]]) -> Figure:
    """Pairs (truth, detections) of drawn pictures, two pairs in a row."""
    rows = math.ceil(len(pairs) / 2)
    figure = Figure(figsize=(12, 3 * rows), layout="constrained")
    grid = figure.subplots(rows, 4, squeeze=False)
    for axes in grid.flat:
        axes.set_axis_off()
    for axes, picture in zip(grid.flat, (one for pair in pairs for one in pair), strict=False):
        axes.imshow(picture)
    for axes, title in zip(grid[0], ("ground truth", "detected") * min(2, len(pairs)), strict=False):
        axes.set_title(title)
    return figure
