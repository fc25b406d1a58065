"""One process, or one of many that `torchrun` started."""

import os
from datetime import timedelta
from typing import Any, NamedTuple

import torch
from torch import distributed

from alrp_ref.machine.device import choose_device
from alrp_ref.machine.files import DataError
from alrp_ref.machine.processes import is_distributed

TIMEOUT = timedelta(hours=2)
"""Timeout of the process group. The other processes wait while the first one evaluates, and NCCL's default of ten
minutes is too short for COCO. If a process dies, `torchrun` ends the others at once."""

ADVICE = (
    "Start several processes by `torchrun --nproc-per-node=N -m alrp_ref.cli train ...`, which sets WORLD_SIZE, RANK, "
    "LOCAL_RANK, MASTER_ADDR and MASTER_PORT, or unset these for one process"
)


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
    """Join the processes of `torchrun`, or of a platform that sets its variables, and choose the device.

    Raises: ValueError for a device that cannot be used, or variables that do not belong together.
    """
    world = world_size()
    if world == 1 and "RANK" not in os.environ:  # some platforms set WORLD_SIZE alone
        return Process(0, 1, choose_device(device))
    rank, place = _number("RANK"), _own_device(device)
    if not 0 <= rank < world:
        raise ValueError(f"RANK must be 0 to {world - 1}, since WORLD_SIZE is {world}; got {rank}. {ADVICE}")
    if place.type == "cuda":
        torch.cuda.set_device(place)
    if not distributed.is_initialized():
        if missing := [name for name in ("MASTER_ADDR", "MASTER_PORT") if name not in os.environ]:
            raise ValueError(f"WORLD_SIZE and RANK are set, but {' and '.join(missing)} not. {ADVICE}")
        distributed.init_process_group("nccl" if place.type == "cuda" else "gloo", timeout=TIMEOUT)
    return Process(distributed.get_rank(), distributed.get_world_size(), place)


def world_size() -> int:
    """The number of processes that the environment speaks of; 1 if it says nothing."""
    return _number("WORLD_SIZE") if "WORLD_SIZE" in os.environ else 1


def _own_device(device: str | None) -> torch.device:
    """The CPU, or the GPU of this process: that of its number on its machine."""
    if device == "cpu" or (device is None and not torch.cuda.is_available()):
        return torch.device("cpu")
    if device not in (None, "cuda"):
        raise ValueError(f'device must be "cpu" or "cuda" for several processes, which take a GPU each, got {device!r}')
    # Platforms that start processes themselves set RANK alone, one process for each GPU of a machine.
    number = (
        _number("LOCAL_RANK") if "LOCAL_RANK" in os.environ else _number("RANK") % max(1, torch.cuda.device_count())
    )
    return choose_device(f"cuda:{number}")


def _number(name: str) -> int:
    text = os.environ.get(name)
    if text is None or not text.strip().lstrip("+-").isdecimal():
        is_what = "not set" if text is None else repr(text)
        raise ValueError(f"the environment variable {name} must be a whole number, and is {is_what}. {ADVICE}")
    return int(text)


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
