"""Step function and ranks: exact, against all pairs."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from lists import assert_close, examples, random

from alrp_ref.paper import pairwise, ranking
from alrp_ref.paper.pairwise import differences, step
from alrp_ref.paper.ranking import examples as split
from alrp_ref.paper.ranking import ranks


def test_step_is_zero_then_a_ramp_then_one():
    """H is 0 up to -delta, 1/2 at 0, 1 from delta on, and linear between."""
    x = torch.tensor([-9.0, -2.0, -1.0, 0.0, 1.0, 2.0, 9.0])
    assert step(x, delta=2.0).tolist() == [0, 0, 0.25, 0.5, 0.75, 1, 1]


@given(st.floats(-50, 50), st.sampled_from([0.1, 1.0, 7.0]))
def test_step_of_x_and_of_minus_x_sum_to_one(x, delta):
    """H(x) + H(-x) = 1: of two examples, one outranks the other, once."""
    x = torch.tensor(x, dtype=torch.float64)
    assert_close(step(x, delta) + step(-x, delta), 1.0, 1e-15)


def test_difference_is_positive_where_the_column_outranks_the_row():
    """x_ij = s_j - s_i."""
    assert differences(torch.tensor([3.0, 1.0]), torch.tensor([4.0, 2.0])).tolist() == [
        [1, -1],
        [3, 1],
    ]


@given(st.lists(st.floats(-20, 20), max_size=12), st.sampled_from([0.1, 1.0, 7.0]))
def test_the_pairs_of_positives_are_the_judges(scores, delta):
    """The step, and how far each other positive stands above, are those of `pairwise`."""
    s_pos = torch.tensor(scores, dtype=torch.float64)
    assert torch.equal(ranking.step(s_pos, delta), step(s_pos, delta))
    assert torch.equal(ranking.others_above(s_pos, delta), pairwise.others_above(s_pos, delta))


def test_ranks_count_what_is_above():
    """Between steps, ranks are the positions in the sorted list."""
    result = ranks(torch.tensor([3.0, 1.0]), torch.tensor([4.0, 2.0, 0.0]), delta=0.5)
    assert result.rank_pos.tolist() == [1, 2]
    assert result.n_fp.tolist() == [1, 2]
    assert result.rank.tolist() == [2, 4]


def assert_ranks_agree(ex, tolerance=1e-12):
    actual = ranks(ex.s_pos, ex.s_neg, ex.delta)
    assert_close(actual.rank_pos, pairwise.rank_pos(ex.s_pos, ex.delta), tolerance)
    assert_close(actual.n_fp, pairwise.n_fp(ex.s_pos, ex.s_neg, ex.delta), tolerance)
    assert_close(actual.rank, pairwise.rank(ex.s_pos, ex.s_neg, ex.delta), tolerance)


@given(examples())
def test_ranks_are_those_of_all_pairs(ex):
    """rank+, N_FP and rank are the sums over pairs, with ties, few or no negatives, on or off the ramp."""
    assert_ranks_agree(ex)


@pytest.mark.parametrize("delta", [1e-12, 1e-9, 1e-6, 1e-3, 1e3, 1e6, 1e9])
def test_tiny_and_huge_delta(delta):
    """Any delta is exact up to the rounding of s +- delta, a relative 2^-52 of the larger of the two."""
    ex = random(40, 400)
    tied = ex._replace(logits=(8 * ex.logits).round() / 8, delta=delta)
    rounding = 2.0**-52 * max(tied.logits.abs().max().item(), delta) / delta  # of one H
    assert_ranks_agree(tied, tolerance=1e-12 + 4 * rounding)


@pytest.mark.parametrize("delta", [1e-15, 1e-16, 1e-20, 1e-300])
def test_a_delta_below_the_rounding_of_the_scores_is_the_hard_step(delta):
    """Without ties, ranks are then whole numbers: positions in the sorted list."""
    ex = random(30, 300)
    position = 1 + pairwise.differences(ex.s_pos, torch.cat([ex.s_pos, ex.s_neg])).gt(0).sum(1)
    assert_close(ranks(ex.s_pos, ex.s_neg, delta).rank, position.double())


def test_highly_ranked_rows_keep_their_relative_precision():
    """A positive above almost all of 10^6 negatives has its small N_FP to 1e-10, not to 1e-10 of 10^6."""
    torch.manual_seed(1)
    s_neg = torch.cat([torch.randn(1_000_000, dtype=torch.float64), torch.tensor([9.001], dtype=torch.float64)])
    s_pos = torch.tensor([10.0, 0.0], dtype=torch.float64)
    n_fp = ranks(s_pos, s_neg, delta=1.0).n_fp
    assert n_fp[0].item() == pytest.approx(0.0005, rel=1e-10)


def test_examples_tell_positives_from_negatives():
    """What is no negative stands below everything; the number of positives may be known."""
    logits, targets = torch.tensor([4.0, 3.0, 2.0, 1.0]), torch.tensor([0, 1, -1, 1])
    for number in (None, 2):
        positives, s_pos, s_neg = split(logits, targets, number)
        assert positives.tolist() == [1, 3] and s_pos.tolist() == [3, 1]
        assert s_neg.tolist() == [4, *[-torch.inf] * 3]
