"""Products with the step matrix: exact, against the matrix itself, in one pass, without forming it."""

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lists import SCORES, assert_close, loss_and_gradient, random
from torch.utils._python_dispatch import TorchDispatchMode

from alrp_ref import alrp_loss
from alrp_ref.paper import bins, pairwise, ranking
from alrp_ref.paper.ranking import ranks
from alrp_ref.paper.step_matrix import Ramps, StepMatrix


@pytest.fixture(params=["all at once", "parts of 7"])
def layout(request, monkeypatch):
    """Long lists are taken in parts: here, short ones, too."""
    if request.param != "all at once":
        monkeypatch.setattr(bins, "PART", 7)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(SCORES, max_size=12), st.lists(SCORES, max_size=40), st.sampled_from([0.1, 1.0, 3.0]))
def test_products_with_the_step_matrix_are_those_of_the_matrix(layout, s_i, s_j, delta):
    """H @ w, H.T @ c and row sums are those of the dense matrix, with weights of any sign and empty sides."""
    s_i, s_j = torch.tensor(s_i, dtype=torch.float64), torch.tensor(s_j, dtype=torch.float64)
    w, c = torch.randn_like(s_j), torch.randn_like(s_i)
    dense, matrix = pairwise.step(pairwise.differences(s_i, s_j), delta), StepMatrix(s_i, s_j, delta)
    assert_close(matrix @ w, dense @ w, 1e-11)
    assert_close(matrix.T @ c, dense.T @ c, 1e-11)
    assert_close(matrix.sum(1), dense.sum(1))
    assert_close(matrix.sum(0), dense.sum(0), 1e-11)
    scaled, dense = matrix * c[:, None], dense * c[:, None]
    assert_close(scaled @ w, dense @ w, 1e-11)
    assert_close(scaled.T @ c, dense.T @ c, 1e-11)
    assert_close(scaled.sum(1), dense.sum(1), 1e-11)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(SCORES, max_size=12), st.sampled_from([0.1, 1.0, 3.0]))
def test_a_matrix_of_the_others_has_a_zero_diagonal(layout, s_i, delta):
    """With `others_only` no example is compared with itself."""
    s_i = torch.tensor(s_i, dtype=torch.float64)
    w = torch.randn_like(s_i)
    dense, matrix = pairwise.others_above(s_i, delta), StepMatrix(s_i, s_i, delta, others_only=True)
    assert_close(matrix @ w, dense @ w, 1e-11)
    assert_close(matrix.T @ w, dense.T @ w, 1e-11)
    assert_close((matrix * w[:, None]).T @ w, (dense * w[:, None]).T @ w, 1e-11)


def test_parts_change_nothing(monkeypatch):
    """Products with parts of the scores are those with all of them; column sums to the bit."""
    s_i, s_j = torch.randn(50, dtype=torch.float64), torch.randn(1000)
    whole = StepMatrix(s_i, s_j, 1.0)
    monkeypatch.setattr(bins, "PART", 64)
    parts = StepMatrix(s_i, s_j, 1.0)
    assert_close(parts @ s_j, whole @ s_j, 1e-13)
    assert torch.equal(parts.sum(1), parts @ torch.ones(1000)) and torch.equal(parts.T @ s_i, whole.T @ s_i)


def test_bins_sum_and_interpolate():
    """Of each bin the weight and the weighted offsets from the bend below; at each score the line of its bin."""
    bends, s_j = torch.tensor([0.0, 1.0]).double(), torch.tensor([-2.0, 0.25, 0.5, 3.0]).double()
    engine = bins.Bins(bends, s_j, None)
    assert engine.bin.tolist() == [0, 1, 1, 2]
    assert engine.sums(None).tolist() == [[1, 2, 1], [0, 0.75, 2]]
    assert engine.sums(torch.tensor([1.0, 2.0, 4.0, 8.0])).tolist() == [[1, 6, 8], [0, 2.5, 16]]
    line = engine.interpolate(torch.tensor([5.0, 0.0, 1.0]).double(), torch.tensor([0.0, 2.0, 0.0]).double())
    assert line.tolist() == [5, 0.5, 1, 1]


def test_ramps_have_one_start_and_one_end_each():
    """Row i's ramp is from s_i - delta to s_i + delta, in the sorted bends; between two ramps lies a gap."""
    ramps = Ramps(torch.tensor([5.0, 0.0]), torch.zeros(3), 1.0, False, None)
    assert ramps.bends.tolist() == [-1, 1, 4, 6]
    assert ramps.start.tolist() == [2, 0] and ramps.end.tolist() == [3, 1]
    assert ramps.in_ramp.tolist() == [True, False, True]
    assert ramps.counts.tolist() == [0, 1.5]


def test_scaling_rows_leaves_the_matrix_alone():
    """A scaled matrix is a new one."""
    matrix = StepMatrix(torch.tensor([0.0, 1.0]), torch.tensor([0.5, 2.0]), 1.0)
    before = matrix.sum(1)
    _ = matrix * torch.tensor([2.0, 3.0])[:, None], matrix / 2
    assert torch.equal(matrix.sum(1), before) and torch.equal(matrix @ torch.ones(2), before)


@pytest.mark.parametrize("shape", [(2, 3), (3,), (1, 3), (2,), (3, 1)])
def test_entries_cannot_be_multiplied_one_by_one(shape):
    """They are never formed: a product with anything but a number, or one for each row, is refused."""
    matrix = StepMatrix(torch.tensor([0.0, 1.0]), torch.tensor([0.5, 2.0, 3.0]), 1.0)
    for product in (lambda w: matrix * w, lambda w: w * matrix, lambda w: matrix / w):
        with pytest.raises(ValueError, match=r"by a number, or by one number for each row, \(2, 1\)"):
            product(torch.ones(shape))


def test_a_factor_may_stand_on_either_side():
    """2 H, H 2 and H / (1/2) are one matrix; so are those with a factor for each row."""
    s_i, s_j = torch.randn(4, dtype=torch.float64), torch.randn(9, dtype=torch.float64)
    matrix, rows = StepMatrix(s_i, s_j, 1.0), torch.randn(4, 1, dtype=torch.float64)
    for factor in (2, torch.tensor(2.0, dtype=torch.float64), rows):
        wanted = factor * pairwise.step(pairwise.differences(s_i, s_j))
        for found in (factor * matrix, matrix * factor, matrix / (1 / factor), -(matrix * -factor)):
            assert_close(found @ s_j, wanted @ s_j)
            assert_close(found.sum(0), wanted.sum(0))


@pytest.mark.parametrize("many", [0, 1000])
def test_pairs_of_positives_are_the_same_formed_or_not(many, monkeypatch):
    """With many positives their pairs are not formed; both losses stay the same."""
    monkeypatch.setattr(ranking, "MANY", many)
    ex = random(40, 300, 20)
    for loss_step in ("hard", "smoothed"):
        value, grad = loss_and_gradient(alrp_loss, ex, loc_step=loss_step)
        wanted, wanted_grad = loss_and_gradient(pairwise.alrp_loss, ex, loc_step=loss_step)
        assert_close(value, wanted)
        assert_close(grad, wanted_grad)
    assert isinstance(ranks(ex.s_pos, ex.s_neg).h_ik, StepMatrix) == (many == 0)


def test_a_column_at_minus_infinity_is_one_of_zeros():
    """It adds to no row, and its own sum is 0."""
    s_i, s_j = torch.tensor([0.0, 1.0]), torch.tensor([0.5, -torch.inf, 2.0])
    matrix = StepMatrix(s_i, s_j, 1.0)
    assert torch.equal(matrix.sum(1), StepMatrix(s_i, s_j[[0, 2]], 1.0).sum(1))
    assert (matrix.T @ torch.ones(2))[1] == 0


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
    """The number of operations is the same for any list shorter than a part, and no tensor grows with |P| x |N|."""
    records = []
    for num_pos, num_neg in [(2, 5), (100, 20_000)]:
        s_pos, s_neg = torch.randn(num_pos), torch.randn(num_neg)
        with Record() as record:
            result = ranks(s_pos, s_neg)
            _ = result.h_ij @ s_neg, result.h_ij.T @ s_pos
        records.append(record)
    assert records[0].count == records[1].count
    assert records[1].largest <= 4 * (100 + 20_000)
