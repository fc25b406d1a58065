"""Ratio of the gradient magnitudes of negatives and positives (Theorem 2), measured during training."""

from functools import partial

import torch
from torch import Tensor, nn

from alrp_ref.batch import ranking_targets
from alrp_ref.detection.assigners import Assigned
from alrp_ref.machine.processes import summed


class GradientBalance:
    r"""The ratio of the summed gradient magnitudes of negatives and positives, with respect to the logits.

    .. math:: \sum_{j \in \mathcal N} \left| \frac{\partial \mathcal L}{\partial s_j} \right| \Big/
              \sum_{i \in \mathcal P} \left| \frac{\partial \mathcal L}{\partial s_i} \right|

    Args: `criterion` of a detector; every later backward pass through it is measured.
    Source: Theorem 2: the ratio is 1 for a ranking-based loss. Figure 4.
    """

    def __init__(self, criterion: nn.Module):
        self.reset()
        criterion.register_forward_pre_hook(self._watch)

    def reset(self) -> None:
        """Forget the earlier backward passes, at the start of a step."""
        self.magnitudes: Tensor | None = None  # summed over negatives and over positives, (2,)

    @property
    def ratio(self) -> Tensor:
        """The ratio of the backward passes since `reset`, over all processes; all of them must call this.

        A scalar on the device; NaN without positives.
        """
        negatives, positives = torch.zeros(2) if self.magnitudes is None else summed(self.magnitudes)
        return negatives / positives

    def _watch(self, criterion: nn.Module, inputs: tuple[Tensor, Tensor, Assigned]) -> None:
        logits, _, assigned = inputs
        if logits.requires_grad:  # the localisation loss has no gradient with respect to logits
            logits.register_hook(partial(self._measure, ranking_targets(logits.detach(), assigned.labels) == 1))

    def _measure(self, is_positive: Tensor, gradient: Tensor) -> None:
        size = gradient.abs()
        # Not `size[is_positive]`: its length is a value of the device, and the host would wait for it.
        positives = torch.where(is_positive, size, 0).sum()
        magnitudes = torch.stack([size.sum() - positives, positives])
        self.magnitudes = magnitudes if self.magnitudes is None else self.magnitudes + magnitudes
