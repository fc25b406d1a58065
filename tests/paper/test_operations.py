"""How many operations a call of a loss is, with its gradient: on a GPU the host starts each, whatever its length."""

import pytest
import torch

from alrp_ref import alrp_loss, ap_loss, rank_sort_loss
from benchmarks.operations import Operations


@pytest.mark.parametrize(
    ("step", "most"),
    [
        (lambda z, t, e: sum(alrp_loss(z, t, e)[:2]), 150),
        (lambda z, t, e: ap_loss(z, t), 150),
        (lambda z, t, e: rank_sort_loss(z, t, e.detach()).ranking, 170),  # it has a second set of pairs
    ],
    ids=["aLRP", "AP", "RS"],
)
def test_a_call_with_its_gradient_is_few_operations(step, most):
    """aLRP, AP and RS Loss of 10,000 logits, which a CPU takes in one part."""
    logits, errors = torch.randn(10_000, requires_grad=True), torch.rand(100, requires_grad=True)
    targets = torch.zeros(10_000, dtype=torch.int64)
    targets[:100] = 1
    with Operations() as operations:
        step(logits, targets, errors).backward()
    assert len(operations.names) <= most, sorted(operations.names)
