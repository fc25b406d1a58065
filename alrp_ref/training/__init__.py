"""Training: schedule, reproducible sampling, checkpoints, and the loop."""

from alrp_ref.training.errors import TrainingStopped
from alrp_ref.training.loop import train, validate

__all__ = ["TrainingStopped", "train", "validate"]
