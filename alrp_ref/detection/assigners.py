"""Assigners: which anchors are positive, and for which ground-truth box.

An assigner is a function of three arguments:

- `anchors`, (A_l, 4) for each level;
- `boxes`, (G, 4), x1, y1, x2, y2 in pixels, concatenated over the images of the batch;
- `counts`: `counts[b]` of these boxes belong to image b. Without `counts` there is one image.

It returns the index of the matched box among all G, or `NEGATIVE`, or `IGNORED`: (B, A), int64; (A,) without `counts`.
All images are assigned at once, without a loop over images or boxes: pieces of so many pairs of a box and an anchor as
a batch of COCO has. So the memory does not grow with the number of boxes.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor
from torchvision.ops import box_iou

from alrp_ref.batch import IGNORED, NEGATIVE
from alrp_ref.detection.boxes import centre_size
from alrp_ref.machine.device import queue_copy

PAIRS = 2**22
"""Boxes times anchors that are compared at once, at most, if a box has no more anchors."""

Counts = Sequence[int]
Assigner = Callable[[Sequence[Tensor], Tensor, Counts | None], Tensor]


class Assigned(NamedTuple):
    """The result of an assigner for a batch.

    - `labels` (B, N): class label of every anchor, or `NEGATIVE`, or `IGNORED`;
    - `anchors` (P, 4): the anchors of the positives, image by image;
    - `boxes` (P, 4): the ground-truth box of each positive.
    """

    labels: Tensor
    anchors: Tensor
    boxes: Tensor

    @property
    def positives(self) -> tuple[Tensor, Tensor]:
        """Image index and anchor index of each positive, (P,) each. Does not synchronise a GPU: `boxes` gives P."""
        return tuple((self.labels >= 0).nonzero_static(size=len(self.boxes)).unbind(1))


class _PerImage:
    """Reductions over the boxes of each image of a batch.

    Args: `boxes` and `counts` as for an assigner.
    """

    def __init__(self, boxes: Tensor, counts: Counts | None):
        self.is_batch, counts = counts is not None, [len(boxes)] if counts is None else counts
        self.number = len(counts)
        images = torch.arange(self.number).repeat_interleave(torch.tensor(counts))
        self.image_of_box = queue_copy(images, boxes.device)

    def pieces(self, anchors: int) -> Iterator[slice]:
        """Rows of the boxes that are compared with so many anchors at once."""
        rows = max(1, PAIRS // max(1, anchors))
        yield from (slice(first, first + rows) for first in range(0, len(self.image_of_box), rows))

    def reduce(self, rows: slice, value: Tensor, how: str, into: Tensor) -> Tensor:
        """Reduce over the boxes of each image, and with `into`: (g, A), (B, A) -> (B, A). The boxes are `rows`."""
        return into.scatter_reduce(0, self.image_of_box[rows, None].expand_as(value), value, how)

    def best(self, anchors: int, value_of: Callable[[slice], Tensor]) -> tuple[Tensor, Tensor]:
        """The highest value among the boxes of each image, and the index of its box: 2 x (B, A).

        Of equal values the first box counts. Where all values are -inf, as without boxes, the index is G.

        Args: `anchors`, A; `value_of`, a function of rows of boxes that returns their values, (g, A).
        """
        number, device = len(self.image_of_box), self.image_of_box.device
        best, owner = None, torch.full((self.number, anchors), number, device=device)
        for rows in self.pieces(anchors):
            value = value_of(rows)
            if best is None:
                best = value.new_full(owner.shape, -torch.inf)
            top = self.reduce(rows, value, "amax", best)
            index = torch.arange(number, device=device)[rows, None].expand_as(value)
            is_best = value == top[self.image_of_box[rows]]
            first = self.reduce(rows, torch.where(is_best, index, number), "amin", torch.full_like(owner, number))
            owner, best = torch.where(top > best, first, owner), top
        return torch.full(owner.shape, -torch.inf, device=device) if best is None else best, owner

    def result(self, matched: Tensor) -> Tensor:
        """The shape that an assigner returns: (B, A), or (A,) without `counts`."""
        return matched if self.is_batch else matched[0]


def iou_assign(
    anchors: Sequence[Tensor],
    boxes: Tensor,
    counts: Counts | None = None,
    *,
    positive_iou: float = 0.5,
    negative_iou: float = 0.4,
    rescue_iou: float = 0.0,
) -> Tensor:
    """RetinaNet's assigner, by the IoU of anchor and box.

    The best IoU of an anchor decides: positive from `positive_iou` on, negative below `negative_iou`, ignored between.
    Then each box claims the anchors that have the best IoU *for this box*, if that IoU reaches `rescue_iou`. A claim
    overrides the first match. (torchvision's matcher matches such an anchor to the box that *it* overlaps most.)

    Shape: that of any assigner.
    """
    images, all_anchors = _PerImage(boxes, counts), torch.cat(list(anchors))
    box_index = torch.arange(len(boxes), device=boxes.device)[:, None]
    claimant = torch.full((images.number, len(all_anchors)), -1, device=boxes.device)

    def compare(rows: slice) -> Tensor:
        nonlocal claimant
        iou = box_iou(boxes[rows], all_anchors)  # (g, A)
        best_of_box = iou.max(dim=1, keepdim=True).values
        is_claimed = (iou == best_of_box) & (best_of_box > 0) & (best_of_box >= rescue_iou)
        # Of several claims on one anchor the last counts, as in the release.
        claimant = images.reduce(rows, torch.where(is_claimed, box_index[rows], -1), "amax", claimant)
        return iou

    best_iou, matched = images.best(len(all_anchors), compare)
    matched[best_iou < positive_iou] = IGNORED
    matched[best_iou < negative_iou] = NEGATIVE
    return images.result(torch.where(claimant >= 0, claimant, matched))


def atss_assign(
    anchors: Sequence[Tensor],
    boxes: Tensor,
    counts: Counts | None = None,
    *,
    candidates: int = 9,
    inside_margin: float = 0.01,
) -> Tensor:
    r"""Adaptive training sample selection: each box sets its own IoU threshold.

    .. math:: t_g = \mathrm{mean}_{a \in C_g} \mathrm{IoU}(a, g) + \mathrm{std}_{a \in C_g} \mathrm{IoU}(a, g)

    where the candidates C_g are, on every level, the anchors whose centres are nearest to the box's centre. A candidate
    is positive if its IoU reaches t_g and its centre lies inside the box by more than `inside_margin` pixels. If two
    boxes claim an anchor, the box with the higher IoU gets it. All other anchors are negative; none is ignored.

    Shape: that of any assigner.
    Source: ATSS (CVPR 2020). The standard deviation is the unbiased one.
    """
    images, all_anchors = _PerImage(boxes, counts), torch.cat(list(anchors))

    def claims(rows: slice) -> Tensor:
        """(g, A): the IoU where a box claims an anchor, else -1."""
        nearest = _nearest_anchors(anchors, centre_size(boxes[rows])[0], candidates)  # (g, C) indices
        iou = box_iou(boxes[rows], all_anchors).gather(1, nearest)
        centre = centre_size(all_anchors)[0][nearest]  # (g, C, 2)
        inside = torch.cat([centre - boxes[rows, None, :2], boxes[rows, None, 2:] - centre], dim=2).amin(dim=2)
        threshold = iou.mean(dim=1, keepdim=True) + iou.std(dim=1, keepdim=True)
        positive = (iou >= threshold) & (inside > inside_margin)
        claim = iou.new_full((len(iou), len(all_anchors)), -1.0)
        return claim.scatter_(1, nearest, torch.where(positive, iou, -1.0))

    best_claim, claimant = images.best(len(all_anchors), claims)
    return images.result(torch.where(best_claim >= 0, claimant, NEGATIVE))


def _nearest_anchors(anchors: Sequence[Tensor], box_centres: Tensor, k: int) -> Tensor:
    """Indices (G, C) of the k anchors of each level whose centres are nearest to each box's.

    The scales of one location have equal distances. `topk` breaks these ties, as in the release; a rule of our own
    would give other anchors than the release.
    """
    chosen, start = [], 0
    for level in anchors:
        distance = torch.cdist(box_centres, centre_size(level)[0], compute_mode="donot_use_mm_for_euclid_dist")
        chosen.append(start + distance.topk(min(k, len(level)), dim=1, largest=False).indices)
        start += len(level)
    return torch.cat(chosen, dim=1)


FOVEA_SCALES = ((1, 64), (32, 128), (64, 256), (128, 512), (256, 2048))
"""For each level, the least and the largest box size sqrt(width * height) that it is responsible for, in pixels."""


def fovea_assign(
    anchors: Sequence[Tensor], boxes: Tensor, counts: Counts | None = None, *, sigma: float = 0.4
) -> Tensor:
    """FoveaBox's assigner: by location, without any IoU.

    The inner part of a box has `sigma` times its width and height. An anchor is positive if its centre lies in the
    inner part of a box, and if the size of that box belongs to the anchor's level. The smallest of such boxes counts.
    All other anchors are negative. If the inner part lies beyond the last centre of the image, that centre is used.

    Shape: that of any assigner.
    Source: FoveaBox, as the release has it.
    """
    images, (centre, size) = _PerImage(boxes, counts), centre_size(boxes)
    area, matched = size.prod(dim=1), []
    for level, (least, most) in zip(anchors, FOVEA_SCALES, strict=False):
        point = centre_size(level)[0]
        low = torch.minimum(centre - sigma / 2 * size, point.amax(dim=0))[:, None]  # (G, 1, 2)
        high = torch.maximum(centre + sigma / 2 * size, point.amin(dim=0))[:, None]
        fits = (least <= area.sqrt()) & (area.sqrt() <= most)
        smallest, owner = images.best(
            len(level), partial(_minus_area, point, low, high, torch.where(fits, area, torch.inf))
        )
        matched.append(torch.where(smallest > -torch.inf, owner, NEGATIVE))
    return images.result(torch.cat(matched, dim=1))


def _minus_area(point: Tensor, low: Tensor, high: Tensor, area: Tensor, rows: slice) -> Tensor:
    """(g, A): minus the area of each box of `rows` where a point lies between `low` and `high`, else -inf."""
    inside = ((low[rows] <= point) & (point <= high[rows])).all(dim=2)
    return torch.where(inside, -area[rows, None], -torch.inf)


def sampled(assigner: Assigner, number: int, positive_fraction: float) -> Assigner:
    """An assigner that keeps `number` anchors of an image at random, `positive_fraction` of them positives at most.

    All others are ignored. The two-stage baselines need this, since negatives far outnumber positives. A ranking-based
    loss does not.
    """

    def assign(anchors: Sequence[Tensor], boxes: Tensor, counts: Counts | None = None) -> Tensor:
        matched = assigner(anchors, boxes, counts)
        kept = torch.full_like(matched, IGNORED)
        for kept_row, matched_row in zip(torch.atleast_2d(kept), torch.atleast_2d(matched), strict=True):
            positives, negatives = (matched_row >= 0).nonzero().flatten(), (matched_row == NEGATIVE).nonzero().flatten()
            positives = _draw(positives, int(number * positive_fraction))
            keep = torch.cat([positives, _draw(negatives, number - len(positives))])
            kept_row[keep] = matched_row[keep]
        return kept

    return assign


def _draw(indices: Tensor, most: int) -> Tensor:
    return indices[torch.randperm(len(indices), device=indices.device)[:most]]


ASSIGNERS: dict[str, Assigner] = {
    "iou": iou_assign,
    "atss": atss_assign,
    "fovea": fovea_assign,
    "rpn": partial(iou_assign, positive_iou=0.7, negative_iou=0.3, rescue_iou=0.3),
}
"""The rules by the names that `Recipe.assigner` takes."""
