"""The engine of `alrp_ref.paper.step_matrix`: sums over bins of scores, and interpolation at each score.

No equation of the paper is in here. Everything that goes over millions of scores is, and it goes over them in parts.
"""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

Reduce = Callable[[Tensor], Tensor]
"""A sum over processes, of a tensor."""
PART = 1 << 15
"""Scores that a CPU takes at a time. What is computed on the way (256 kB in float64) then stays in the cache. Longer
parts would also be split among threads, which was measured to be slower."""
LANES = 256
"""Sums that a GPU makes of each bin, before it adds these up. Additions to one number wait for each other there, and
most scores lie in few bins. With lanes, neighbours in the list add to different numbers."""


class Bins:
    """The columns, sorted into bins by the bends, for sums over each bin and for interpolation at each score.

    Bin c holds the scores from bend c - 1 up to bend c; bin 0 those below all bends, the last one those above.
    """

    def __init__(self, bends: Tensor, s_j: Tensor, reduce: Reduce | None):
        self.s_j, self.reduce = s_j, reduce
        self.bend_below = torch.cat([bends[:1], bends])  # (2I+1,)
        self.bin = torch.empty(s_j.shape, dtype=torch.int32, device=s_j.device)  # (J,)
        for s, bin in self._parts(s_j, self.bin):
            bin.copy_(torch.searchsorted(bends, s.to(bends.dtype), right=True, out_int32=True))

    def sums(self, w: Tensor | None) -> Tensor:
        """Of each bin, the total weight and the total of weight times offset from the bend below. (J,) -> (2, 2I+1)."""
        # Counts are integers: in float32, all that some devices have, a sum of ones ends at 2^24.
        one = self.s_j.new_ones((), dtype=torch.int32).expand(len(self.s_j))
        weights = one if w is None else w.to(self.bend_below.dtype)
        weight = moment = None
        for w_part, s, bin in self._parts(weights, self.s_j, self.bin):
            offset, lane = self._offset(s, bin), _lanes(bin)
            own = self._bin_sums(w_part, lane)
            weight = own if weight is None else weight + own
            own = self._bin_sums(offset if w is None else offset.mul_(w_part), lane)
            moment = own if moment is None else moment + own
        sums = torch.stack([weight.to(moment.dtype), moment])
        return sums if self.reduce is None else self.reduce(sums)

    def interpolate(self, value: Tensor, slope: Tensor) -> Tensor:
        """At each score, its bin's value at the bend below plus slope times offset. 2 x (2I+1,) -> (J,)."""
        columns = torch.empty_like(self.s_j, dtype=torch.promote_types(self.s_j.dtype, torch.float32))
        for column, s, bin in self._parts(columns, self.s_j, self.bin):
            rise = self._offset(s, bin).mul_(slope.index_select(0, bin))
            column.copy_(rise.add_(value.index_select(0, bin)))
        return columns

    def _offset(self, s: Tensor, bin: Tensor) -> Tensor:
        """How far a score lies above the bend below it; 0 in bin 0, which has none."""
        return (s - self.bend_below.index_select(0, bin)).clamp_(min=0)

    def _bin_sums(self, x: Tensor, lane: Tensor) -> Tensor:
        """The sum of the numbers in each bin. Shape: (J,) -> (2I+1,)."""
        lanes = LANES if x.device.type == "cuda" else 1
        sums = x.new_zeros(len(self.bend_below) * lanes).index_add_(0, lane, x)
        return sums if lanes == 1 else sums.view(-1, lanes).sum(1, dtype=x.dtype)

    def _parts(self, *columns: Tensor) -> Iterator[tuple[Tensor, ...]]:
        size = max(1, len(self.s_j)) if self.s_j.device.type == "cuda" else PART
        return zip(*(column.split(size) for column in columns), strict=True)


def _lanes(bin: Tensor) -> Tensor:
    """On a GPU, where each bin has `LANES` sums, which of them a number is added to; else its bin."""
    if bin.device.type != "cuda":
        return bin
    return torch.arange(len(bin), dtype=bin.dtype, device=bin.device).remainder_(LANES).add_(bin, alpha=LANES)
