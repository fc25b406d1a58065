"""The learning rate, as a function of the step."""

from collections.abc import Sequence


def learning_rate(
    step: int, base: float, *, warmup_steps: int = 0, warmup_factor: float = 1.0, milestones: Sequence[int] = ()
) -> float:
    r"""Linear warm-up, then a tenth at each milestone.

    .. math:: \mathrm{lr}(t) = \mathrm{base} \cdot 10^{-\#\{m \le t\}} \cdot
              \big( f + (1 - f) \min(1, t / T) \big)

    Args:
        step: t, 0 for the first.
        base: learning rate after the warm-up.
        warmup_steps, warmup_factor: T and f, the fraction it starts from.
        milestones: steps from which on another tenth applies.
    """
    progress = min(1.0, step / warmup_steps) if warmup_steps else 1.0
    drops = sum(step >= milestone for milestone in milestones)
    return base * 0.1**drops * (warmup_factor + (1 - warmup_factor) * progress)
