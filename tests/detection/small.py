"""Detectors of every kind, small enough to train in a test, and something for them to find."""

from dataclasses import replace

import torch
from torch import Tensor

from alrp_ref.detection import RECIPES, Recipe
from alrp_ref.detection.detector import Detector
from alrp_ref.detection.recipe_losses import (
    ALRP,
    AP,
    CrossEntropy,
    Focal,
    MeanGIoU,
    RankSort,
    ScoredGIoU,
    Separate,
    SmoothL1,
)

_TINY = RECIPES["alrp_tiny"]
_IOU = replace(_TINY, name="iou", assigner="iou", ratios=(0.5, 1.0, 2.0), scales_per_octave=1)
_FOVEA = replace(_TINY, name="alrp_fovea", assigner="fovea", coder="distances", scales_per_octave=1, anchor_offset=0.5)
_FASTER = replace(
    _TINY,
    name="alrp_faster",
    detector="faster_rcnn",
    assigner="rpn",
    scales_per_octave=1,
    ratios=(0.5, 1.0, 2.0),
    anchor_scale=4.0,
    levels=5,
    fpn_channels=32,
)

SMALL: dict[str, Recipe] = {
    recipe.name: recipe
    for recipe in (
        _TINY,
        RECIPES["ap_tiny"],
        RECIPES["focal_tiny"],
        RECIPES["rs_tiny"],
        _IOU,
        _FOVEA,
        replace(_FOVEA, name="ap_fovea", loss=AP(beta=0.11)),
        replace(_FOVEA, name="focal_fovea", loss=Focal(alpha=0.4, gamma=1.5, beta=0.11, count_images=True)),
        _FASTER,
        replace(_FASTER, name="ce_faster", loss=CrossEntropy()),
        replace(_FASTER, name="ce_giou_faster", loss=CrossEntropy(boxes="giou")),
    )
}
EVERY_LOSS = (
    ALRP(
        delta=0.5,
        loc_error="iou",
        loc_step="smoothed",
        first_weight=5.0,
        self_balance_epochs=0.25,
        rank_scope="global",
    ),
    AP(delta=2.0, beta=0.11, rank_scope="global"),
    RankSort(delta=0.3, weight=2.0, rank_scope="global"),
    Focal(alpha=None, gamma=0.0, beta=0.11, count_images=True),
    CrossEntropy(boxes="giou"),
    SmoothL1(beta=0.5),
    MeanGIoU(),
    ScoredGIoU(),
    Separate(scores=AP(delta=0.5), boxes=ALRP(first_weight=3.0), weight=2.0),
)
"""One of each, with other options than its defaults."""
EMPTY = {"boxes": torch.zeros(0, 4), "labels": torch.zeros(0, dtype=torch.int64)}


def batch(n: int = 2, size: int = 96) -> tuple[Tensor, list[dict[str, Tensor]]]:
    """Images of noise with bright squares, one class for red ones and one for green ones."""
    images, targets = 0.1 * torch.randn(n, 3, size, size), []
    for i in range(n):
        boxes = torch.tensor([[4.0 + 4 * i, 6.0, 30.0, 32.0], [28.0, 34.0, 60.0, 60.0 - 4 * i]])
        for label, (x1, y1, x2, y2) in enumerate(boxes.int().tolist()):
            images[i, label, y1:y2, x1:x2] += 2
        targets.append({"boxes": boxes, "labels": torch.tensor([0, 1])})
    return images, targets


def confident(model: Detector) -> Detector:
    """The same model, with scores high enough to detect something before any training."""
    scores = model.cls_logits if model.recipe.detector == "faster_rcnn" else model.head.cls_logits
    torch.nn.init.constant_(scores.bias, 2.0)
    return model.eval()
