"""The options of a training run: all that it needs to know beside the recipe, the data and its folder."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from alrp_ref.detection.fields import check_fields, documented

if TYPE_CHECKING:
    from alrp_ref.detection.recipes import Recipe

Precision = Literal["bfloat16", "float32"]
Metric = Literal["AP", "AP50", "AP75", "oLRP"]


@documented
@dataclass(frozen=True, kw_only=True)
class TrainOptions:
    """How a recipe is trained. The first sentence about an option is also what `alrp train --help` says of it.

    Raises: ValueError, naming the option, for a value that cannot be used.
    """

    steps: int | None = None
    """Train for N steps instead of the recipe's epochs; the schedule is scaled."""
    epochs: float | None = None
    """Train for X epochs instead of the recipe's; the schedule is scaled."""
    accumulate: int = 1
    """Divide the images of each process into N micro-batches, to save memory. Each micro-batch is ranked by itself: N
    of them train as one in each of N processes."""
    precision: Precision | None = None
    """Precision of the network, by default bfloat16 on GPUs and processors that have instructions for it, else float32.
    The loss is computed in float32 in both."""
    backbone_weights: str | os.PathLike | None = None
    """Read the backbone's ImageNet weights from FILE."""
    pretrained_backbone: bool = False
    """Download torchvision's ImageNet weights of the backbone."""
    init_from: str | os.PathLike | None = None
    """Start from the detector in FILE, a checkpoint.pt of a run or a .pth of the release; its classes may differ. What
    fits is loaded, and the log lists what does not. A run that is resumed does not read the file again."""
    eval_every: int | None = None
    """Evaluate every N epochs, not only at the end."""
    keep_best: Metric | None = None
    """Keep the weights of the evaluation that is best by this metric, as best.pt; needs eval_every."""
    workers: int = 2
    """Number of processes that read and augment images."""
    cache: bool = False
    """Decode all training images at the start and keep them in memory; for small data sets."""
    device: str | None = None
    """Device, such as cpu, cuda or mps; by default an NVIDIA GPU if there is one."""
    seed: int = 0
    """Seed of the initial weights, the order of the images and their augmentation."""

    def __post_init__(self) -> None:
        check_fields(self, above_zero=("accumulate",), not_negative=("workers", "eval_every"))
        if self.steps is not None and self.epochs is not None:
            raise ValueError(f"give steps or epochs, not both; got {self.steps} steps and {self.epochs} epochs")
        if self.keep_best is not None and not self.eval_every:
            raise ValueError(f"keep_best compares evaluations: give eval_every beside keep_best={self.keep_best}")
        if self.init_from is not None and (self.pretrained_backbone or self.backbone_weights is not None):
            raise ValueError("init_from brings the weights of the backbone along: give none beside it")

    def check_batch(self, recipe: "Recipe", processes: int) -> None:
        """Raise ValueError unless each process can divide its share of a batch into equal micro-batches."""
        parts = processes * self.accumulate
        if recipe.batch_size % parts:
            shares = f"{parts} ({processes} processes x {self.accumulate} micro-batches)"
            raise ValueError(f"batch_size must be a multiple of {shares}, got {recipe.batch_size}")
        if self.accumulate > 1 and recipe.loss.rank_scope == "global":
            raise ValueError(
                'accumulate ranks each micro-batch by itself, and rank_scope "global" ranks the whole batch'
            )

    @property
    def backbone(self) -> str:
        """Where the first weights of the backbone come from: the name of a file, imagenet or none."""
        if self.backbone_weights is not None:
            return Path(self.backbone_weights).name
        return "imagenet" if self.pretrained_backbone else "none"

    @property
    def identity(self) -> dict[str, Any]:
        """The options that a checkpoint keeps: a run is resumed only with the same ones."""
        return {name: getattr(self, name) for name in ("seed", "accumulate", "precision")}
