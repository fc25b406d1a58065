"""Definition 1, the update, and Theorems 1 and 2, for three ranking-based losses: AP, aLRP and NDCG."""

import pytest
import torch
from hypothesis import given
from lists import assert_close, examples, random

from alrp_ref.paper import error_driven as ed
from alrp_ref.paper import pairwise
from alrp_ref.paper.alrp import lrp_error, target_lrp_error
from alrp_ref.paper.ap import precision_error
from alrp_ref.paper.ranking import ranks


def ap(ex):
    """Errors, targets and normaliser of AP Loss."""
    r = ranks(ex.s_pos, ex.s_neg, ex.delta)
    ell = precision_error(r.n_fp, r.rank)
    return ell, torch.zeros_like(ell), len(ell)


def alrp(ex):
    """Errors, targets and normaliser of aLRP Loss."""
    r = ranks(ex.s_pos, ex.s_neg, ex.delta)
    e_above = pairwise.others_above(ex.s_pos, ex.delta) @ ex.loc_errors
    ell = lrp_error(r.n_fp, ex.loc_errors, e_above, r.rank)
    return ell, target_lrp_error(ex.loc_errors, r.rank), len(ell)


def ndcg(ex):
    """Errors of 1 - NDCG, which may be negative; their targets, the error at rank 1; the normaliser, 1."""
    gain = 1 / torch.log2(1 + ranks(ex.s_pos, ex.s_neg, ex.delta).rank)
    num = len(gain)
    g_max = (1 / torch.log2(1 + torch.arange(1, num + 1, dtype=torch.float64))).sum()
    ell = (g_max / num - gain) / g_max
    return ell, (g_max / num - torch.ones_like(gain)) / g_max, 1


EACH_LOSS = pytest.mark.parametrize("loss", [ap, alrp, ndcg])


def with_a_negative_on_top(ex):
    """One more negative, tied with the highest score: then no N_FP(i) is 0, and p(j|i) is defined."""
    targets = torch.cat([ex.targets, ex.targets.new_zeros(1)])
    return ex._replace(logits=torch.cat([ex.logits, ex.logits.max()[None]]), targets=targets)


ALL_HAVE_NEGATIVES_ABOVE = examples().map(with_a_negative_on_top)


def distribution(ex):
    """p(j|i), as the losses use it and as a plain matrix."""
    r = ranks(ex.s_pos, ex.s_neg, ex.delta)
    return ed.distribution(r.h_ij, r.n_fp), pairwise.distribution(ex.s_pos, ex.s_neg, ex.delta)


def test_primary_terms_and_update_of_a_small_example():
    """L_ij = l(i) p(j|i), and the update is the target's primary term minus that."""
    ell, ell_star = torch.tensor([0.5, 0.2]), torch.tensor([0.1, 0.2])
    p = torch.tensor([[0.25, 0.75], [1.0, 0.0]])
    assert_close(ed.primary_terms(ell, p), torch.tensor([[0.125, 0.375], [0.2, 0.0]]), 1e-7)
    assert_close(ed.update(ell, ell_star, p), torch.tensor([[-0.1, -0.3], [0.0, 0.0]]), 1e-7)


@EACH_LOSS
@given(ex=ALL_HAVE_NEGATIVES_ABOVE)
def test_the_gradient_collects_the_update_over_pairs(ex, loss):
    """dL/ds_i = (sum_j delta_x_ij - sum_j delta_x_ji) / Z, summed pair by pair over all examples."""
    ell, ell_star, z = loss(ex)
    p, dense = distribution(ex)
    num_pos, num = len(ex.s_pos), len(ex.s_pos) + len(ex.s_neg)
    delta_x = [[0.0] * num for _ in range(num)]  # over all pairs of examples, the positives first
    for i in range(num_pos):
        for j in range(num - num_pos):
            delta_x[i][num_pos + j] = ((ell_star[i] - ell[i]) * dense[i, j]).item()
    by_loops = []
    for i in range(num):
        by_loops.append((sum(delta_x[i][j] for j in range(num)) - sum(delta_x[j][i] for j in range(num))) / z)
    assert_close(torch.cat(ed.gradient(ell, ell_star, p, z)), torch.tensor(by_loops, dtype=torch.float64), 1e-9)
    assert_close(torch.cat(ed.gradient(ell, ell_star, dense, z)), torch.tensor(by_loops, dtype=torch.float64))


@EACH_LOSS
@given(ex=ALL_HAVE_NEGATIVES_ABOVE)
def test_theorem_1(ex, loss):
    """A ranking-based loss is the sum of its primary terms (Theorem 1)."""
    ell, _, z = loss(ex)
    for p in distribution(ex):
        sides = ed.theorem_1(ell, p, z)
        assert_close(sides.loss, ell.sum() / z)
        assert_close(sides.sum_of_primary_terms, sides.loss)


def test_the_ndcg_errors_sum_to_one_minus_ndcg():
    """With hard ranks 2 and 3 of two positives: NDCG = (1/log2 3 + 1/log2 4) / (1/log2 2 + 1/log2 3)."""
    ex = random(2, 1)._replace(logits=torch.tensor([2.0, 1.0, 3.0]), targets=torch.tensor([1, 1, 0]), delta=0.1)
    ell, _, z = ndcg(ex)
    assert_close(ell.sum() / z, 1 - (0.63092975357 + 0.5) / (1 + 0.63092975357), 1e-10)


def test_theorem_1_misses_the_errors_that_no_negative_can_be_blamed_for():
    """A positive with no negative above it keeps its error for itself: the sum of primary terms lacks it."""
    ell, p = torch.tensor([0.5, 0.3]), torch.tensor([[0.4, 0.6], [0.0, 0.0]])
    sides = ed.theorem_1(ell, p)
    assert_close(sides.loss - sides.sum_of_primary_terms, 0.3 / 2, 1e-6)


@EACH_LOSS
@given(ex=ALL_HAVE_NEGATIVES_ABOVE)
def test_theorem_2(ex, loss):
    """Summed gradient magnitudes of positives and negatives are equal (Theorem 2)."""
    ell, ell_star, z = loss(ex)
    for p in distribution(ex):
        balance = ed.theorem_2(ell, ell_star, p, z)
        assert balance.sign_condition
        assert_close(balance.positives, balance.negatives)
        grad = ed.gradient(ell, ell_star, p, z)
        assert (grad.rows <= 0).all()
        assert (grad.columns >= -1e-15).all()


@given(ALL_HAVE_NEGATIVES_ABOVE)
def test_theorem_2_holds_for_alrp_with_zero_as_the_target(ex):
    """Zero as the target of aLRP meets the sign condition too: it breaks training, not the balance."""
    ell, _, z = alrp(ex)
    balance = ed.theorem_2(ell, 0.0, distribution(ex)[0], z)
    assert balance.sign_condition
    assert_close(balance.positives, balance.negatives)


def test_theorem_2_needs_the_sign_condition():
    """Two positives that push one negative in opposite directions: 0.4 on them, 0 on it."""
    ell, p = torch.tensor([0.4, -0.4]), torch.tensor([[1.0], [1.0]])
    balance = ed.theorem_2(ell, 0.0, p)
    assert not balance.sign_condition
    assert_close(balance.positives, 0.4, 1e-7)
    assert balance.negatives == 0


def test_ndcg_with_zero_as_the_target_is_out_of_balance():
    """NDCG's errors are negative at the top: with 0 as their target, negatives get less than positives."""
    ex = random(30, 300, lift=2.0)
    ell, ell_star, z = ndcg(ex)
    p = pairwise.distribution(ex.s_pos, ex.s_neg)
    broken = ed.theorem_2(ell, 0.0, p, z)
    assert not broken.sign_condition
    assert broken.negatives < 0.9 * broken.positives
    repaired = ed.theorem_2(ell, ell_star, p, z)
    assert repaired.sign_condition


def test_signed_sums_need_no_condition():
    """What the positives gain, the negatives lose, whatever the signs."""
    ell, ell_star = torch.randn(6, dtype=torch.float64), torch.randn(6, dtype=torch.float64)
    grad = ed.gradient(ell, ell_star, torch.rand(6, 40, dtype=torch.float64))
    assert_close(grad.rows.sum(), -grad.columns.sum())


def test_z_is_the_number_of_positives_unless_given():
    """The gradient is divided by Z."""
    ell, p = torch.tensor([0.5, 0.25]), torch.ones(2, 1)
    assert ed.gradient(ell, 0.0, p).rows.tolist() == [-0.25, -0.125]
    assert ed.gradient(ell, 0.0, p, z=1).rows.tolist() == [-0.5, -0.25]
