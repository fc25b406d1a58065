"""Box coders: a box as four numbers relative to an anchor. RetinaNet's deltas, FoveaBox's distances."""

import math
from collections.abc import Callable
from functools import cache, partial
from typing import NamedTuple

import torch
from torch import Tensor

DELTA_STD = (0.1, 0.1, 0.2, 0.2)
"""Deltas are divided by these, so that the regression targets have about unit variance."""

MAX_LOG_RATIO = math.log(1000 / 16)
"""Bound on |dw| and |dh|, so that the exponential stays finite early in training. torchvision bounds above only."""


def centre_size(boxes: Tensor) -> tuple[Tensor, Tensor]:
    """Centres (n, 2) and sizes (n, 2), x before y, of boxes x1, y1, x2, y2 (n, 4)."""
    low, high = boxes[:, :2], boxes[:, 2:]
    return (low + high) / 2, high - low


def encode(boxes: Tensor, anchors: Tensor, *, std: tuple[float, ...] = DELTA_STD) -> Tensor:
    r"""Deltas that take each anchor to its box.

    .. math:: d_x = \frac{x - x_a}{w_a \sigma_x}, \qquad d_w = \frac{\log (w / w_a)}{\sigma_w}

    with centre x and width w, and likewise for y and h; the standard deviations are `std`.

    Shape: (n, 4), (n, 4) -> (n, 4); all boxes x1, y1, x2, y2 in one unit.
    """
    (centre, size), (anchor_centre, anchor_size) = centre_size(boxes), centre_size(anchors)
    deltas = torch.cat([(centre - anchor_centre) / anchor_size, (size / anchor_size).log()], dim=1)
    return deltas / _constant(std, deltas.dtype, deltas.device)


def decode(deltas: Tensor, anchors: Tensor, *, std: tuple[float, ...] = DELTA_STD) -> Tensor:
    """Boxes from deltas: the inverse of `encode`, up to the clipping of the log ratio.

    Shape: (n, 4), (n, 4) -> (n, 4).
    """
    anchor_centre, anchor_size = centre_size(anchors)
    shift, log_ratio = (deltas * _constant(std, deltas.dtype, deltas.device)).split(2, dim=1)
    centre = anchor_centre + shift * anchor_size
    half = anchor_size * log_ratio.clamp(-MAX_LOG_RATIO, MAX_LOG_RATIO).exp() / 2
    return torch.cat([centre - half, centre + half], dim=1)


@cache
@torch.inference_mode(False)  # or the first call might make a tensor that no later training step can use
def _constant(numbers: tuple[float, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    """A tensor of numbers. It is kept, since a copy to a GPU makes the host wait."""
    return torch.tensor(numbers, dtype=dtype, device=device)


MAX_RATIO = 16.0
"""FoveaBox's distances are clipped to [1/16, 16] half-sides of the anchor before the log."""


def encode_distances(boxes: Tensor, anchors: Tensor) -> Tensor:
    r"""Log distances from each anchor's centre to the sides of its box, in halves of the anchor's side.

    .. math:: d_1 = \log \frac{x - x_1}{w_a / 2}, \quad d_2 = \log \frac{y - y_1}{h_a / 2}, \quad
              d_3 = \log \frac{x_2 - x}{w_a / 2}, \quad d_4 = \log \frac{y_2 - y}{h_a / 2}

    with the centre (x, y) of the anchor; each quotient is clipped to [1 / `MAX_RATIO`, `MAX_RATIO`].

    Shape: (n, 4), (n, 4) -> (n, 4).
    Source: FoveaBox, whose base length is half the side of our anchor.
    """
    centre, size = centre_size(anchors)
    distance = torch.cat([centre - boxes[:, :2], boxes[:, 2:] - centre], dim=1)
    return (distance / (size / 2).repeat(1, 2)).clamp(1 / MAX_RATIO, MAX_RATIO).log()


def decode_distances(distances: Tensor, anchors: Tensor) -> Tensor:
    """Boxes from log distances: the inverse of `encode_distances`, up to the clipping.

    The release does not clip here. Without clipping, a few large steps give boxes of infinite size.

    Shape: (n, 4), (n, 4) -> (n, 4).
    """
    centre, size = centre_size(anchors)
    ratio = distances.clamp(-MAX_LOG_RATIO, MAX_LOG_RATIO).exp()
    near, far = (ratio * (size / 2).repeat(1, 2)).split(2, dim=1)
    return torch.cat([centre - near, centre + far], dim=1)


class BoxCoder(NamedTuple):
    """An encoder and a decoder of boxes.

    `border`: pixels left free at the right and lower side of the image when boxes are clipped.
    """

    encode: Callable[[Tensor, Tensor], Tensor]
    decode: Callable[[Tensor, Tensor], Tensor]
    border: int


CODERS = {
    "deltas": BoxCoder(encode, decode, border=0),
    "raw deltas": BoxCoder(partial(encode, std=(1.0,) * 4), partial(decode, std=(1.0,) * 4), border=0),
    "distances": BoxCoder(encode_distances, decode_distances, border=1),  # the release's FoveaBox clips at size - 1
}
