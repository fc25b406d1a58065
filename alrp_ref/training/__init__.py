"""Training: schedule, reproducible sampling, checkpoints, the loop, the report of a run, and the comparison of many."""

from alrp_ref.training.checkpoint import load_model, load_official_model, save_model
from alrp_ref.training.compare import compare
from alrp_ref.training.comparison import write_comparison
from alrp_ref.training.loop import TrainingStopped, train, validate
from alrp_ref.training.report import write_report

__all__ = [
    "TrainingStopped",
    "compare",
    "load_model",
    "load_official_model",
    "save_model",
    "train",
    "validate",
    "write_comparison",
    "write_report",
]
