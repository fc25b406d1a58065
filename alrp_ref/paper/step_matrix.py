r"""Products with the matrix of step functions :math:`H(x_{ij})`, exact and fast, without forming it.

==============  ===========================================================================  =======
`s_i`           :math:`s_i`, scores of the rows, usually :math:`i \in \mathcal P`            (I,)
`s_j`           :math:`s_j`, scores of the columns, usually :math:`j \in \mathcal N`         (J,)
`bends`         :math:`s_i - \delta` and :math:`s_i + \delta`, sorted                        (2I,)
`start`         index in `bends` of :math:`s_i - \delta`, where the ramp of row `i` starts   (I,)
`end`           index in `bends` of :math:`s_i + \delta`, where it ends                      (I,)
`in_ramp`       whether any ramp lies between a bend and the next                            (2I-1,)
==============  ===========================================================================  =======

One identity is behind it: the step function is the difference of two hinges,

.. math:: H(x) = \mathrm{clip}\left(\tfrac{x}{2\delta} + \tfrac12,\; 0,\; 1\right)
          = \frac{\mathrm{relu}(x + \delta) - \mathrm{relu}(x - \delta)}{2 \delta}.

This file is the algorithm, and works on the 2I bends. The engine, `alrp_ref.paper.bins`, goes over the J columns.
"""

from copy import copy
from functools import cached_property

import torch
from torch import Tensor

from alrp_ref.paper.bins import Bins, Reduce


def exact_dtype(device: torch.device) -> torch.dtype:
    """The dtype of suffix sums, whose differences lose digits: float64, wherever the device has it."""
    return torch.float32 if device.type == "mps" else torch.float64


class Ramps:
    r"""The step functions of the rows as functions of one score, and what of them each product needs.

    Args: as for `StepMatrix`.
    """

    def __init__(self, s_i: Tensor, s_j: Tensor, delta: float, others_only: bool, reduce: Reduce | None):
        s_i, s_j = s_i.detach().to(exact_dtype(s_i.device)), s_j.detach()
        self.shape = (s_i.numel(), s_j.numel())
        self.bends, order = torch.cat([s_i - delta, s_i + delta]).sort()  # (2I,)
        self.is_start = order < s_i.numel()  # of a ramp; the other bends are ends
        self.row_of_bend = order % max(1, s_i.numel())
        self.start, self.end = order.argsort().chunk(2)  # (I,)
        # The width as the bends were rounded, not 2 delta: a ramp below all scores then counts exactly all of them.
        self.width = self.bends[self.end] - self.bends[self.start]
        self.gap = self.bends.diff()  # (2I-1,)
        # Outside all ramps no product changes. Leaving these gaps out of the sums keeps the rounding error of a wide
        # gap from being divided by the width of a narrow ramp.
        self.in_ramp = torch.where(self.is_start, 1, -1).cumsum(0)[:-1] > 0  # (2I-1,)
        self.is_hard = self.width <= 0  # narrower than the rounding of the scores: the hard step
        self.diagonal = None
        if others_only:  # H(0) as the rounded bends give it: 1/2, or 1 of the hard step
            self.diagonal = torch.where(self.is_hard, 1, (s_i - self.bends[self.start]) / self.width)
        self.bins = Bins(self.bends, s_j, reduce)

    def row_sums(self, w: Tensor | None = None) -> Tensor:
        r"""For every row :math:`\sum_j H(x_{ij})\, w_j`; with weights of 1 if none are given. Shape: (J,) -> (I,).

        With :math:`R(t) = \sum_j w_j\, \mathrm{relu}(s_j - t)`, the hinge identity makes every row sum a difference of
        two values of one function, :math:`(R(s_i - \delta) - R(s_i + \delta)) / 2\delta`. Between two neighbouring
        bends :math:`R` needs of the scores there only their total weight and the total of weight times offset from the
        bend below. Suffix sums of these give :math:`R` at all bends. All terms are non-negative for non-negative `w`,
        so the small sums of highly ranked rows keep their relative precision.
        """
        if self.shape[0] == 0:
            return self.bends.new_zeros(0)
        weight, moment = self.bins.sums(w)
        above = _suffix_sum(weight)[1:]  # weight of the scores at or above each bend
        area = torch.where(self.in_ramp, above[1:] * self.gap + moment[1:-1], 0)  # by which R falls to the next bend
        r = torch.cat([_suffix_sum(area), area.new_zeros(1)])  # R at each bend, less its falls outside all ramps
        ramp_mean = (r[self.start] - r[self.end]) / self.width
        rows = torch.where(self.is_hard, above[self.start], ramp_mean)
        if self.diagonal is not None:
            rows = rows - (self.diagonal if w is None else self.diagonal * w)
        return rows

    @cached_property
    def counts(self) -> Tensor:
        """Row sums with weights of 1, which every loss asks for twice. Shape: (I,)."""
        return self.row_sums()

    def column_sums(self, c: Tensor) -> Tensor:
        r"""For every column :math:`\sum_i c_i\, H(x_{ij})`. Shape: (I,) -> (J,), in the dtype of `s_j`, or in float32
        where that is shorter.

        The sum is a polyline in :math:`s_j`, with a bend where a ramp starts or ends. Prefix sums give its value and
        slope at each bend; each score then needs one interpolation.
        """
        if self.shape[0] == 0:
            return c.new_zeros(self.shape[1])
        c = c.to(self.bends.dtype)
        rise = torch.where(self.is_hard, 0, c / self.width)[self.row_of_bend]
        slope = torch.where(self.in_ramp, torch.where(self.is_start, rise, -rise).cumsum(0)[:-1], 0)
        jump = torch.where(self.is_start, torch.where(self.is_hard, c, 0)[self.row_of_bend], 0)
        value = jump.cumsum(0)
        value[1:].add_((slope * self.gap).cumsum(0))
        zero = value.new_zeros(1)
        columns = self.bins.interpolate(torch.cat([zero, value]), torch.cat([zero, slope, zero]))
        return columns if self.diagonal is None else columns - (self.diagonal * c).to(columns.dtype)


class StepMatrix:
    r"""The matrix :math:`c_i H(x_{ij})` for rows `i` and columns `j`, for sums and products. It is never formed.

    Every row has a factor :math:`c_i` of its own, 1 at first. ``H * c``, ``c * H`` and ``H / c`` take a number or one
    factor for each row, (I, 1); ``H @ w`` and ``H.T @ c`` are products with a vector; ``H.sum(1)`` and ``H.sum(0)`` are
    the sums of the rows and of the columns.

    Args:
        s_i: scores of the rows.
        s_j: scores of the columns, in any order. A score of :math:`-\infty` gives a column of zeros.
        delta: half width of the ramp, in logits.
        others_only: leave out the diagonal, :math:`j = i`. Rows and columns must then be the same examples.
        reduce: applied to the sums over columns. If each process holds a share of the columns, this is a sum over
            processes.

    Shape: `s_i` (I,), `s_j` (J,). Time O((I + J) log I), memory O(I + J), sums in float64.
    Source: the algorithm is ours; the sums are those of Eq. (3), Section 2.1. Tested against `alrp_ref.paper.pairwise`.
    """

    def __init__(
        self, s_i: Tensor, s_j: Tensor, delta: float, *, others_only: bool = False, reduce: Reduce | None = None
    ):
        self.ramps = Ramps(s_i, s_j, delta, others_only, reduce)
        self.scale: Tensor | float | None = None  # of each row; None for 1
        self.shape = (len(s_i), len(s_j))

    def __matmul__(self, w: Tensor) -> Tensor:
        r"""Row sums :math:`\sum_j H(x_{ij})\, w_j`. Shape: (J,) -> (I,)."""
        return self._scaled(self.ramps.row_sums(w))

    @property
    def T(self) -> "_Transposed":
        r"""For ``H.T @ c``, the column sums :math:`\sum_i c_i H(x_{ij})`. Shape: (I,) -> (J,), in the dtype of
        `s_j`, or in float32 where that is shorter."""
        return _Transposed(self)

    def sum(self, dim: int) -> Tensor:
        """Sums of the rows (`dim` 1) or of the columns (`dim` 0). Shape: (I,) or (J,)."""
        return self._scaled(self.ramps.counts) if dim == 1 else self.T @ self.ramps.bends.new_ones(self.shape[0])

    def __mul__(self, factor: Tensor | float) -> "StepMatrix":
        """This matrix with every row multiplied by a number. Shape: (I, 1) or a number.

        Raises: ValueError for another shape: entries that are never formed cannot be multiplied one by one.
        """
        if isinstance(factor, Tensor) and factor.ndim:
            if factor.shape != (self.shape[0], 1):
                raise ValueError(
                    f"a StepMatrix of shape {self.shape} is multiplied by a number, or by one number for each row, "
                    f"({self.shape[0]}, 1); got {tuple(factor.shape)}"
                )
            factor = factor[:, 0]
        scaled = copy(self)  # the ramps are shared
        scaled.scale = self._scaled(factor)
        return scaled

    __rmul__ = __mul__

    def __truediv__(self, divisor: Tensor | float) -> "StepMatrix":
        """This matrix with every row divided by a number. Shape: (I, 1) or a number."""
        return self * (divisor.reciprocal() if isinstance(divisor, Tensor) else 1 / divisor)

    def __neg__(self) -> "StepMatrix":
        return self * -1

    def _scaled(self, x: Tensor | float) -> Tensor | float:
        return x if self.scale is None else self.scale * x


class _Transposed:
    def __init__(self, matrix: StepMatrix):
        self.matrix = matrix

    def __matmul__(self, c: Tensor) -> Tensor:
        return self.matrix.ramps.column_sums(self.matrix._scaled(c))


Pairs = Tensor | StepMatrix
"""A number for each pair of a row and a column: what both can do are sums, products and row factors."""


def _suffix_sum(x: Tensor) -> Tensor:
    return x.flip(0).cumsum(0).flip(0)
