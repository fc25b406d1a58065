"""Which cell a score is in: the grid in front of the search changes no answer, wherever the knots lie."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from alrp_ref import columns
from alrp_ref.columns import Columns

KNOTS = {
    "spread": lambda: torch.randn(1000, dtype=torch.float64),
    "crowded": lambda: torch.cat([1e-7 * torch.randn(300, dtype=torch.float64), torch.tensor([5.0])]),
    "equal": lambda: torch.full((40,), 0.3, dtype=torch.float64),
    "one": lambda: torch.tensor([0.1], dtype=torch.float64),
    "far apart": lambda: torch.tensor([-1e30, 0.0, 1e30], dtype=torch.float64),
    "too close to tell": lambda: torch.tensor([0.0, 1e-300], dtype=torch.float64),
}


def around(knots: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """More scores than the grid has bins, the neighbours of each knot in the number format among them."""
    knots, infinity = knots.to(dtype), torch.tensor(torch.inf, dtype=dtype)
    near = torch.cat([knots, knots.nextafter(infinity), knots.nextafter(-infinity)])
    return torch.cat([3 * torch.randn(columns.BINS, dtype=dtype), near, torch.tensor([-torch.inf, -3e38, 3e38])]).to(
        dtype
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("name", KNOTS)
def test_cells_are_those_of_a_binary_search(name, dtype):
    """Exactly, in the number format of the scores, with knots in float64."""
    torch.manual_seed(0)
    knots = KNOTS[name]().sort().values
    scores = around(knots, torch.float32).to(dtype) if dtype == torch.bfloat16 else around(knots, dtype)
    expected = torch.searchsorted(knots, scores.double(), right=True)
    assert torch.equal(Columns(knots, scores).cell.long(), expected)


@given(
    st.lists(st.floats(-5, 5), min_size=1, max_size=30),
    st.lists(st.floats(-7, 7), max_size=60),
    st.sampled_from([4, 16, 64]),
)
def test_a_grid_of_any_number_of_bins_is_exact(knots, scores, bins):
    """Few bins hold many knots each: then more of the search is left."""
    knots, scores = torch.tensor(knots, dtype=torch.float64).sort().values, torch.tensor(scores, dtype=torch.float64)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(columns, "BINS", bins)
        cell = Columns(knots, scores).cell
    assert torch.equal(cell.long(), torch.searchsorted(knots, scores, right=True))


def test_sums_and_lines_by_hand():
    """Knots 0 and 1: offsets count from the knot below, and below the first one there is none."""
    cells = Columns(torch.tensor([0.0, 1.0]), torch.tensor([-3.0, 0.25, 0.5, 3.0]))
    weight, moment = cells.sums(torch.tensor([1.0, 1.0, 2.0, 1.0]))
    assert weight.tolist() == [1, 3, 1] and moment.tolist() == [0, 1.25, 2]
    assert cells.line(torch.tensor([7.0, 1.0, 2.0]), torch.tensor([9.0, 4.0, 1.0])).tolist() == [7, 2, 3, 4]


def test_parts_change_nothing(monkeypatch):
    """Not even the rounding: sums run over the scores in their order."""
    knots, scores = torch.randn(50, dtype=torch.float64).sort().values, torch.randn(1000)
    whole = Columns(knots, scores)
    monkeypatch.setattr(columns, "PART", 64)
    parts = Columns(knots, scores)
    assert torch.equal(parts.sums(scores), whole.sums(scores))
    value, slope = torch.randn(2, 51, dtype=torch.float64)
    assert torch.equal(parts.line(value, slope), whole.line(value, slope))
