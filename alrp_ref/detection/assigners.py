"""Assigners: which anchors are positive, and for which ground-truth box.

An assigner is a function of three arguments:

- `anchors`, (A_l, 4) for each level;
- `boxes`, (G, 4), x1, y1, x2, y2 in pixels, concatenated over the images of the batch;
- `counts`: `counts[b]` of these boxes belong to image b. Without `counts` there is one image.

It returns the index of the matched box among all G, or `NEGATIVE`, or `IGNORED`: (B, A), int64; (A,) without `counts`.
All images are assigned at once, without a loop over images or boxes.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor
from torchvision.ops import box_iou

from alrp_ref.batch import IGNORED, NEGATIVE
from alrp_ref.detection.boxes import centre_size

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
        images = torch.arange(self.number, device=boxes.device)
        self.image_of_box = images.repeat_interleave(torch.tensor(counts, device=boxes.device), output_size=len(boxes))

    def reduce(self, value: Tensor, how: str, start: float) -> Tensor:
        """Reduce over the boxes of each image: (G, A) -> (B, A); `start` for an image without boxes."""
        image = self.image_of_box[:, None].expand_as(value)
        return value.new_full((self.number, value.shape[1]), start).scatter_reduce(0, image, value, how)

    def best(self, value: Tensor) -> tuple[Tensor, Tensor]:
        """The highest value among the boxes of each image, and the index of its box: (G, A) -> 2 x (B, A).

        Of equal values the first box counts. An image without boxes has the value -inf and the index G.
        """
        owner = torch.arange(len(value), device=value.device)[:, None].expand_as(value)
        best = self.reduce(value, "amax", -torch.inf)
        is_best = value == best[self.image_of_box]
        return best, self.reduce(torch.where(is_best, owner, len(value)), "amin", len(value))

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
    images, iou = _PerImage(boxes, counts), box_iou(boxes, torch.cat(list(anchors)))  # (G, A)
    best_iou, matched = images.best(iou)
    matched[best_iou < positive_iou] = IGNORED
    matched[best_iou < negative_iou] = NEGATIVE

    best_of_box = iou.max(dim=1, keepdim=True).values
    is_claimed = (iou == best_of_box) & (best_of_box > 0) & (best_of_box >= rescue_iou)  # (G, A)
    box_index = torch.arange(len(boxes), device=boxes.device)[:, None]
    # Of several claims on one anchor the last counts, as in the release.
    claimant = images.reduce(torch.where(is_claimed, box_index, -1), "amax", -1)
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
    if len(boxes) == 0:  # the standard deviation of an empty set is undefined
        return images.result(torch.full((images.number, len(all_anchors)), NEGATIVE, device=boxes.device))
    nearest = _nearest_anchors(anchors, centre_size(boxes)[0], candidates)  # (G, C) indices
    iou = box_iou(boxes, all_anchors).gather(1, nearest)
    centre = centre_size(all_anchors)[0][nearest]  # (G, C, 2)
    inside = torch.cat([centre - boxes[:, None, :2], boxes[:, None, 2:] - centre], dim=2).amin(dim=2)
    threshold = iou.mean(dim=1, keepdim=True) + iou.std(dim=1, keepdim=True)
    positive = (iou >= threshold) & (inside > inside_margin)

    claim = iou.new_full((len(boxes), len(all_anchors)), -1.0)  # (G, A): IoU where g claims a, else -1
    claim.scatter_(1, nearest, torch.where(positive, iou, -1.0))
    best_claim, claimant = images.best(claim)
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
        inside = ((low <= point) & (point <= high)).all(dim=2)  # (G, A_l)
        inside &= ((least <= area.sqrt()) & (area.sqrt() <= most))[:, None]
        smallest, owner = images.best(torch.where(inside, -area[:, None], -torch.inf))
        matched.append(torch.where(smallest > -torch.inf, owner, NEGATIVE))
    return images.result(torch.cat(matched, dim=1))


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
