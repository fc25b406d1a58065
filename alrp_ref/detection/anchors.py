"""Anchors: the boxes that a detector regresses from, a few at every location of every pyramid level."""

from collections.abc import Sequence

import torch
from torch import Tensor


def base_anchors(stride: int, anchor_scale: float, scales_per_octave: int, ratios: Sequence[float]) -> Tensor:
    r"""The anchors of one location, around the origin.

    .. math:: \mathrm{side} = \mathrm{stride} \cdot \mathrm{anchor\_scale} \cdot 2^{i/n}, \qquad
              h = \mathrm{side} \sqrt r, \quad w = \mathrm{side} / \sqrt r

    for the `n` scales of an octave and the ratios r = h / w; ordered by ratio first, scale second.
    torchvision's generator orders them the other way round, and rounds their corners to whole pixels.

    Returns: boxes x1, y1, x2, y2 in pixels, float64.
    Shape: (len(ratios) * n, 4).
    """
    octave = torch.arange(scales_per_octave, dtype=torch.float64) / scales_per_octave
    side = stride * anchor_scale * 2**octave
    root = torch.tensor(ratios, dtype=torch.float64).sqrt()[:, None]
    half = torch.stack([side / root, side * root], dim=-1).reshape(-1, 2) / 2
    return torch.cat([-half, half], dim=1)


def level_anchors(base: Tensor, size: tuple[int, int], stride: int) -> Tensor:
    """The anchors of one level: `base` at each location (stride * x, stride * y), row by row.

    Locations are the corners of the feature map's cells, not their centres. Anchors that cross the image's border are
    kept.

    Args: `base` (A, 4), in pixels; `size` (h, w) of the feature map.
    Shape: -> (h * w * A, 4).
    """
    rows, columns = (torch.arange(n, dtype=base.dtype) * stride for n in size)
    y, x = torch.meshgrid(rows, columns, indexing="ij")
    shift = torch.stack([x, y, x, y], dim=-1).reshape(-1, 1, 4)
    return (shift + base).reshape(-1, 4)


def real_locations(
    sizes: Sequence[tuple[int, int]], strides: Sequence[int], image_size: tuple[int, int]
) -> list[Tensor]:
    """Which locations of each level, (h * w,) bool, lie in an image of `image_size` (h, w), not in its padding."""
    rows_and_columns = (
        [torch.arange(cells) * stride < pixels for cells, pixels in zip(size, image_size, strict=True)]
        for size, stride in zip(sizes, strides, strict=True)
    )
    return [(rows[:, None] & columns).flatten() for rows, columns in rows_and_columns]


def pyramid_anchors(
    sizes: Sequence[tuple[int, int]],
    strides: Sequence[int],
    anchor_scale: float,
    scales_per_octave: int,
    ratios: Sequence[float],
    offset: float = 0.0,
) -> list[Tensor]:
    """The anchors of all levels, one tensor (h * w * A, 4) each, in pixels of the input, float64.

    Args: `sizes` (h, w) and strides of the levels; `offset` of the locations, in strides: 0 for the corners of the
        cells, 1/2 for their centres; the rest as for `base_anchors`.
    """
    return [
        level_anchors(base_anchors(stride, anchor_scale, scales_per_octave, ratios) + offset * stride, size, stride)
        for size, stride in zip(sizes, strides, strict=True)
    ]
