"""Lists of examples to rank, for the tests of the losses: drawn by hypothesis, or large and random."""

import inspect
from typing import NamedTuple

import pytest
import torch
from hypothesis import strategies as st
from torch import Tensor

from alrp_ref import ranking_loss
from alrp_ref.paper import ranking, step_matrix


class Examples(NamedTuple):
    """What the losses take: logits (n,), targets (n,) in {1, 0, -1}, loc_errors (|P|,), all float64."""

    logits: Tensor
    targets: Tensor
    loc_errors: Tensor
    delta: float = 1.0

    @property
    def s_pos(self) -> Tensor:
        return self.logits[self.targets == 1]

    @property
    def s_neg(self) -> Tensor:
        return self.logits[self.targets == 0]


def make(logits, targets, loc_errors=None, delta: float = 1.0) -> Examples:
    """Examples from plain Python lists; localisation errors are 0 unless given."""
    targets = torch.as_tensor(targets)
    if loc_errors is None:
        loc_errors = [0.0] * int((targets == 1).sum())
    logits, loc_errors = (torch.as_tensor(x, dtype=torch.float64) for x in (logits, loc_errors))
    return Examples(logits, targets, loc_errors, delta)


TIED_SCORES = st.sampled_from([eighths / 8 for eighths in range(-24, 25)])  # exact differences, many ties
SCORES = TIED_SCORES | st.floats(-20, 20)
ERRORS = st.floats(0, 2)


@st.composite
def examples(draw, scores=SCORES, targets=(1, 1, 0, 0, 0, -1), min_positives: int = 1) -> Examples:
    """Short lists with ties, ignored examples, few or no negatives; labels as frequent as in `targets`."""
    labels = draw(st.lists(st.sampled_from(targets), max_size=32)) + [1] * min_positives
    logits = draw(st.lists(scores, min_size=len(labels), max_size=len(labels)))
    num_positives = labels.count(1)
    loc_errors = draw(st.lists(ERRORS, min_size=num_positives, max_size=num_positives))
    return make(
        logits,
        torch.tensor(labels, dtype=torch.int64),
        loc_errors,
        draw(st.sampled_from([0.1, 0.5, 1.0, 3.0])),
    )


def random(num_positives: int, num_negatives: int, num_ignored: int = 0, *, lift: float = 1.0, seed=0) -> Examples:
    """A long list in random order: normal scores, those of the positives `lift` higher."""
    rng = torch.Generator().manual_seed(seed)
    num = num_positives + num_negatives + num_ignored
    targets = torch.tensor([1] * num_positives + [0] * num_negatives + [-1] * num_ignored)
    targets = targets[torch.randperm(num, generator=rng)]
    logits = torch.randn(num, generator=rng, dtype=torch.float64) + lift * (targets == 1)
    return Examples(logits, targets, 2 * torch.rand(num_positives, generator=rng, dtype=torch.float64))


def loss_and_gradient(loss, ex: Examples, **options) -> tuple[Tensor, Tensor]:
    """The (classification) loss of `ex` and its gradient with respect to the logits, ready to compare."""
    logits = ex.logits.clone().requires_grad_()
    numbers = [ex.loc_errors] if "loc_errors" in inspect.signature(loss).parameters else []
    value = loss(logits, ex.targets, *numbers, delta=ex.delta, **options)
    value = value[0] if isinstance(value, tuple) else value
    value.backward()
    return value.detach(), logits.grad


def compute_in(dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the losses compute in this dtype, as on a device that has no other."""
    for module in (ranking, ranking_loss, step_matrix):
        monkeypatch.setattr(module, "exact_dtype", lambda device: dtype)


def assert_close(actual: Tensor, expected: Tensor | float, tolerance: float = 1e-12) -> None:
    """Equal up to `tolerance`, absolute for numbers below one and relative above."""
    expected = torch.as_tensor(expected, dtype=actual.dtype)
    torch.testing.assert_close(actual.detach(), expected, rtol=tolerance, atol=tolerance)
