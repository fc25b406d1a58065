"""A recipe's schedule in steps, for a data set and a length of training."""

import math
from dataclasses import dataclass, replace
from typing import NamedTuple

from alrp_ref.detection import Recipe
from alrp_ref.training.options import TrainOptions
from alrp_ref.training.schedule import learning_rate


class Due(NamedTuple):
    """What the plan asks for after a step. What is saved or evaluated was read before, so all its losses are finite."""

    read: bool
    """Read and log what the steps have measured."""
    save: bool
    """Write a checkpoint."""
    evaluate: bool
    """Evaluate, although the run goes on."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A recipe's schedule in steps, for a data set and a length of training."""

    batch_size: int
    steps_per_epoch: int
    total_steps: int
    lr: float
    warmup_steps: int
    milestones: tuple[int, ...]

    @staticmethod
    def of(recipe: Recipe, num_images: int, options: TrainOptions) -> "Plan":
        """The plan for `num_images` images. The option `steps` or `epochs` replaces the recipe's length and scales its
        schedule. Raises: ValueError for a plan without a step."""
        steps_per_epoch = num_images // recipe.batch_size
        if steps_per_epoch == 0:
            raise ValueError(f"batch_size must not exceed the {num_images} training images, got {recipe.batch_size}")
        full = recipe.epochs * steps_per_epoch
        total = full if options.epochs is None else round(options.epochs * steps_per_epoch)
        total = total if options.steps is None else options.steps
        if total < 1:
            raise ValueError(f"a run needs at least 1 step, got {total}")
        return Plan(
            batch_size=recipe.batch_size,
            steps_per_epoch=steps_per_epoch,
            total_steps=total,
            lr=recipe.lr,
            # In a shortened run the warm-up takes at most a tenth of the steps.
            warmup_steps=min(recipe.warmup_iters, math.ceil(total / 10)) if total < full else recipe.warmup_iters,
            milestones=tuple(round(total * epoch / recipe.epochs) for epoch in recipe.lr_steps),
        )

    def learning_rate(self, step: int, warmup_factor: float) -> float:
        """The learning rate of a step; `warmup_factor` is the recipe's."""
        return learning_rate(
            step,
            self.lr,
            warmup_steps=self.warmup_steps,
            warmup_factor=warmup_factor,
            milestones=self.milestones,
        )

    def due(self, done: int, *, read_every: int = 1, evaluate_every: int | None = None) -> Due:
        """What is due after `done` steps. It is the same on all processes, since it does not depend on time.

        Args: `read_every`, in steps; `evaluate_every`, in epochs, None or 0 for at the end only.
        """
        ends = done == self.total_steps or done % self.steps_per_epoch == 0  # of the run, or of an epoch
        between = bool(evaluate_every) and 0 < done < self.total_steps
        return Due(
            read=ends or done % read_every == 0,
            save=ends,
            evaluate=between and done % (evaluate_every * self.steps_per_epoch) == 0,
        )


def with_batch_size(recipe: Recipe, batch_size: int) -> Recipe:
    """The recipe for another batch size, its learning rate scaled linearly with it."""
    return replace(recipe, batch_size=batch_size, lr=recipe.lr * batch_size / recipe.batch_size)
