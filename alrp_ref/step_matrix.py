r"""Products with the matrix of step functions :math:`H(x_{ij})`, exact, without forming it.

==============  =========================================================================  ============
`s_i`           :math:`s_i`, scores of the rows, usually :math:`i \in \mathcal P`          (I,)
`s_j`           :math:`s_j`, scores of the columns, usually :math:`j \in \mathcal N`       (J,)
`knots`         :math:`s_i - \delta` and :math:`s_i + \delta`, sorted                      (2I,)
`foot`, `top`   where among the knots row `i`'s own two are                                (I,)
`open`          whether any ramp is open between a knot and the next                       (2I-1,)
==============  =========================================================================  ============

Everything here is as long as the list of rows, some hundred; what has to pass over the millions of columns is
`alrp_ref.columns`.
"""

import torch
from torch import Tensor

from alrp_ref.columns import Columns, exact_dtype


class StepMatrix:
    r"""The matrix :math:`H(x_{ij})` for rows `i` and columns `j`, as products with it: it is never formed.

    Why this can be exact. As a function of :math:`s_j`, every :math:`H(s_j - s_i)` is 0, then a ramp, then 1,
    with kinks at :math:`s_i - \delta` and :math:`s_i + \delta`. Sort these 2I kinks ("knots"). Between two
    neighbouring knots *all* rows are linear in :math:`s_j`, so all a row needs to know of the columns
    in such a cell is their total weight and their total offset from the knot below.

    * ``H @ w``: with :math:`C(t) = \sum_{j: s_j \ge t} w_j`, the weight above `t`, a row's sum is the mean of
      `C` over its ramp: :math:`\sum_j w_j H(s_j - s_i) = \frac1{2\delta}\int_{s_i-\delta}^{s_i+\delta} C(t)\,dt`.
      The integral from the top down to each knot is a running sum over cells. All its terms are
      non-negative, so the sums of highly ranked rows, which are small, keep their relative precision.
    * ``H.T @ c``: :math:`\sum_i c_i H(s_j - s_i)` is a piecewise linear function of :math:`s_j`: a value and
      a slope per knot, running sums again, and one look-up per column.

    Args:
        s_i: scores of the rows.
        s_j: scores of the columns; not sorted, nor need they be. One at :math:`-\infty` has a column of zeros.
        delta: half width of the ramp.
        spread: the columns are this process's share; row sums are over the columns of all (see `alrp_ref.scope`).

    Shape: `s_i` (I,), `s_j` (J,). Time O((I + J) log I), memory O(I + J), sums in float64.
    Source: the algorithm is ours; the sums are those of Section 2. Tested against `pairwise`.
    """

    def __init__(self, s_i: Tensor, s_j: Tensor, delta: float, *, spread: bool = False):
        s_i, s_j = s_i.detach().to(exact_dtype(s_i.device)), s_j.detach()
        self.shape = (s_i.numel(), s_j.numel())
        self.row_scale: Tensor | None = None

        self.knots, order = torch.cat([s_i - delta, s_i + delta]).sort()  # (2I,)
        self.is_foot = order < s_i.numel()  # of a ramp; the others are tops
        self.row_of_knot = order.remainder(s_i.numel()) if s_i.numel() else order
        self.foot, self.top = order.argsort().chunk(2)  # (I,) positions of a row's own knots
        # As the knots were rounded, not 2 delta: a ramp that lies below all columns then sums to exactly C.
        self.width = self.knots[self.top] - self.knots[self.foot]
        self.gap = self.knots.diff()  # (2I-1,)
        # H(0) of each row as the rounded knots give it: 1/2, but for ramps as narrow as the rounding of the scores.
        self.at_zero = torch.where(self.width > 0, (s_i - self.knots[self.foot]) / self.width, 1)  # (I,)
        # Between knots where no ramp is open no product changes. Leaving these stretches out of the running sums
        # keeps the rounding error of a wide gap from being divided by a narrow ramp.
        self.open = torch.where(self.is_foot, 1, -1).cumsum(0)[:-1] > 0  # (2I-1,)

        # Those of cell 0 lie below every ramp and add nothing; those of the last cell count 1 in every row, however
        # high they are.
        self.columns = Columns(self.knots, s_j, spread) if s_i.numel() else None

        self._row_sums: Tensor | None = None

    def __matmul__(self, w: Tensor) -> Tensor:
        r"""Row sums :math:`\sum_j H(x_{ij})\, w_j`. Shape: (J,) -> (I,)."""
        if self.columns is None:
            return self.knots.new_zeros(0)
        weight, moment = self.columns.sums(w)  # per cell
        above = _sum_from_the_top(weight)[1:]  # C at each knot
        area = torch.where(self.open, above[1:] * self.gap + moment[1:-1], 0)  # of C, between neighbouring knots
        integral = torch.cat([_sum_from_the_top(area), area.new_zeros(1)])  # of C, above each knot
        ramp_mean = (integral[self.foot] - integral[self.top]) / self.width
        # A ramp too narrow for the number format (width 0) is the hard step.
        rows = torch.where(self.width > 0, ramp_mean, above[self.foot])
        return rows if self.row_scale is None else self.row_scale * rows

    def _transposed_matmul(self, c: Tensor) -> Tensor:
        if self.columns is None:
            return c.new_zeros(self.shape[1])
        c = c.to(self.knots.dtype)
        c = c if self.row_scale is None else self.row_scale * c
        hard = self.width <= 0
        rise = torch.where(hard, 0, c / self.width)[self.row_of_knot]
        slope = torch.where(self.open, torch.where(self.is_foot, rise, -rise).cumsum(0)[:-1], 0)  # above each knot
        jump = torch.where(self.is_foot, torch.where(hard, c, 0)[self.row_of_knot], 0)
        value = jump.cumsum(0)
        value[1:] += (slope * self.gap).cumsum(0)
        zero = value.new_zeros(1)
        return self.columns.line(torch.cat([zero, value]), torch.cat([zero, slope, zero]))

    @property
    def T(self) -> "_Transposed":
        r"""For ``H.T @ c``, the column sums :math:`\sum_i c_i H(x_{ij})`. Shape: (I,) -> (J,), rounded to the
        dtype of `s_j`."""
        return _Transposed(self)

    def sum(self, dim: int = 1) -> Tensor:
        """Plain row sums, `H @ 1`, computed once. Shape: (I,)."""
        if dim != 1:
            raise ValueError(f"dim must be 1 (row sums), got {dim}")
        if self._row_sums is None:
            self._row_sums = self @ self.knots.new_ones(()).expand(self.shape[1])
        return self._row_sums

    def scale_rows(self, scale: Tensor) -> "StepMatrix":
        """This matrix with row `i` multiplied by `scale[i]`: as :math:`p(j|i) = H(x_{ij}) / N_{FP}(i)` asks."""
        scaled = object.__new__(StepMatrix)
        scaled.__dict__.update(self.__dict__)  # the cells are shared
        scaled.row_scale = scale if self.row_scale is None else self.row_scale * scale
        scaled._row_sums = None if self._row_sums is None else self._row_sums * scale
        return scaled


class _Transposed:
    def __init__(self, matrix: StepMatrix):
        self.matrix = matrix

    def __matmul__(self, c: Tensor) -> Tensor:
        return self.matrix._transposed_matmul(c)


def _sum_from_the_top(x: Tensor) -> Tensor:
    return x.flip(0).cumsum(0).flip(0)
