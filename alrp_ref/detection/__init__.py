"""Detectors on torchvision parts, trained with the losses of the paper.

A part differs from torchvision's only where the release differs from it. A comment then says how.
"""

from typing import TYPE_CHECKING

from alrp_ref.machine.lazy import lazy

if TYPE_CHECKING:
    from alrp_ref.detection.build import build_detector
    from alrp_ref.detection.official_weights import load_official_checkpoint
    from alrp_ref.detection.preprocess import IMAGE_MEAN, IMAGE_STD
    from alrp_ref.detection.recipes import RECIPES, Recipe
    from alrp_ref.detection.saved_model import load_model, load_official_model, save_model
else:
    homes = {
        "IMAGE_MEAN": "preprocess",
        "IMAGE_STD": "preprocess",
        "RECIPES": "recipes",
        "Recipe": "recipes",
        "build_detector": "build",
        "load_model": "saved_model",
        "load_official_checkpoint": "official_weights",
        "load_official_model": "saved_model",
        "save_model": "saved_model",
    }
    __getattr__ = lazy(__name__, homes)

__all__ = [
    "IMAGE_MEAN",
    "IMAGE_STD",
    "RECIPES",
    "Recipe",
    "build_detector",
    "load_model",
    "load_official_checkpoint",
    "load_official_model",
    "save_model",
]
