"""One process, or one of many that `torchrun` started."""

import os
from datetime import timedelta
from typing import NamedTuple

import torch
from torch import distributed

from alrp_ref.coco.errors import DataError
from alrp_ref.scope import is_distributed

TIMEOUT = timedelta(hours=2)
"""How long the others wait while the first process evaluates; NCCL's own ten minutes are too short for COCO. It is no
delay where a process dies: then `torchrun` ends the others at once."""


class Process(NamedTuple):
    """This process's place among all."""

    rank: int
    world: int
    device: torch.device

    @property
    def is_first(self) -> bool:
        """Only the first process prints and writes."""
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


def check_same(number: int, what: str) -> None:
    """Raise DataError unless all processes have the same number; `what` it is, and what to do."""
    if is_distributed():
        numbers = [None] * distributed.get_world_size()
        distributed.all_gather_object(numbers, number)
        if len(set(numbers)) > 1:
            raise DataError(f"the processes have {', '.join(map(str, numbers))} for the {what}")


def stop() -> None:
    """Leave the group, if there is one."""
    if is_distributed():
        distributed.destroy_process_group()
