"""How far AP depends on the validation images: AP of samples of them, for a paired bootstrap.

The difference of two detectors on the same images has the standard error of the differences on the same samples:

    one, other = (resampled_ap(gt, detections) for detections in (ours, theirs))
    standard_error = (one - other).std(axis=0)      # of AP at each IoU threshold

Images that are hard for both detectors do not count then, as they would if each had an interval of its own.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from alrp_ref.evaluation.evaluate import PathLike, _evaluated
from alrp_ref.evaluation.metrics import IOU_THRESHOLDS
from alrp_ref.evaluation.olrp import CATEGORY, IMAGE, SCORE

RECALLS = np.linspace(0, 1, 101)


class _List(NamedTuple):
    """The detections of a class, best score first: the image of each (m,), and by IoU whether it is true (10, m).

    `counts` (10, m) is False for what is ignored, in a crowd; `objects` are the images of the objects that count, with
    repetitions.
    """

    image: np.ndarray
    is_true: np.ndarray
    counts: np.ndarray
    objects: np.ndarray


def resampled_ap(
    gt: PathLike | dict[str, Any],
    detections: PathLike | list[dict[str, Any]],
    *,
    samples: int = 200,
    seed: int = 0,
) -> np.ndarray:
    """AP at each of COCO's 10 IoU thresholds, on samples of the images with replacement: (samples, 10).

    Detections are matched once, on all images, and a sample weighs each image by how often it was drawn. The same
    `seed` gives the same samples for every detector. Classes without an object in a sample are left out of its mean.

    Args: `gt` and `detections` as for `evaluate`, and their errors.
    """
    truth, rows, evaluator = _evaluated(gt, detections)
    images = len(truth["images"])
    drawn = np.random.default_rng(seed).integers(images, size=(samples, images))
    times = np.stack([np.bincount(one, minlength=images) for one in drawn]).astype(np.float64)
    of_class = [_average_precision(one, times) for one in _lists(truth, rows, evaluator)]
    return np.nanmean(of_class, axis=0)


def _lists(truth: dict[str, Any], rows: np.ndarray, evaluator: Any) -> Iterator[_List]:
    """One for each class."""
    is_true, counts = np.zeros((2, len(IOU_THRESHOLDS), len(rows)), dtype=bool)
    for place, iou in enumerate(IOU_THRESHOLDS):
        status = evaluator.image_diagnostics(iou_thr=float(iou), score_thr=np.inf)["dt_status"]
        counts[place, [number - 1 for number in status]] = True
        is_true[place, [number - 1 for number, kind in status.items() if kind == "tp"]] = True
    # By class, then best score first, then by image, which is COCO's order among equal scores.
    order = np.lexsort((rows[:, IMAGE], -rows[:, SCORE], rows[:, CATEGORY]))
    objects = [a for a in truth["annotations"] if not a["iscrowd"]]
    for category in (category["id"] for category in truth["categories"]):
        own = order[rows[order, CATEGORY] == category]
        in_images = np.array([a["image_id"] - 1 for a in objects if a["category_id"] == category], dtype=np.int64)
        yield _List(rows[own, IMAGE].astype(np.int64) - 1, is_true[:, own], counts[:, own], in_images)


def _average_precision(found: _List, times: np.ndarray) -> np.ndarray:
    """`average_precision` of a class in each sample, at each threshold: (samples, 10); NaN without an object."""
    weight = times[:, found.image]  # (samples, m)
    objects = times[:, found.objects].sum(axis=1)
    ap = np.full((len(times), len(found.is_true)), np.nan)
    for place, (is_true, counts) in enumerate(zip(found.is_true, found.counts, strict=True)):
        true, every = (weight * is_true).cumsum(axis=1), (weight * counts).cumsum(axis=1)
        precision = np.maximum.accumulate((true / np.maximum(every, 1))[:, ::-1], axis=1)[:, ::-1]
        for sample in np.flatnonzero(objects):
            at = np.searchsorted(true[sample] / objects[sample], RECALLS)
            ap[sample, place] = np.append(precision[sample], 0.0)[at].mean()
    return ap
