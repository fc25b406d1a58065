"""From scores and deltas to detections: threshold, decode, clip, suppress, keep the best."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torchvision.ops import batched_nms, clip_boxes_to_image

from alrp_ref.detection.boxes import CODERS, BoxCoder

CANDIDATES_PER_LEVEL = 1000
NMS_IOU = 0.5
MAX_DETECTIONS = 100

Detections = dict[str, Tensor]


def detections_of_image(
    logits: Sequence[Tensor],
    deltas: Sequence[Tensor],
    anchors: Sequence[Tensor],
    image_size: tuple[int, int],
    *,
    score_threshold: float,
    coder: BoxCoder = CODERS["deltas"],
) -> Detections:
    """The detections of one image, best first.

    On each level the 1000 anchors with the highest class score stay, with all their classes (torchvision keeps
    the 1000 best pairs of anchor and class instead); of these, scores above the threshold, clipped to the image;
    then non-maximum suppression class by class, and the best 100.

    Args: for each level `logits` (A, C), `deltas` (A, 4), `anchors` (A, 4); `image_size` (h, w) in pixels; `coder`,
        how the four numbers make a box.
    Returns: {"boxes": (n, 4), "scores": (n,), "labels": (n,)}.
    """
    levels = [_best_anchors(*level, coder) for level in zip(logits, deltas, anchors, strict=True)]
    scores, boxes = (torch.cat(parts) for parts in zip(*levels, strict=True))
    boxes = clip_boxes_to_image(boxes, tuple(side - coder.border for side in image_size))
    anchor, label = (scores > score_threshold).nonzero(as_tuple=True)
    score = scores[anchor, label]
    keep = batched_nms(boxes[anchor], score, label, NMS_IOU)[:MAX_DETECTIONS]
    return {"boxes": boxes[anchor[keep]], "scores": score[keep], "labels": label[keep]}


def _best_anchors(logits: Tensor, deltas: Tensor, anchors: Tensor, coder: BoxCoder) -> tuple[Tensor, Tensor]:
    """Scores (k, C) and decoded boxes (k, 4) of a level's best anchors."""
    best = logits.amax(dim=1).topk(min(CANDIDATES_PER_LEVEL, len(logits))).indices
    return logits[best].sigmoid(), coder.decode(deltas[best], anchors[best])
