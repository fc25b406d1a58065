"""Data sets in COCO's format, their augmentation and their evaluation."""

from alrp_ref.coco.dataset import CocoDataset
from alrp_ref.coco.detect import detect
from alrp_ref.coco.errors import DataError
from alrp_ref.coco.evaluate import evaluate
from alrp_ref.coco.metrics import Metrics
from alrp_ref.coco.shapes import make_shapes
from alrp_ref.coco.transforms import collate, train_transform

__all__ = [
    "CocoDataset",
    "DataError",
    "Metrics",
    "collate",
    "detect",
    "evaluate",
    "make_shapes",
    "train_transform",
]
