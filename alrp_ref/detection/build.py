"""Build the detector of a recipe."""

import os

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
) -> Detector:
    """The detector of a recipe, ready to train or to load weights into.

    Args:
        recipe: a name of `RECIPES`, or a `Recipe` of your own.
        num_classes: labels are 0..num_classes-1.
        pretrained_backbone: download torchvision's ImageNet weights for the backbone.
        self_balance_period: training steps in an epoch, usually ``len(data_loader)``. None keeps the weight of the
            localisation part of aLRP Loss at its initial value, 50.
        backbone_weights: or read the backbone's weights from a file with torchvision's names.

    Raises:
        ValueError: an unknown recipe, or a number of classes below 1.
        DataError: weights that cannot be had, or do not fit; the file is named.
    """
    recipe = get_recipe(recipe)
    if isinstance(num_classes, bool) or not isinstance(num_classes, int) or num_classes < 1:
        raise ValueError(f"num_classes must be a whole number, 1 or more, got {num_classes!r}")
    if recipe.detector not in DETECTORS:
        raise ValueError(f"detector must be one of {', '.join(DETECTORS)}, got {recipe.detector!r}")
    backbone = build_backbone(recipe.backbone, pretrained=pretrained_backbone, weights_file=backbone_weights)
    return DETECTORS[recipe.detector](recipe, backbone, num_classes, self_balance_period=self_balance_period)
