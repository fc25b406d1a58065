"""Data sets in COCO's format, their augmentation and their evaluation."""

from alrp_ref.coco.check import check_data
from alrp_ref.coco.dataset import CocoDataset
from alrp_ref.coco.detect import detect
from alrp_ref.coco.download import download
from alrp_ref.coco.errors import DataError
from alrp_ref.coco.evaluate import evaluate, precision_curves
from alrp_ref.coco.hold_out import hold_out
from alrp_ref.coco.metrics import METRICS, Metrics
from alrp_ref.coco.order import order_bounds, rank_correlation, true_positives
from alrp_ref.coco.shapes import make_shapes
from alrp_ref.coco.transforms import collate, train_transform

__all__ = [
    "METRICS",
    "CocoDataset",
    "DataError",
    "Metrics",
    "check_data",
    "collate",
    "detect",
    "download",
    "evaluate",
    "hold_out",
    "make_shapes",
    "order_bounds",
    "precision_curves",
    "rank_correlation",
    "train_transform",
    "true_positives",
]
