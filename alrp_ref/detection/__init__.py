"""Detectors on torchvision parts, trained with the losses of the paper.

Where our parts differ from torchvision's, it is because the release does, and a comment says so.
"""

from alrp_ref.detection.build import build_detector
from alrp_ref.detection.checkpoint import load_official_checkpoint
from alrp_ref.detection.preprocess import IMAGE_MEAN, IMAGE_STD
from alrp_ref.detection.recipes import RECIPES, Recipe

__all__ = ["IMAGE_MEAN", "IMAGE_STD", "RECIPES", "Recipe", "build_detector", "load_official_checkpoint"]
