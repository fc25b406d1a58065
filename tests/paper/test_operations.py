"""How many operations a call of a loss is, with its gradient: on a GPU the host starts each, whatever its length."""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from alrp_ref import alrp_loss, ap_loss, rank_sort_loss

FREE = "alias as_strided detach expand select slice split t transpose unbind unsqueeze view".split()
FREE += ["empty", "empty_like", "promote_types", "scalar_tensor"]
"""Views, memory that is not written to, and numbers of the host."""


class Operations(TorchDispatchMode):
    """The operations that touch an element."""

    def __init__(self):
        super().__init__()
        self.names: list[str] = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        name = function.overloadpacket.__name__
        self.names += [name] * (name not in FREE)
        return function(*args, **(kwargs or {}))


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
