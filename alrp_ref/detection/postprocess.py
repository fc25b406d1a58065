"""Post-processing: decode, clip, threshold, non-maximum suppression, keep the best; COCO's format."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torchvision.ops import batched_nms, box_convert, clip_boxes_to_image

from alrp_ref.detection.boxes import CODERS, BoxCoder

CANDIDATES_PER_LEVEL = 1000
NMS_IOU = 0.5
MAX_DETECTIONS = 100
FIRST_LOOK = 4096
"""Candidates of the first non-maximum suppression; see `best_detections`."""

Detections = dict[str, Tensor]


def detections_of_image(
    logits: Sequence[Tensor],
    deltas: Sequence[Tensor],
    anchors: Sequence[Tensor],
    image_size: tuple[int, int],
    *,
    score_threshold: float,
    most: int = MAX_DETECTIONS,
    coder: BoxCoder = CODERS["deltas"],
) -> Detections:
    """The detections of one image, best first.

    On each level the 1000 anchors with the highest class score are kept, with all their classes. (torchvision keeps
    the 1000 best pairs of anchor and class.) `best_detections` selects among them.

    Args: for each level `logits` (A, C), `deltas` (A, 4), `anchors` (A, 4); `image_size` (h, w) in pixels; `most`
        detections that are kept; `coder`, which decodes the deltas.
    Returns: {"boxes": (n, 4), "scores": (n,), "labels": (n,)}.
    """
    levels = zip(logits, deltas, anchors, strict=True)
    kept = [best_anchors(*level, image_size, coder, CANDIDATES_PER_LEVEL) for level in levels]
    logits, boxes = (torch.cat(parts) for parts in zip(*kept, strict=True))
    return best_detections(logits.sigmoid(), boxes[:, None], score_threshold, most)


def best_anchors(
    logits: Tensor, deltas: Tensor, anchors: Tensor, image_size: tuple[int, int], coder: BoxCoder, most: int
) -> tuple[Tensor, Tensor]:
    """Logits (k, C) and boxes (k, 4), clipped to the image, of the anchors with the highest logits."""
    best = logits.amax(dim=1).topk(min(most, len(logits))).indices
    size = tuple(side - coder.border for side in image_size)
    return logits[best], clip_boxes_to_image(coder.decode(deltas[best], anchors[best]), size)


def best_detections(scores: Tensor, boxes: Tensor, score_threshold: float, most: int = MAX_DETECTIONS) -> Detections:
    """Scores above the threshold whose box has an area; non-maximum suppression class by class; the best `most`.

    A detection can be suppressed only by one with a better score. So the best few thousand candidates are tried first.
    If they give so many detections, these are the result. This saves time early in training, when there are a hundred
    thousand candidates.

    Args: `scores` (n, C); `boxes` (n, C, 4), or (n, 1, 4) if all classes share one.
    """
    has_area = (boxes[..., 2:] > boxes[..., :2]).all(dim=-1)  # a box beyond the image's border is clipped to nothing
    row, label = ((scores > score_threshold) & has_area).nonzero(as_tuple=True)
    score, box = scores[row, label], boxes.expand(-1, scores.shape[1], -1)[row, label]
    best_first, looked_at, keep = score.argsort(descending=True, stable=True), FIRST_LOOK, row[:0]
    while len(keep) < most:
        best = best_first[:looked_at]
        keep = best[batched_nms(box[best], score[best], label[best], NMS_IOU)[:most]]
        if looked_at >= len(best_first):
            break
        looked_at *= 8
    return {"boxes": box[keep], "scores": score[keep], "labels": label[keep]}


def coco_rows(found: Detections, image_id: int | str, category_ids: Sequence[Any]) -> list[dict[str, Any]]:
    """The detections of an image in COCO's format: ids, "bbox" as x, y, width, height in pixels, and "score".

    Args: `found`, {"boxes" (n, 4), "scores" (n,), "labels" (n,)}; `category_ids`, COCO's id of each label, None for a
        class that the annotations do not have: its detections are left out.
    """
    boxes = box_convert(found["boxes"].double(), "xyxy", "xywh").tolist()
    return [
        {"image_id": image_id, "category_id": category_ids[label], "bbox": box, "score": score}
        for box, label, score in zip(boxes, found["labels"].tolist(), found["scores"].tolist(), strict=True)
        if category_ids[label] is not None
    ]
