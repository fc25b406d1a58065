"""Build the detector of a recipe."""

import os

from torch import nn

from alrp_ref.detection.backbones import build_backbone
from alrp_ref.detection.detector import Detector
from alrp_ref.detection.faster_rcnn import FasterRCNN
from alrp_ref.detection.recipes import Recipe, get_recipe
from alrp_ref.detection.retinanet import RetinaNet

DETECTORS = {"retinanet": RetinaNet, "faster_rcnn": FasterRCNN}


def build_detector(
    recipe: str | Recipe,
    num_classes: int = 80,
    pretrained_backbone: bool = False,
    self_balance_period: int | None = None,
    backbone_weights: str | os.PathLike | None = None,
    criterion: nn.Module | None = None,
) -> Detector:
    """The detector of a recipe, ready to train or to load weights into.

    Args:
        recipe: a name of `RECIPES`, or a `Recipe` of your own.
        num_classes: labels are 0..num_classes-1.
        pretrained_backbone: download torchvision's ImageNet weights for the backbone.
        self_balance_period: training steps in an epoch, usually ``len(data_loader)``. None keeps the weight of the
            localisation part of aLRP Loss at its first value, 50.
        backbone_weights: or read the backbone's weights from a file with torchvision's names.
        criterion: a module of your own in place of the recipe's loss, for Faster R-CNN that of the second stage: it is
            called with logits (B, N, C), deltas (B, N, 4) and an `Assigned`, and returns a dict of losses.

    Raises:
        ValueError: an unknown recipe, a number of classes below 1, or a criterion that is not a module.
        DataError: weights that cannot be had, or do not fit; the file is named.
    """
    recipe = get_recipe(recipe)
    if isinstance(num_classes, bool) or not isinstance(num_classes, int) or num_classes < 1:
        raise ValueError(f"num_classes must be a whole number, 1 or more, got {num_classes!r}")
    backbone = build_backbone(recipe.backbone, pretrained=pretrained_backbone, weights_file=backbone_weights)
    model = DETECTORS[recipe.detector](recipe, backbone, num_classes, self_balance_period=self_balance_period)
    if criterion is not None:
        if not isinstance(criterion, nn.Module):
            raise ValueError(f"criterion must be a torch.nn.Module, got {criterion!r}")
        model.criterion, model.custom_criterion = criterion, type(criterion).__name__
    return model
