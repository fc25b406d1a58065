r"""Products with the matrix of step functions :math:`H(x_{ij})`, exact and fast, without forming it.

==============  =========================================================================  ============
`s_i`           :math:`s_i`, scores of the rows, usually :math:`i \in \mathcal P`          (I,)
`s_j`           :math:`s_j`, scores of the columns, usually :math:`j \in \mathcal N`       (J,)
`bends`         :math:`s_i - \delta` and :math:`s_i + \delta`, sorted                      (2I,)
`start`         index in `bends` of :math:`s_i - \delta`, where the ramp of row `i` starts (I,)
`end`           index in `bends` of :math:`s_i + \delta`, where it ends                    (I,)
`in_ramp`       whether any ramp lies between a bend and the next                          (2I-1,)
==============  =========================================================================  ============

One identity is behind it: the step function is the difference of two hinges,

.. math:: 2 \delta\, H(x) = \mathrm{relu}(x + \delta) - \mathrm{relu}(x - \delta).
"""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from alrp_ref.checks import exact_dtype

PART = 1 << 15
"""Scores that a CPU takes at a time. What is computed on the way (256 kB in float64) then stays in the cache. Longer
parts would also be split among threads, which was measured to be slower."""
LANES = 256
"""Sums that a GPU makes of each bin, before it adds these up. Additions to one number wait for each other there, and
most scores lie in few bins. With lanes, neighbours in the list add to different numbers."""

Reduce = Callable[[Tensor], Tensor]


class StepMatrix:
    r"""The matrix :math:`H(x_{ij})` for rows `i` and columns `j`, for products and sums. It is never formed.

    Why this is exact.

    * ``H @ w``: with :math:`R(t) = \sum_j w_j\, \mathrm{relu}(s_j - t)`, the hinge identity makes every row sum a
      difference of two values of one function,
      :math:`\sum_j w_j H(s_j - s_i) = (R(s_i - \delta) - R(s_i + \delta)) / 2\delta`.
      Between two neighbouring bends :math:`R` needs of the scores there only their total weight and the total of
      weight times offset from the bend below. Suffix sums of these give :math:`R` at all bends. All terms are
      non-negative for non-negative `w`, so the small sums of highly ranked rows keep their relative precision.
    * ``H.T @ c``: :math:`\sum_i c_i H(s_j - s_i)` is a polyline in :math:`s_j`, with a bend where a ramp starts or
      ends. Prefix sums give its value and slope at each bend; each score then needs one interpolation.

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
        s_i, self.s_j = s_i.detach().to(exact_dtype(s_i.device)), s_j.detach()
        self.shape, self.reduce = (s_i.numel(), s_j.numel()), reduce
        self.scale: Tensor | float = 1.0  # of each row
        self._row_sums: Tensor | None = None

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
        # H(0) as the rounded bends give it: 1/2, unless a ramp is as narrow as the rounding of the scores.
        at_zero = torch.where(self.width > 0, (s_i - self.bends[self.start]) / self.width, 1)
        self.diagonal = at_zero if others_only else None

        # Bin c holds the scores from bend c - 1 up to bend c; bin 0 those below all bends, the last one those above.
        self.bend_below = torch.cat([self.bends[:1], self.bends])  # (2I+1,)
        self.bin = torch.empty(s_j.shape, dtype=torch.int32, device=s_j.device)  # (J,)
        for s, bin in self._parts(self.s_j, self.bin):
            bin.copy_(torch.searchsorted(self.bends, s.to(self.bends.dtype), right=True, out_int32=True))

    def __matmul__(self, w: Tensor) -> Tensor:
        r"""Row sums :math:`\sum_j H(x_{ij})\, w_j`. Shape: (J,) -> (I,)."""
        return self._rows(w)

    def _rows(self, w: Tensor | None) -> Tensor:
        """Row sums with these weights, (J,), or with weights of 1."""
        if self.shape[0] == 0:
            return self.bends.new_zeros(0)
        weight, moment = self._sums(w)
        above = _suffix_sum(weight)[1:]  # weight of the scores at or above each bend
        area = torch.where(self.in_ramp, above[1:] * self.gap + moment[1:-1], 0)  # by which R falls to the next bend
        r = torch.cat([_suffix_sum(area), area.new_zeros(1)])  # R at each bend, less its falls outside all ramps
        ramp_mean = (r[self.start] - r[self.end]) / self.width
        # A ramp narrower than the rounding of the scores (width 0) is the hard step.
        rows = torch.where(self.width > 0, ramp_mean, above[self.start])
        if self.diagonal is not None:
            rows = rows - (self.diagonal if w is None else self.diagonal * w)
        return self.scale * rows

    def _transposed_matmul(self, c: Tensor) -> Tensor:
        if self.shape[0] == 0:
            return c.new_zeros(self.shape[1])
        c = self.scale * c.to(self.bends.dtype)
        is_hard = self.width <= 0
        rise = torch.where(is_hard, 0, c / self.width)[self.row_of_bend]
        slope = torch.where(self.in_ramp, torch.where(self.is_start, rise, -rise).cumsum(0)[:-1], 0)
        jump = torch.where(self.is_start, torch.where(is_hard, c, 0)[self.row_of_bend], 0)
        value = jump.cumsum(0)
        value[1:] += (slope * self.gap).cumsum(0)
        zero = value.new_zeros(1)
        columns = self._interpolate(torch.cat([zero, value]), torch.cat([zero, slope, zero]))
        return columns if self.diagonal is None else columns - (self.diagonal * c).to(columns.dtype)

    @property
    def T(self) -> "_Transposed":
        r"""For ``H.T @ c``, the column sums :math:`\sum_i c_i H(x_{ij})`. Shape: (I,) -> (J,), in the dtype of
        `s_j`, or in float32 where that is shorter."""
        return _Transposed(self)

    def sum(self, dim: int) -> Tensor:
        """Sums of the rows (`dim` 1) or of the columns (`dim` 0). Shape: (I,) or (J,)."""
        if dim == 0:
            return self.T @ self.bends.new_ones(self.shape[0])
        if self._row_sums is None:
            self._row_sums = self._rows(None)
        return self._row_sums

    def __mul__(self, scale: Tensor | float) -> "StepMatrix":
        """This matrix with every row multiplied by a number. Shape: (I, 1) or a number."""
        rows = scale[:, 0] if isinstance(scale, Tensor) else scale
        scaled = object.__new__(StepMatrix)
        scaled.__dict__.update(self.__dict__)  # the bins are shared
        scaled.scale = self.scale * rows
        scaled._row_sums = None if self._row_sums is None else self._row_sums * rows
        return scaled

    def __truediv__(self, scale: Tensor | float) -> "StepMatrix":
        """This matrix with every row divided by a number. Shape: (I, 1) or a number."""
        return self * (1 / scale)

    def _sums(self, w: Tensor | None) -> Tensor:
        """Of each bin, the total weight and the total of weight times offset from the bend below. (J,) -> (2, 2I+1)."""
        # Counts are integers: in float32, all that some devices have, a sum of ones ends at 2^24.
        weight = torch.zeros_like(self.bend_below, dtype=torch.int32 if w is None else None)
        moment = torch.zeros_like(self.bend_below)
        one = weight.new_ones(()).expand(self.shape[1])
        for w_part, s, bin in self._parts(one if w is None else w.to(weight.dtype), self.s_j, self.bin):
            offset, lane = self._offset(s, bin), _lanes(bin)
            weight = weight + _bin_sums(w_part, lane, len(weight))
            moment = moment + _bin_sums(offset if w is None else offset.mul_(w_part), lane, len(moment))
        sums = torch.stack([weight.to(moment.dtype), moment])
        return sums if self.reduce is None else self.reduce(sums)

    def _interpolate(self, value: Tensor, slope: Tensor) -> Tensor:
        """At each score, its bin's value at the bend below plus slope times offset. 2 x (2I+1,) -> (J,)."""
        columns = torch.empty_like(self.s_j, dtype=torch.promote_types(self.s_j.dtype, torch.float32))
        for column, s, bin in self._parts(columns, self.s_j, self.bin):
            rise = self._offset(s, bin).mul_(slope.index_select(0, bin))
            column.copy_(rise.add_(value.index_select(0, bin)))
        return columns

    def _offset(self, s: Tensor, bin: Tensor) -> Tensor:
        """How far a score lies above the bend below it; 0 in bin 0, which has none."""
        return (s - self.bend_below.index_select(0, bin)).clamp_(min=0)

    def _parts(self, *columns: Tensor) -> Iterator[tuple[Tensor, ...]]:
        size = max(1, self.shape[1]) if self.s_j.device.type == "cuda" else PART
        return zip(*(column.split(size) for column in columns), strict=True)


class _Transposed:
    def __init__(self, matrix: StepMatrix):
        self.matrix = matrix

    def __matmul__(self, c: Tensor) -> Tensor:
        return self.matrix._transposed_matmul(c)


def _lanes(bin: Tensor) -> Tensor:
    """On a GPU, where each bin has `LANES` sums, which of them a number is added to; else its bin."""
    if bin.device.type != "cuda":
        return bin
    return torch.arange(len(bin), dtype=bin.dtype, device=bin.device).remainder_(LANES).add_(bin, alpha=LANES)


def _bin_sums(x: Tensor, lane: Tensor, bins: int) -> Tensor:
    """The sum of the numbers in each bin. Shape: (J,) -> (bins,)."""
    lanes = LANES if x.device.type == "cuda" else 1
    return x.new_zeros(bins * lanes).index_add_(0, lane, x).view(bins, lanes).sum(1, dtype=x.dtype)


def _suffix_sum(x: Tensor) -> Tensor:
    return x.flip(0).cumsum(0).flip(0)
