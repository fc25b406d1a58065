"""LRP of detections: COCO's matching, then `alrp_ref.paper.lrp` for each class."""

import math
from collections.abc import Sequence

import numpy as np
import torch

from alrp_ref.evaluation.matching import Matches
from alrp_ref.paper.lrp import OptimalLRP, lrp, optimal_lrp

TAU = 0.5


def optimal_lrp_by_class(found: Matches, categories: Sequence[int]) -> list[OptimalLRP]:
    """Optimal LRP of each category, at the IoU threshold of the matches. Source: LRP (ECCV 2018; TPAMI 2021)."""
    return [optimal_lrp(*_of_class(found, category), tau=TAU) for category in categories]


def lrp_by_class(found: Matches, categories: Sequence[int], threshold: float) -> list[OptimalLRP]:
    """The same at a given score threshold: NaN without ground truth; `loc` without true positives, `fp` without any
    detections."""
    return [_at(threshold, *_of_class(found, category)) for category in categories]


def _of_class(found: Matches, category: int) -> tuple[np.ndarray, np.ndarray, int]:
    """Scores and IoUs of the detections of a class, and the number of its objects."""
    own = slice(*(np.searchsorted(found.category, category, side) for side in ("left", "right")))
    return found.score[own], found.iou[own], int((found.object_category == category).sum())


def _at(threshold: float, scores: np.ndarray, ious: np.ndarray, num_gt: int) -> OptimalLRP:
    ious = torch.from_numpy(ious[scores >= threshold])
    is_tp = ious >= TAU
    n_tp, n_fp = is_tp.sum().double(), (~is_tp).sum().double()
    sum_error = (1 - ious[is_tp]).sum()
    nan = torch.tensor(math.nan, dtype=torch.float64)
    if num_gt == 0:
        return OptimalLRP(nan, nan, nan, nan, nan)
    error = lrp(n_tp, n_fp, num_gt - n_tp, sum_error / (1 - TAU))
    return OptimalLRP(error, sum_error / n_tp, n_fp / (n_tp + n_fp), 1 - n_tp / num_gt, nan + threshold)
