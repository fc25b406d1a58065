"""How far AP depends on the validation images: AP of samples of them, for a paired bootstrap.

The difference of two detectors on the same images has the standard error of the differences on the same samples:

    one, other = (resampled_ap(gt, detections) for detections in (ours, theirs))
    standard_error = (one - other).std(axis=0)      # of AP at each IoU threshold

Images that are hard for both detectors do not count then, as they would if each had an interval of its own.
"""

from typing import Any

import numpy as np

from alrp_ref.evaluation.evaluate import AREAS, read
from alrp_ref.evaluation.ground_truth import PathLike, objects_of
from alrp_ref.evaluation.matching import Matches, Pairs, best_first, matched, pairs_of
from alrp_ref.evaluation.metrics import IOU_THRESHOLDS, MAX_DETECTIONS
from alrp_ref.evaluation.score_iou import average_precision


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
    truth, rows = read(gt, detections, "all", MAX_DETECTIONS)
    images, categories = (len(truth.content[key]) for key in ("images", "categories"))
    drawn = np.random.default_rng(seed).integers(images, size=(samples, images))
    times = np.stack([np.bincount(one, minlength=images) for one in drawn]).astype(np.float64)
    rows, objects = best_first(rows, MAX_DETECTIONS), objects_of(truth.content)
    pairs, ap = pairs_of(rows, objects), []
    for iou in IOU_THRESHOLDS:
        near = pairs.iou >= iou
        found = matched(rows, objects, Pairs(*(x[near] for x in pairs)), AREAS["all"])
        ap.append([_of_class(found, category, times) for category in range(1, categories + 1)])
    return np.nanmean(ap, axis=1).T


def _of_class(found: Matches, category: int, times: np.ndarray) -> np.ndarray:
    """`average_precision` of a class in each sample: (samples,); NaN without an object. Images count from 1."""
    own = slice(*(np.searchsorted(found.category, category, side) for side in ("left", "right")))
    order = (-found.score[own]).argsort(kind="stable")
    image, is_true = found.image[own][order].astype(np.int64) - 1, found.iou[own][order] > 0
    objects = times[:, found.object_image[found.object_category == category].astype(np.int64) - 1].sum(axis=1)
    ap = np.full(len(times), np.nan)
    for sample in np.flatnonzero(objects):
        ap[sample] = average_precision(is_true, objects[sample], times[sample, image])
    return ap
