"""Step function, ranks, and products with the step matrix: exact, against the matrix itself."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from lists import SCORES, assert_close, examples, random
from torch.utils._python_dispatch import TorchDispatchMode

from alrp_ref import pairwise
from alrp_ref.ranking import StepMatrix, difference_transform, ranks, step


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
    assert difference_transform(torch.tensor([3.0, 1.0]), torch.tensor([4.0, 2.0])).tolist() == [
        [1, -1],
        [3, 1],
    ]


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


@given(st.lists(SCORES, max_size=12), st.lists(SCORES, max_size=40), st.sampled_from([0.1, 1.0, 3.0]))
def test_products_with_the_step_matrix_are_those_of_the_matrix(s_i, s_j, delta):
    """H @ w, H.T @ c and row sums are those of the dense matrix, with weights of any sign and empty sides."""
    s_i, s_j = torch.tensor(s_i, dtype=torch.float64), torch.tensor(s_j, dtype=torch.float64)
    w, c = torch.randn_like(s_j), torch.randn_like(s_i)
    dense, matrix = pairwise.step(pairwise.differences(s_i, s_j), delta), StepMatrix(s_i, s_j, delta)
    assert_close(matrix @ w, dense @ w, 1e-11)
    assert_close(matrix.T @ c, dense.T @ c, 1e-11)
    assert_close(matrix.sum(1), dense.sum(1))
    scaled, dense = matrix.scale_rows(c), c[:, None] * dense
    assert_close(scaled @ w, dense @ w, 1e-11)
    assert_close(scaled.T @ c, dense.T @ c, 1e-11)
    assert_close(scaled.sum(1), dense.sum(1), 1e-11)


def test_scaling_rows_leaves_the_matrix_alone():
    """`scale_rows` returns a new matrix."""
    matrix = StepMatrix(torch.tensor([0.0, 1.0]), torch.tensor([0.5, 2.0]), 1.0)
    before = matrix.sum(1)
    matrix.scale_rows(torch.tensor([2.0, 3.0]))
    assert torch.equal(matrix.sum(1), before) and torch.equal(matrix @ torch.ones(2), before)


def test_highly_ranked_rows_keep_their_relative_precision():
    """A positive above almost all of 10^6 negatives has its small N_FP to 1e-10, not to 1e-10 of 10^6."""
    torch.manual_seed(1)
    s_neg = torch.cat([torch.randn(1_000_000, dtype=torch.float64), torch.tensor([9.001], dtype=torch.float64)])
    s_pos = torch.tensor([10.0, 0.0], dtype=torch.float64)
    n_fp = ranks(s_pos, s_neg, delta=1.0).n_fp
    assert n_fp[0].item() == pytest.approx(0.0005, rel=1e-10)


class Record(TorchDispatchMode):
    """Counts the operations that torch runs, and the elements of the largest tensor they make."""

    def __init__(self):
        super().__init__()
        self.count, self.largest = 0, 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        self.count += 1
        for tensor in result if isinstance(result, tuple | list) else [result]:
            if isinstance(tensor, torch.Tensor):
                self.largest = max(self.largest, tensor.untyped_storage().nbytes() // tensor.element_size())
        return result


def test_no_loop_over_examples_and_no_matrix():
    """The number of operations is the same for any list, and no tensor grows with |P| x |N|."""
    records = []
    for num_pos, num_neg in [(2, 5), (500, 20_000)]:
        s_pos, s_neg = torch.randn(num_pos), torch.randn(num_neg)
        with Record() as record:
            result = ranks(s_pos, s_neg)
            _ = result.h_neg @ s_neg, result.h_neg.T @ s_pos
        records.append(record)
    assert records[0].count == records[1].count
    assert records[1].largest <= 4 * (500 + 20_000)
