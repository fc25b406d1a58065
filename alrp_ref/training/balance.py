"""How hard the negatives push for each push of the positives: what Theorem 2 is about, measured while training."""

import math
from functools import partial

import torch
from torch import Tensor, nn

from alrp_ref.detection.criteria import Assigned, ranking_targets
from alrp_ref.scope import summed


class Balance:
    r"""The ratio of all gradients of a criterion with respect to its logits.

    .. math:: \sum_{j \in \mathcal N} \left| \frac{\partial \mathcal L}{\partial s_j} \right| \Big/
              \sum_{i \in \mathcal P} \left| \frac{\partial \mathcal L}{\partial s_i} \right|

    Args: `criterion`, of a detector, each backward pass through which is measured from now on.
    Source: Theorem 2, by which it is 1 for a ranking; Figure 4.
    """

    def __init__(self, criterion: nn.Module):
        self.pushes: Tensor | None = None  # of negatives and of positives
        criterion.register_forward_pre_hook(self._watch)

    @property
    def ratio(self) -> float:
        """Of the last backward pass, over all processes, each of which must ask for it; NaN without positives."""
        if self.pushes is None:
            return math.nan
        negatives, positives = summed(self.pushes)
        return float(negatives / positives)

    def _watch(self, criterion: nn.Module, inputs: tuple[Tensor, Tensor, Assigned]) -> None:
        logits, _, assigned = inputs
        if logits.requires_grad:  # only scores reach it: no criterion moves them for the sake of boxes
            logits.register_hook(partial(self._measure, assigned.labels))

    def _measure(self, labels: Tensor, gradient: Tensor) -> None:
        pushes = gradient.abs()
        positives = pushes[ranking_targets(labels, gradient.shape[-1]) == 1].sum()
        self.pushes = torch.stack([pushes.sum() - positives, positives])
