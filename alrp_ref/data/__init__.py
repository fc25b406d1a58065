"""Data sets in COCO's format: reading, checking, augmenting, downloading, and a set of drawn shapes."""

from typing import TYPE_CHECKING

from alrp_ref.data.annotations.check import check_data
from alrp_ref.data.annotations.layout import Layout
from alrp_ref.data.dataset import CocoDataset, ReadAs
from alrp_ref.data.download import download
from alrp_ref.data.hold_out import hold_out
from alrp_ref.data.shapes import make_shapes
from alrp_ref.data.transforms import collate, readable_transform
from alrp_ref.machine.lazy import lazy

if TYPE_CHECKING:
    from alrp_ref.data.fast_transforms import train_transform
else:
    homes = {"train_transform": "fast_transforms"}  # OpenCV only where images are augmented
    __getattr__ = lazy(__name__, homes)

__all__ = [
    "CocoDataset",
    "Layout",
    "ReadAs",
    "check_data",
    "collate",
    "download",
    "hold_out",
    "make_shapes",
    "readable_transform",
    "train_transform",
]
