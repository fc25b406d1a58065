r"""Localisation errors of boxes: how far a positive is from its ground truth, on the scale of the LRP metric.

==============  =========================================================================  ============
`e_loc`         :math:`\mathcal E_{loc}(k)`, localisation error of a positive              (|P|,)
`tau`           :math:`\tau`, the IoU from which on a detection is a true positive         number
==============  =========================================================================  ============
"""

import torch
from torch import Tensor

from alrp_ref import checks


def iou_error(pred: Tensor, target: Tensor, *, tau: float = 0.5) -> Tensor:
    r"""The LRP metric's localisation error, 0 for a perfect box and 1 at the validation threshold.

    .. math:: \mathcal E_{loc}(k) = \frac{1 - \mathrm{IoU}(k)}{1 - \tau}

    Not clipped: a positive whose IoU is still below `tau` has an error above 1, up to 1 / (1 - tau).

    Args:
        pred, target: boxes x1, y1, x2, y2 in one unit; row by row a prediction and its ground truth.
        tau: IoU from which on a detection counts as a true positive, in [0, 1).

    Shape: (n, 4), (n, 4) -> (n,); differentiable.
    Raises: ValueError for wrong shapes, dtypes or `tau`.
    Source: Section 2.2, below Eq. (6); equal to 2 (1 - IoU) at tau = 0.5.
    """
    return (1 - _ious(pred, target, tau)[0]) / (1 - tau)


def giou_error(pred: Tensor, target: Tensor, *, tau: float = 0.5) -> Tensor:
    r"""The localisation error with generalised IoU, which also sees how far apart disjoint boxes are.

    .. math:: \mathcal E_{loc}(k) = \frac{(1 - \mathrm{GIoU}(k)) / 2}{1 - \tau}, \qquad
              \mathrm{GIoU} = \mathrm{IoU} - \frac{|C| - |A \cup B|}{|C|}

    where `C` is the smallest box around both. At tau = 0.5 this is 1 - GIoU, in [0, 2]. The halving maps
    GIoU's range [-1, 1] to [0, 1]; so where GIoU = IoU the value is *half* of `iou_error`. The paper's text asks for an
    error in [0, 1], whatever it is made of; this one is the release's.

    Args, shape, errors: as for `iou_error`.
    Source: the release (its heads take the GIoU loss as the localisation error); GIoU (CVPR 2019).
    """
    return (1 - _ious(pred, target, tau)[1]) / 2 / (1 - tau)


def _ious(pred: Tensor, target: Tensor, tau: float) -> tuple[Tensor, Tensor]:
    """IoU and GIoU, row by row. torchvision has GIoU of pairs too; the losses are to need torch only."""
    checks.boxes("pred", pred)
    checks.boxes("target", target)
    if pred.shape != target.shape:
        raise ValueError(f"target must have the shape of pred, {tuple(pred.shape)}, got {tuple(target.shape)}")
    if not 0 <= tau < 1:
        raise ValueError(f"tau must be in [0, 1), got {tau!r}")
    dtype = torch.promote_types(torch.promote_types(pred.dtype, target.dtype), torch.float32)
    pred, target = pred.to(dtype), target.to(dtype)
    both_min, both_max = torch.minimum(pred, target), torch.maximum(pred, target)
    intersection = _area(both_max[:, :2], both_min[:, 2:])
    union = _area(pred[:, :2], pred[:, 2:]) + _area(target[:, :2], target[:, 2:]) - intersection
    hull = _area(both_min[:, :2], both_max[:, 2:])
    # Two boxes without area: IoU 0, not 0/0. The root, since a gradient is a side over this, and must be finite, too.
    least = torch.finfo(dtype).tiny ** 0.5
    iou = intersection / union.clamp(min=least)
    return iou, iou - (hull - union) / hull.clamp(min=least)


def _area(low: Tensor, high: Tensor) -> Tensor:
    width, height = (high - low).clamp(min=0).unbind(dim=1)
    return width * height  # `prod` has a backward pass that looks for zeros, and a GPU would be waited for
