"""A recipe's schedule in steps, for a data set and a length of training."""

import math
from dataclasses import dataclass, replace

from alrp_ref.detection import Recipe


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
    def of(recipe: Recipe, num_images: int, *, steps: int | None, epochs: float | None) -> "Plan":
        """The plan for `num_images` images. `steps` or `epochs` replace the recipe's length and scale its schedule."""
        if epochs is not None and not math.isfinite(epochs):
            raise ValueError(f"epochs must be a finite number, got {epochs}")
        steps_per_epoch = num_images // recipe.batch_size
        if steps_per_epoch == 0:
            raise ValueError(f"batch_size must not exceed the {num_images} training images, got {recipe.batch_size}")
        full = recipe.epochs * steps_per_epoch
        total = steps if steps is not None else round((recipe.epochs if epochs is None else epochs) * steps_per_epoch)
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


def with_batch_size(recipe: Recipe, batch_size: int) -> Recipe:
    """The recipe for another batch size, its learning rate scaled linearly with it."""
    return replace(recipe, batch_size=batch_size, lr=recipe.lr * batch_size / recipe.batch_size)
