r"""The LRP metric and its optimum: the metric that aLRP Loss is modelled on, and that detectors are evaluated with.

==============  =========================================================================  ============
`n_tp`          :math:`N_{TP}`, the number of true positives                               number
`n_fn`          :math:`N_{FN}`, the number of objects that were missed                     number
`olrp`          :math:`\mathrm{oLRP}`, LRP at its best score threshold                     scalar
==============  =========================================================================  ============
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

ArrayLike = Tensor | np.ndarray | Sequence[float]


def lrp(n_tp: Tensor, n_fp: Tensor, n_fn: Tensor, sum_e_loc: Tensor) -> Tensor:
    r"""Localisation Recall Precision error of a set of detections, 0 (perfect) to 1.

    .. math:: \mathrm{LRP} = \frac{1}{N_{FP} + N_{FN} + N_{TP}}
              \Big( N_{FP} + N_{FN} + \sum_{k \in TP} \mathcal E_{loc}(k) \Big), \qquad
              \mathcal E_{loc}(k) = \frac{1 - \mathrm{IoU}(k)}{1 - \tau}

    Args: counts of true positives, false positives and false negatives; the sum of the errors of the true positives.
    Shape: any, alike.
    Source: Eq. (6), Section 2.2; LRP (ECCV 2018).
    """
    return (n_fp + n_fn + sum_e_loc) / (n_fp + n_fn + n_tp)


class OptimalLRP(NamedTuple):
    """LRP at its best score threshold, and its parts there; float64 scalars.

    `loc` is the mean 1 - IoU of the true positives (not divided by 1 - tau), `fp` is 1 - precision and `fn` is
    1 - recall. NaN where undefined: everything without ground truth; `loc`, `fp`, `threshold` without true positives.
    """

    olrp: Tensor
    loc: Tensor
    fp: Tensor
    fn: Tensor
    threshold: Tensor


def optimal_lrp(scores: ArrayLike, ious: ArrayLike, num_gt: int, *, tau: float = 0.5) -> OptimalLRP:
    r"""The smallest LRP over all score thresholds, for the detections of one class.

    .. math:: \mathrm{oLRP} = \min_s \mathrm{LRP}(s)

    Args:
        scores: confidence of each detection.
        ious: IoU of each true positive with its match; 0 (or anything below `tau`) for a false positive.
        num_gt: number of ground-truth boxes.
        tau: IoU from which on a detection counts as a true positive, in [0, 1).

    Shape: `scores`, `ious` (m,), tensors, arrays or lists. Every position of the list sorted by score is tried: exact.
    Raises: ValueError for wrong shapes, values or more true positives than ground truth.
    Source: Section 2.2; LRP (ECCV 2018; TPAMI 2021).
    """
    scores, ious = (torch.as_tensor(x, dtype=torch.float64) for x in (scores, ious))
    if scores.ndim != 1 or ious.shape != scores.shape:
        raise ValueError(f"scores and ious must have one shape (m,), got {tuple(scores.shape)}, {tuple(ious.shape)}")
    if not (torch.isfinite(scores).all() and torch.isfinite(ious).all()):
        raise ValueError("scores and ious must be finite, got NaN or infinity")
    if ious.numel() and ious.max() > 1 + 1e-6:  # an IoU in float32 may be rounded to a little more than 1
        raise ValueError(f"ious must be at most 1, got {ious.max():g}: fractions, not percent")
    if not 0 <= tau < 1:
        raise ValueError(f"tau must be in [0, 1), got {tau!r}")
    best_first = scores.argsort(descending=True, stable=True)
    scores, ious = scores[best_first], ious[best_first]
    is_tp = ious >= tau
    n_tp, n_fp = is_tp.double().cumsum(0), (~is_tp).double().cumsum(0)  # a quotient of integers is float32 in torch
    if num_gt < 0 or is_tp.sum() > num_gt:
        raise ValueError(f"num_gt must be at least the number of true positives, {int(is_tp.sum())}, got {num_gt}")

    nan, one = scores.new_tensor(torch.nan), scores.new_tensor(1.0)
    if num_gt == 0:
        return OptimalLRP(nan, nan, nan, nan, nan)
    if not is_tp.any():
        return OptimalLRP(one, nan, nan, one, nan)
    sum_error = ((1 - ious) * is_tp).cumsum(0)  # 1 - IoU, over the true positives
    k = lrp(n_tp, n_fp, num_gt - n_tp, sum_error / (1 - tau)).argmin()
    return OptimalLRP(
        olrp=lrp(n_tp[k], n_fp[k], num_gt - n_tp[k], sum_error[k] / (1 - tau)),
        loc=sum_error[k] / n_tp[k],
        fp=n_fp[k] / (n_tp[k] + n_fp[k]),
        fn=1 - n_tp[k] / num_gt,
        threshold=scores[k],
    )
