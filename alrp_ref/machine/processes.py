r"""Ranking across processes: each process ranks its own examples, or all rank together.

The paper ranks the examples of each process by themselves. One ranking over all processes is the loss of the whole
batch, whatever the number of processes. Little has to be sent: the scores and errors of all *positives*, which are few,
and the sums of :math:`H` over the negatives, two numbers for each bin. The negatives stay on their process.
"""

from typing import Literal

import torch
from torch import Tensor, distributed

RankScope = Literal["process", "global"]


def is_distributed() -> bool:
    """Whether `torch.distributed` has been started."""
    return distributed.is_available() and distributed.is_initialized()


def summed(x: Tensor) -> Tensor:
    """The sum over all processes, each of which must call this at the same time; of one alone, `x`."""
    if not is_distributed():
        return x
    x = x.clone()
    distributed.all_reduce(x)
    return x


class Scope:
    """The positives that are ranked together, in the order of the processes.

    Args:
        rank_scope: "process", those of this process; "global", those of all that `torch.distributed` knows, of which
            each must make a scope at the same time.
        s_pos: the scores of this process's positives, (|P|,).

    Attributes: `number_of_processes` that rank together, and the `index` of this one among them.
    """

    def __init__(self, rank_scope: RankScope, s_pos: Tensor):
        self.is_global = rank_scope == "global" and is_distributed()
        self.index, self.counts = 0, [s_pos.numel()]
        if self.is_global:
            self.index = distributed.get_rank()
            self.counts = [int(count) for count in _all_gather(torch.tensor([s_pos.numel()], device=s_pos.device))]
        self.number_of_processes = len(self.counts)

    def gather(self, x: Tensor) -> Tensor:
        """One number for each positive of all processes. Shape: (|P|,) -> (all,)."""
        if not self.is_global:
            return x
        padded = x.new_zeros(max(self.counts))  # all processes must send as many numbers
        padded[: x.numel()] = x
        return torch.cat([part[:count] for part, count in zip(_all_gather(padded), self.counts, strict=True)])

    def sum(self, x: Tensor) -> Tensor:
        """The sum over the processes that rank together."""
        return summed(x) if self.is_global else x

    def local_part(self, x: Tensor) -> Tensor:
        """Of all positives, those of this process. Shape: (all,) -> (|P|,)."""
        return x.split(self.counts)[self.index] if self.is_global else x


def _all_gather(x: Tensor) -> list[Tensor]:
    everybodys = [torch.empty_like(x) for _ in range(distributed.get_world_size())]
    distributed.all_gather(everybodys, x)
    return everybodys
