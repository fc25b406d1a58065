"""Training: schedule, reproducible sampling, checkpoints, the loop, and the report of a run."""

from alrp_ref.training.checkpoint import load_model, load_official_model, save_model
from alrp_ref.training.loop import TrainingStopped, train, validate
from alrp_ref.training.report import write_report

__all__ = ["TrainingStopped", "load_model", "load_official_model", "save_model", "train", "validate", "write_report"]
