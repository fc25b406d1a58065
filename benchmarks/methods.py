"""The classification part of aLRP Loss and its gradient, by the methods that the package's own is compared with.

Each takes the scores of the positives, of the negatives, and the localisation errors of the positives, and returns
the loss and its gradient on each negative.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from alrp_ref import alrp_loss, pairwise
from alrp_ref.paper.pairwise import step

Result = tuple[Tensor, Tensor]


def loop(s_pos: Tensor, s_neg: Tensor, errors: Tensor) -> Result:
    """One positive after the other, each against all negatives: as the definition reads."""
    return _one_by_one(s_pos, s_neg, torch.ones_like(s_neg), errors)


def buckets(s_pos: Tensor, s_neg: Tensor, errors: Tensor) -> Result:
    """The negatives between two neighbouring positives stand together at their mean: |P| + 1 of them, with weights."""
    edges = s_pos.sort().values
    bucket = torch.searchsorted(edges, s_neg)
    count = torch.bincount(bucket, minlength=len(s_pos) + 1).to(s_neg)
    mean = torch.zeros_like(count).index_add(0, bucket, s_neg) / count.clamp(min=1)
    loss, gradient = _one_by_one(s_pos, mean, count, errors)
    return loss, gradient[bucket]


def _one_by_one(s_pos: Tensor, s_neg: Tensor, count: Tensor, errors: Tensor) -> Result:
    """The loss, and the gradient on one negative of each place, for `count` negatives at each."""
    loss, gradient = s_pos.new_zeros(()), torch.zeros_like(s_neg)
    for i, s_i in enumerate(s_pos):
        above, h = step(s_pos - s_i, 1.0), step(s_neg - s_i, 1.0)
        above[i] = 1.0  # a positive is of its own rank
        n_fp = h @ count
        rank = above.sum() + n_fp
        if n_fp > 1e-5:
            ell = (n_fp + above @ errors) / rank
            gradient += (ell - errors[i] / rank) / n_fp * h / len(s_pos)
        loss += n_fp / rank / len(s_pos)
    return loss, gradient


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
