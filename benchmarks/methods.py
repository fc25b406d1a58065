"""The classification part of aLRP Loss and its gradient, by the methods that the package's own is compared with.

Each takes the scores of the positives, of the negatives, and the localisation errors of the positives, and returns
the loss and its gradient on each negative.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from alrp_ref import alrp_loss, pairwise
from benchmarks import peers

Result = tuple[Tensor, Tensor]


def loop(s_pos: Tensor, s_neg: Tensor, errors: Tensor) -> Result:
    """One positive after the other: `benchmarks.peers.loop`."""
    value, _, on_neg = peers.loop(peers.LOSSES["aLRP"], s_pos, s_neg, errors)
    return value, on_neg


def buckets(s_pos: Tensor, s_neg: Tensor, errors: Tensor) -> Result:
    """The negatives between two neighbouring positives at their mean: `benchmarks.peers.buckets`."""
    value, _, on_neg = peers.buckets(peers.LOSSES["aLRP"], s_pos, s_neg, errors)
    return value, on_neg


def pairs(s_pos: Tensor, s_neg: Tensor, errors: Tensor) -> Result:
    """All pairs at once: `alrp_ref.pairwise`."""
    return _backward(pairwise.alrp_loss, s_pos, s_neg, errors)


def running_sums(s_pos: Tensor, s_neg: Tensor, errors: Tensor) -> Result:
    """Ours: `alrp_ref.alrp_loss`."""
    return _backward(alrp_loss, s_pos, s_neg, errors)


def _backward(loss: Callable, s_pos: Tensor, s_neg: Tensor, errors: Tensor) -> Result:
    logits = torch.cat([s_pos, s_neg]).requires_grad_()
    targets = torch.zeros(len(logits), dtype=torch.int8, device=logits.device)
    targets[: len(s_pos)] = 1
    value = loss(logits, targets, errors).cls
    value.backward()
    return value.detach(), logits.grad[len(s_pos) :]


def deviation(result: Result, exact: Result) -> tuple[float, float]:
    """How far loss and gradient are off, relative to the largest number that they should have."""
    loss, gradient = (float((a - b).abs().max() / b.abs().max()) for a, b in zip(result, exact, strict=True))
    return loss, gradient


METHODS: dict[str, Callable[..., Result]] = {
    "loop": loop,
    "buckets": buckets,
    "pairs": pairs,
    "running sums": running_sums,
}
