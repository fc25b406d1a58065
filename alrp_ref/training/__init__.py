"""Training: schedule, reproducible sampling, checkpoints, and the loop."""

from alrp_ref.training.errors import Preempted, TrainingStopped
from alrp_ref.training.loop import train, validate

__all__ = ["Preempted", "TrainingStopped", "train", "validate"]
