"""Boxes as deltas from anchors, and back."""

import math

import torch
from torch import Tensor

DELTA_STD = (0.1, 0.1, 0.2, 0.2)
"""Standard deviations that deltas are divided by, which brings them to the scale of the scores."""

MAX_LOG_RATIO = math.log(1000 / 16)
"""Bound on |dw| and |dh|, so that the exponential stays finite early in training. torchvision bounds above only."""


def centre_size(boxes: Tensor) -> tuple[Tensor, Tensor]:
    """Centres (n, 2) and sizes (n, 2), x before y, of boxes x1, y1, x2, y2 (n, 4)."""
    low, high = boxes[:, :2], boxes[:, 2:]
    return (low + high) / 2, high - low


def encode(boxes: Tensor, anchors: Tensor) -> Tensor:
    r"""Deltas that take each anchor to its box.

    .. math:: d_x = \frac{x - x_a}{w_a \sigma_x}, \qquad d_w = \frac{\log (w / w_a)}{\sigma_w}

    with centre x and width w, and likewise for y and h; the standard deviations are `DELTA_STD`.

    Shape: (n, 4), (n, 4) -> (n, 4); all boxes x1, y1, x2, y2 in one unit.
    """
    (centre, size), (anchor_centre, anchor_size) = centre_size(boxes), centre_size(anchors)
    deltas = torch.cat([(centre - anchor_centre) / anchor_size, (size / anchor_size).log()], dim=1)
    return deltas / deltas.new_tensor(DELTA_STD)


def decode(deltas: Tensor, anchors: Tensor) -> Tensor:
    """Boxes from deltas: the inverse of `encode`, but for the bound on how much an anchor can grow or shrink.

    Shape: (n, 4), (n, 4) -> (n, 4).
    """
    anchor_centre, anchor_size = centre_size(anchors)
    shift, log_ratio = (deltas * deltas.new_tensor(DELTA_STD)).split(2, dim=1)
    centre = anchor_centre + shift * anchor_size
    half = anchor_size * log_ratio.clamp(-MAX_LOG_RATIO, MAX_LOG_RATIO).exp() / 2
    return torch.cat([centre - half, centre + half], dim=1)
