r"""Ranks of the positives, from score differences, without forming the pairs.

With :math:`x_{ij} = s_j - s_i` and the step function :math:`H`, Section 2 of the paper counts

.. math::
    \mathrm{rank}^+(i) = 1 + \sum_{j \in \mathcal P, j \ne i} H(x_{ij}), \qquad
    N_{FP}(i) = \sum_{j \in \mathcal N} H(x_{ij}), \qquad
    \mathrm{rank}(i) = \mathrm{rank}^+(i) + N_{FP}(i).

==============  =========================================================================  ============
`s_pos`         :math:`s_i, i \in \mathcal P`, the logits of the positives                 (|P|,)
`s_neg`         :math:`s_j, j \in \mathcal N`, the logits of the negatives                 (|N|,)
`x`             :math:`x_{ij}`, how far `j` is above `i`, in logits                        (|P|, |N|)
`delta`         :math:`\delta`, half width of the step's ramp, in logits                   number
`rank_pos`      :math:`\mathrm{rank}^+(i)`, the place among the positives                  (|P|,)
`n_fp`          :math:`N_{FP}(i)`, the number of negatives above `i`                       (|P|,)
`rank`          :math:`\mathrm{rank}(i)`, the place among all                              (|P|,)
`h_pos`         :math:`H(x_{ik})`, over pairs of positives                                 (|P|, |P|)
`h_neg`         :math:`H(x_{ij})`, over pairs of a positive and a negative                 (|P|, |N|)
==============  =========================================================================  ============

A detector has some hundred positives and millions of negatives, so the :math:`|P| \times |N|` matrix of
:math:`H(x_{ij})` is out of the question. `StepMatrix` multiplies with it, exactly, in
:math:`O((|P| + |N|) \log |P|)`; `alrp_ref.pairwise` forms it, and the tests compare the two.
"""

from typing import NamedTuple

import torch
from torch import Tensor


def step(x: Tensor, delta: float) -> Tensor:
    r"""The smoothed step function, linear on :math:`[-\delta, \delta]`.

    .. math:: H(x) = \mathrm{clip}\left(\tfrac{x}{2\delta} + \tfrac12,\; 0,\; 1\right), \qquad H(x) + H(-x) = 1

    Args:
        x: score differences, any shape.
        delta: half width of the ramp, in logits; the hard step is its limit at 0.

    Shape: the same as `x`.
    Source: Section 2; AP Loss (CVPR 2019).
    """
    return (x / (2 * delta) + 0.5).clamp(0, 1)


def difference_transform(s_i: Tensor, s_j: Tensor) -> Tensor:
    r"""All differences of scores, above zero where `j` outranks `i`.

    .. math:: x_{ij} = -(s_i - s_j) = s_j - s_i

    Shape: `s_i` (I,), `s_j` (J,) -> (I, J). For small inputs and for reading; the losses never call it.
    Source: Section 2.
    """
    return s_j[None, :] - s_i[:, None]


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
        s_j: scores of the columns; not sorted, nor need they be.
        delta: half width of the ramp.

    Shape: `s_i` (I,), `s_j` (J,). Time O((I + J) log I), memory O(I + J), float64 inside.
    Source: the algorithm is ours; the sums are those of Section 2. Tested against `pairwise`.
    """

    def __init__(self, s_i: Tensor, s_j: Tensor, delta: float):
        # Running sums are differences of large numbers: float64, wherever the device has it.
        dtype = torch.float32 if s_i.device.type == "mps" else torch.float64
        s_i, s_j = s_i.detach().to(dtype), s_j.detach().to(dtype)
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

        # Cell c holds the columns from knot c-1 up to knot c. Those of cell 0 lie below every ramp and add nothing;
        # those of the last cell count 1 in every row, however high they are.
        self.cell = torch.searchsorted(self.knots, s_j, right=True)  # (J,)
        self.knot_below = (self.cell - 1).clamp(min=0)
        self.offset = s_j - self.knots[self.knot_below] if s_i.numel() else s_j  # (J,)

        self._row_sums: Tensor | None = None

    def __matmul__(self, w: Tensor) -> Tensor:
        r"""Row sums :math:`\sum_j H(x_{ij})\, w_j`. Shape: (J,) -> (I,)."""
        num_rows, num_columns = self.shape
        if num_rows == 0 or num_columns == 0:
            return self.knots.new_zeros(num_rows)
        w = w.to(self.knots.dtype)
        empty = self.knots.new_zeros(2 * num_rows + 1)
        weight = empty.index_add(0, self.cell, w)  # per cell
        moment = empty.index_add(0, self.cell, w * self.offset)  # per cell
        above = _sum_from_the_top(weight)[1:]  # C at each knot
        area = torch.where(self.open, above[1:] * self.gap + moment[1:-1], 0)  # of C, between neighbouring knots
        integral = torch.cat([_sum_from_the_top(area), area.new_zeros(1)])  # of C, above each knot
        ramp_mean = (integral[self.foot] - integral[self.top]) / self.width
        # A ramp too narrow for the number format (width 0) is the hard step.
        rows = torch.where(self.width > 0, ramp_mean, above[self.foot])
        return rows if self.row_scale is None else self.row_scale * rows

    def _transposed_matmul(self, c: Tensor) -> Tensor:
        num_rows, num_columns = self.shape
        if num_rows == 0 or num_columns == 0:
            return self.knots.new_zeros(num_columns)
        c = c.to(self.knots.dtype)
        c = c if self.row_scale is None else self.row_scale * c
        hard = self.width <= 0
        rise = torch.where(hard, 0, c / self.width)[self.row_of_knot]
        slope = torch.where(self.open, torch.where(self.is_foot, rise, -rise).cumsum(0)[:-1], 0)  # above each knot
        jump = torch.where(self.is_foot, torch.where(hard, c, 0)[self.row_of_knot], 0)
        value = jump.cumsum(0)
        value[1:] += (slope * self.gap).cumsum(0)
        slope = torch.cat([slope, slope.new_zeros(1)])
        columns = torch.addcmul(value[self.knot_below], slope[self.knot_below], self.offset)
        return torch.where(self.cell > 0, columns, 0)

    @property
    def T(self) -> "_Transposed":
        r"""For ``H.T @ c``, the column sums :math:`\sum_i c_i H(x_{ij})`. Shape: (I,) -> (J,)."""
        return _Transposed(self)

    def sum(self, dim: int = 1) -> Tensor:
        """Plain row sums, `H @ 1`, computed once. Shape: (I,)."""
        if dim != 1:
            raise ValueError(f"dim must be 1 (row sums), got {dim}")
        if self._row_sums is None:
            self._row_sums = self @ self.knots.new_ones(self.shape[1])
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


class Ranks(NamedTuple):
    """Where each positive stands. All (|P|,), in the order of the positives; the matrices give sums over pairs."""

    rank_pos: Tensor
    n_fp: Tensor
    rank: Tensor
    h_pos: StepMatrix
    """H(x_ik) over positives k, the diagonal H(0) = 1/2 included."""
    h_neg: StepMatrix
    """H(x_ij) over negatives j."""


def ranks(s_pos: Tensor, s_neg: Tensor, delta: float = 1.0) -> Ranks:
    r"""Ranks of the positives.

    .. math:: \mathrm{rank}^+(i) = 1 + \sum_{j \in \mathcal P, j \ne i} H(x_{ij}), \quad
              N_{FP}(i) = \sum_{j \in \mathcal N} H(x_{ij}), \quad
              \mathrm{rank}(i) = \mathrm{rank}^+(i) + N_{FP}(i)

    Args:
        s_pos, s_neg: logits of the positives and of the negatives.
        delta: half width of the step.

    Shape: `s_pos` (|P|,), `s_neg` (|N|,).
    Source: Section 2.
    """
    h_pos, h_neg = StepMatrix(s_pos, s_pos, delta), StepMatrix(s_pos, s_neg, delta)
    rank_pos = 1 + (h_pos.sum(1) - h_pos.at_zero)  # j = i is in the matrix, not in the sum
    n_fp = h_neg.sum(1)
    return Ranks(rank_pos, n_fp, rank_pos + n_fp, h_pos, h_neg)
