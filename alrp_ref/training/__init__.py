"""Training: options, schedule, reproducible sampling, checkpoints, the loop, and comparisons."""

from typing import TYPE_CHECKING

from alrp_ref.machine.lazy import lazy

if TYPE_CHECKING:
    from alrp_ref.training.compare_recipes import compare
    from alrp_ref.training.errors import Preempted, TrainingStopped
    from alrp_ref.training.loop import train
    from alrp_ref.training.options import TrainOptions
    from alrp_ref.training.validation import validate
else:
    homes = {
        "compare": "compare_recipes",
        "Preempted": "errors",
        "TrainOptions": "options",
        "TrainingStopped": "errors",
        "train": "loop",
        "validate": "validation",
    }
    __getattr__ = lazy(__name__, homes)

__all__ = ["Preempted", "TrainOptions", "TrainingStopped", "compare", "train", "validate"]
