r"""The columns of `alrp_ref.step_matrix.StepMatrix`: millions of scores, sorted into the cells between some knots.

All that needs a pass over every score is here, and all of it is simple: which cell is a score in, what are the
sums over a cell, what is a straight line's value at a score. How it is made fast:

* **Parts.** On a CPU the scores are taken `PART` at a time, so that what is computed on the way stays in the
  processor's cache. Of each score four bytes are kept, the number of its cell.
* **A grid in front of the search.** A binary search takes eleven steps for a thousand knots, and a processor cannot
  guess where the next one leads. The bin of a score in a fixed grid is arithmetic instead, and *monotone*: of
  two numbers in different bins, the one in the higher bin is the greater. So a table can tell, for each bin, how
  many knots lie in lower bins. They are below the score; those of higher bins are above it; only the few of its own
  bin are searched. However the knots lie, the result is exact; where they crowd, more of the search is left.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from alrp_ref.scope import summed

PART = 1 << 15
"""Scores at a time: 256 kB in float64, and too few for PyTorch to share among threads, which made it slower."""

BINS = 1 << 18
"""Bins of the grid; their table takes 1 MB. Shorter lists than that are searched without it."""


def exact_dtype(device: torch.device) -> torch.dtype:
    """Running sums are differences of large numbers: float64, wherever the device has it."""
    return torch.float32 if device.type == "mps" else torch.float64


class Columns:
    r"""Scores in cells: cell `c` holds those from knot `c - 1` up to knot `c`, cell 0 those below all knots.

    Args:
        knots: sorted, (K,), at least one; their dtype is that of all sums.
        s_j: the scores, (J,); :math:`-\infty` is in cell 0.
        spread: the scores are this process's share of a list, of which all processes know the same knots; sums are
            over the whole list.
    """

    def __init__(self, knots: Tensor, s_j: Tensor, spread: bool = False):
        self.s_j, self.spread = s_j, spread
        self.knot_below = torch.cat([knots[:1], knots])  # of each cell, (K+1,)
        self.part = PART if s_j.device.type == "cpu" else max(1, s_j.numel())
        self.cell = torch.empty(s_j.shape, dtype=torch.int32, device=s_j.device)  # (J,)
        search = _Search(knots, torch.promote_types(s_j.dtype, torch.float32), s_j.numel())
        for s, cell in self._parts(s_j, self.cell):
            cell.copy_(search(s))

    def sums(self, w: Tensor) -> Tensor:
        """Total weight of each cell, and total of weight times the offset from the knot below. Shape: (J,) -> (2, K+1).

        Nothing lies below cell 0: its offsets count as 0.
        """
        sums = self.knot_below.new_zeros(2, len(self.knot_below))
        for w_part, s, cell in self._parts(w.to(sums.dtype), self.s_j, self.cell):
            sums[0].index_add_(0, cell, w_part)
            sums[1].index_add_(0, cell, self._offset(s, cell).mul_(w_part))
        return summed(sums) if self.spread else sums

    def line(self, value: Tensor, slope: Tensor) -> Tensor:
        """At each score, a cell's value at the knot below plus its slope times the offset. Shape: 2 x (K+1,) -> (J,).

        In the dtype of the scores.
        """
        columns = torch.empty_like(self.s_j)
        for column, s, cell in self._parts(columns, self.s_j, self.cell):
            rise = self._offset(s, cell).mul_(slope.index_select(0, cell))
            column.copy_(rise.add_(value.index_select(0, cell)))
        return columns

    def _parts(self, *columns: Tensor) -> Iterator[tuple[Tensor, ...]]:
        return zip(*(column.split(self.part) for column in columns), strict=True)

    def _offset(self, s: Tensor, cell: Tensor) -> Tensor:
        return (s - self.knot_below.index_select(0, cell)).clamp_(min=0)


class _Search:
    """How many knots are at or below a score: `torch.searchsorted`, with most of the search left out.

    Args: `dtype`, what scores are compared in, float32 or float64; `num_scores`, how many there will be.
    """

    def __init__(self, knots: Tensor, dtype: torch.dtype, num_scores: int):
        self.knots = knots.to(dtype)
        if dtype != knots.dtype:
            # Rounded up: a float32 is at or above a float64 if and only if it is so for the next float32.
            is_below = self.knots.to(knots.dtype) < knots
            infinity = torch.full_like(self.knots, torch.inf)
            self.knots = torch.where(is_below, self.knots.nextafter(infinity), self.knots)
        self.has_grid = knots.device.type == "cpu" and num_scores >= BINS
        if not self.has_grid:
            return
        self.low = float(self.knots[0])
        extent = float(self.knots[-1]) - self.low
        self.has_grid = 1e-20 < extent < 1e20  # so that the bins' arithmetic neither overflows nor divides by nothing
        if not self.has_grid:
            return
        self.bins_per_logit = (BINS - 3) / extent
        in_bin = torch.bincount(self._bin(self.knots), minlength=BINS)
        self.in_lower_bins = (in_bin.cumsum(0) - in_bin).int()  # (BINS,)
        self.first_step = 1 << (int(in_bin.max()).bit_length() - 1)
        # The search may look past the knots of its bin, even past the last one: all there is above the score.
        self.knots = torch.cat([self.knots, self.knots.new_full((len(knots) + 1,), float("inf"))])

    def __call__(self, s: Tensor) -> Tensor:
        s = s.to(self.knots.dtype)
        if not self.has_grid:
            return torch.searchsorted(self.knots, s, right=True, out_int32=True)
        count = self.in_lower_bins.index_select(0, self._bin(s))
        step = self.first_step
        while step:  # a binary search for all scores at once: are `step` more knots of the bin at or below the score?
            farthest = self.knots.index_select(0, count + (step - 1) if step > 1 else count)
            count.add_(farthest <= s, alpha=step)
            step //= 2
        return count

    def _bin(self, s: Tensor) -> Tensor:
        """0 for all below the lowest knot, 1 from there on. Each operation is monotone, its rounding included."""
        return s.sub(self.low).mul_(self.bins_per_logit).add_(1).clamp_(0, BINS - 1).int()
