"""Which anchors are positive, and for which ground-truth box.

An assigner takes the anchors of each level, (A_l, 4), and the boxes of a batch, (G, 4), x1, y1, x2, y2 in pixels, those
of one image after those of the other, with `counts`, how many each image has. It returns for every image and anchor
the index of its box among all G, `NEGATIVE` or `IGNORED`: (B, A), int64. Without `counts` there is one image: (A,).
All images are assigned at once, without a loop over images or boxes.
"""

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor
from torchvision.ops import box_iou

from alrp_ref.detection.boxes import centre_size

NEGATIVE = -1
IGNORED = -2

Counts = Sequence[int]
Assigner = Callable[[Sequence[Tensor], Tensor, Counts | None], Tensor]


class _Images:
    """The images of a batch, for what is reduced over the boxes of each.

    Args: as for an assigner; without `counts` all boxes are of one image.
    """

    def __init__(self, boxes: Tensor, counts: Counts | None):
        self.is_batch, counts = counts is not None, [len(boxes)] if counts is None else counts
        self.number = len(counts)
        images = torch.arange(self.number, device=boxes.device)
        self.of_box = images.repeat_interleave(torch.tensor(counts, device=boxes.device), output_size=len(boxes))

    def reduce(self, value: Tensor, how: str, start: float) -> Tensor:
        """Over the boxes of each image: (G, A) -> (B, A); `start` for an image without boxes."""
        image = self.of_box[:, None].expand_as(value)
        return value.new_full((self.number, value.shape[1]), start).scatter_reduce(0, image, value, how)

    def best(self, value: Tensor) -> tuple[Tensor, Tensor]:
        """The highest value among the boxes of each image, and whose it is, the first of several: (G, A) -> 2 x (B, A).

        An image without boxes has -inf and G.
        """
        owner = torch.arange(len(value), device=value.device)[:, None].expand_as(value)
        best = self.reduce(value, "amax", -torch.inf)
        is_best = value == best[self.of_box]
        return best, self.reduce(torch.where(is_best, owner, len(value)), "amin", len(value))

    def result(self, matched: Tensor) -> Tensor:
        """What an assigner returns: (B, A), or (A,) without `counts`."""
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
    """The assigner of RetinaNet: by the IoU of anchor and box.

    An anchor is positive, for the box of its best IoU, from `positive_iou` on; negative below `negative_iou`; ignored
    between. Then each box in turn takes all anchors that tie for its own best IoU, if that reaches `rescue_iou`, and
    even from another box. (torchvision's matcher gives such an anchor to the box *it* overlaps most instead.)

    Shape: that of any assigner.
    """
    images, iou = _Images(boxes, counts), box_iou(boxes, torch.cat(list(anchors)))  # (G, A)
    best_iou, matched = images.best(iou)
    matched[best_iou < positive_iou] = IGNORED
    matched[best_iou < negative_iou] = NEGATIVE

    best_of_box = iou.max(dim=1, keepdim=True).values
    takes = (iou == best_of_box) & (best_of_box > 0) & (best_of_box >= rescue_iou)
    turn = torch.arange(len(boxes), device=boxes.device)[:, None]
    taker = images.reduce(torch.where(takes, turn, -1), "amax", -1)  # whoever comes last keeps the anchor
    return images.result(torch.where(taker >= 0, taker, matched))


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

    where the candidates C_g are, on every level, the anchors whose centres are nearest to the box's. A candidate is
    positive if its IoU reaches t_g and its centre lies inside the box by more than `inside_margin` pixels; one that
    two boxes claim goes to the higher IoU. All other anchors are negative: there is no ignored band.

    Shape: that of any assigner.
    Source: ATSS (CVPR 2020). The standard deviation is the unbiased one.
    """
    images, all_anchors = _Images(boxes, counts), torch.cat(list(anchors))
    if len(boxes) == 0:  # nothing has no standard deviation
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

    The scales of one location tie. Which of them takes a last place is left to `topk`, as in the release: to order
    ties by a rule would miss its numbers.
    """
    chosen, start = [], 0
    for level in anchors:
        distance = torch.cdist(box_centres, centre_size(level)[0], compute_mode="donot_use_mm_for_euclid_dist")
        chosen.append(start + distance.topk(min(k, len(level)), dim=1, largest=False).indices)
        start += len(level)
    return torch.cat(chosen, dim=1)


FOVEA_SCALES = ((1, 64), (32, 128), (64, 256), (128, 512), (256, 2048))
"""Of each level, the least and the largest root of the area of the boxes it is responsible for, in pixels."""


def fovea_assign(
    anchors: Sequence[Tensor], boxes: Tensor, counts: Counts | None = None, *, sigma: float = 0.4
) -> Tensor:
    """The assigner of FoveaBox: by place, without any IoU.

    An anchor is positive if its centre lies in the inner part of a box, `sigma` of its width and height, and the box
    belongs to the anchor's level by its size; of several boxes the smallest takes it. All others are negative. Near
    the border a box whose inner part holds no centre, being beyond the last one, takes that.

    Shape: that of any assigner.
    Source: FoveaBox, as the release has it.
    """
    images, (centre, size) = _Images(boxes, counts), centre_size(boxes)
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

    All others are ignored. The baselines of two stages need this, as negatives would drown the positives; a ranking
    does not.
    """

    def assign(anchors: Sequence[Tensor], boxes: Tensor, counts: Counts | None = None) -> Tensor:
        matched = assigner(anchors, boxes, counts)
        kept = torch.full_like(matched, IGNORED)
        for one, of_image in zip(torch.atleast_2d(kept), torch.atleast_2d(matched), strict=True):
            positives, negatives = ((of_image >= 0).nonzero().flatten(), (of_image == NEGATIVE).nonzero().flatten())
            positives = _draw(positives, int(number * positive_fraction))
            keep = torch.cat([positives, _draw(negatives, number - len(positives))])
            one[keep] = of_image[keep]
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


def get_assigner(name: str) -> Assigner:
    """One of `ASSIGNERS`. Raises: ValueError for another name."""
    if name not in ASSIGNERS:
        raise ValueError(f"assigner must be one of {', '.join(ASSIGNERS)}, got {name!r}")
    return ASSIGNERS[name]
