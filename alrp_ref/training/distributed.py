"""One process, or one of many that `torchrun` started."""

import os
from datetime import timedelta
from typing import Any, NamedTuple

import torch
from torch import distributed

from alrp_ref.exact.processes import is_distributed
from alrp_ref.io import DataError

TIMEOUT = timedelta(hours=2)
"""Timeout of the process group. The other processes wait while the first one evaluates, and NCCL's default of ten
minutes is too short for COCO. If a process dies, `torchrun` ends the others at once."""


class Process(NamedTuple):
    """Rank, number of processes, and device of this process."""

    rank: int
    world: int
    device: torch.device

    @property
    def is_first(self) -> bool:
        """Whether this is the process that prints and writes files."""
        return self.rank == 0


def start(device: str | None = None) -> Process:
    """Join the processes of `torchrun`, if it started this one, and choose the device.

    Raises: ValueError for a device that does not exist.
    """
    try:
        torch.device(device or "cpu")
    except RuntimeError as error:
        raise ValueError(f"device must be cpu, cuda, or another that PyTorch knows, got {device!r}") from error
    if "WORLD_SIZE" not in os.environ:
        return Process(0, 1, torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu")))
    on_gpu = torch.cuda.is_available() and device != "cpu"
    place = torch.device("cuda", int(os.environ["LOCAL_RANK"])) if on_gpu else torch.device("cpu")
    if on_gpu:
        torch.cuda.set_device(place)
    if not distributed.is_initialized():
        distributed.init_process_group("nccl" if on_gpu else "gloo", timeout=TIMEOUT)
    return Process(distributed.get_rank(), distributed.get_world_size(), place)


def gather(value: Any) -> list[Any]:
    """What each process gives, by rank. All must call it at the same time."""
    if not is_distributed():
        return [value]
    values = [None] * distributed.get_world_size()
    distributed.all_gather_object(values, value)
    return values


def check_same_on_all(number: int, what: str) -> None:
    """Raise DataError unless all processes have the same number; `what` it is, and what to do."""
    numbers = gather(number)
    if len(set(numbers)) > 1:
        raise DataError(f"the processes have {', '.join(map(str, numbers))} for the {what}")


def stop() -> None:
    """Leave the group, if there is one."""
    if is_distributed():
        distributed.destroy_process_group()
