"""The door of all losses: a formula becomes a loss, with everything that the losses of the paper have."""

import subprocess
import sys

import pytest
import torch
from lists import assert_close, random

from alrp_ref import alrp_loss, ap_loss
from alrp_ref.paper import pairwise
from alrp_ref.paper.alrp import section_4
from alrp_ref.paper.ap import section_2_1
from alrp_ref.paper.error_driven import Part, distribution, gradient
from alrp_ref.paper.ranking import Ranks, ranks
from alrp_ref.ranking_loss import ranking_loss


@ranking_loss
def reciprocal(ranks: Ranks, *, power: float = 1.0) -> Part:
    """One minus the reciprocal of the rank among the negatives."""
    ell = 1 - (1 + ranks.n_fp) ** -power
    return Part(ell.mean(), gradient(ell, 0.0, distribution(ranks.h_ij, ranks.n_fp)))


@ranking_loss(bounds=(0, 1))
def weighted(ranks: Ranks, qualities: torch.Tensor) -> tuple[Part, Part]:
    """Errors weighted by the quality of each positive, and the mean of the qualities, which has a gradient on them."""
    ell = qualities * ranks.n_fp / ranks.rank
    grad = gradient(ell, 0.0, distribution(ranks.h_ij, ranks.n_fp))
    return Part(ell.mean(), grad), Part(qualities.mean(), torch.full_like(qualities, 1 / len(qualities)))


def test_a_formula_of_three_lines_is_a_loss():
    """Values, ranks and gradients are those of the pairs."""
    ex = random(20, 200, 10)
    logits = ex.logits.requires_grad_()
    loss, rank = reciprocal(logits, ex.targets, delta=0.5, power=2.0)
    loss.backward()
    n_fp = pairwise.n_fp(ex.s_pos, ex.s_neg, 0.5)
    ell = 1 - (1 + n_fp) ** -2
    p = pairwise.distribution(ex.s_pos, ex.s_neg, 0.5)
    assert_close(loss, ell.mean())
    assert_close(rank, pairwise.rank(ex.s_pos, ex.s_neg, 0.5))
    rows, columns = pairwise.gradient(ell, torch.zeros_like(ell), p)
    assert_close(logits.grad[ex.targets == 1], rows.detach())
    assert_close(logits.grad[ex.targets == 0], columns.detach())
    assert not logits.grad[ex.targets == -1].any()


@pytest.mark.parametrize("loc_step", ["hard", "smoothed"])
def test_the_losses_are_their_formulas(loc_step):
    """Sections 2.1 and 4, over ranks, are the values of `ap_loss` and `alrp_loss`; their gradients lie on the list."""
    ex = random(20, 200)
    ranked = ranks(ex.s_pos, ex.s_neg)
    cls, loc = section_4(ranked, ex.loc_errors, loc_step=loc_step)
    logits, errors = ex.logits.clone().requires_grad_(), ex.loc_errors.clone().requires_grad_()
    out = alrp_loss(logits, ex.targets, errors, loc_step=loc_step)
    (out.cls + out.loc).backward()
    assert_close(out.cls, cls.value)
    assert_close(out.loc, loc.value)
    assert_close(errors.grad, loc.gradient)
    assert_close(logits.grad[ex.targets == 1], cls.gradient.rows)
    assert_close(logits.grad[ex.targets == 0], cls.gradient.columns)
    for interpolated in (True, False):
        assert_close(
            ap_loss(ex.logits, ex.targets, interpolated=interpolated),
            section_2_1(ranked, interpolated=interpolated).value,
        )


def test_a_loss_of_ones_own_has_what_the_papers_losses_have():
    """Half precision, lists without positives, compilation to one graph, a gradient on its numbers."""
    ex = random(6, 50)
    qualities = torch.rand(6, requires_grad=True)
    loss, mean, _ = weighted(ex.logits.half().requires_grad_(), ex.targets, qualities)
    assert loss.dtype == torch.float32
    mean.backward()
    assert_close(qualities.grad, torch.full((6,), 1 / 6), 1e-6)
    nothing, *_ = weighted(ex.logits.requires_grad_(), torch.zeros_like(ex.targets), qualities[:0])
    nothing.backward()
    assert nothing == 0 and not ex.logits.grad.any()
    compiled = torch.compile(lambda x: reciprocal(2 * x, ex.targets)[0], fullgraph=True, backend="aot_eager")
    assert_close(compiled(ex.logits), reciprocal(2 * ex.logits, ex.targets)[0])


def test_messages_name_the_losss_own_numbers():
    """A loss with qualities does not speak of localisation errors."""
    ex = random(6, 50)
    for wrong, message in (
        (torch.full((6,), 1.5), r"qualities must be in \[0, 1\], got 1.5 at position 0"),
        (torch.rand(5), "qualities must hold one number for each of the 6 positives"),
        (torch.rand(6, 1), "qualities must hold one number for each of the positives"),
        (None, "qualities must be a torch.Tensor, got NoneType"),
        (torch.ones(6, dtype=torch.int64), "qualities must be floating point, got torch.int64"),
    ):
        with pytest.raises(ValueError, match=message):
            weighted(ex.logits, ex.targets, wrong)
    with pytest.raises(ValueError, match=r"loc_errors must be a torch\.Tensor, got NoneType"):
        alrp_loss(ex.logits, ex.targets, None)
    with pytest.raises(TypeError, match="reciprocal has no option powr"):
        reciprocal(ex.logits, ex.targets, powr=2.0)


def test_a_formula_says_how_many_parts_it_has():
    """PyTorch has to know it before the formula runs."""

    def unannotated(ranks):
        return None

    with pytest.raises(TypeError, match="unannotated must say `-> Part`"):
        ranking_loss(unannotated)


def test_the_losses_import_without_the_compiler():
    """The import and a first call bring nothing of `torch.compile` along, which takes half as long as torch itself."""
    code = (
        "import sys, torch; before = len(sys.modules)\n"
        "from alrp_ref import ALRPLoss; print(len(sys.modules) - before)\n"
        "x = torch.randn(9, requires_grad=True)\n"
        "ALRPLoss(1)(x, (torch.arange(9) < 2).long(), torch.rand(2)).total.backward()\n"
        "print('torch._dynamo' in sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    modules, has_compiler = run.stdout.split()
    assert int(modules) < 40 and has_compiler == "False"
