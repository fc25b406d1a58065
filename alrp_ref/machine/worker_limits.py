"""How many data workers a machine allows: their batches need shared memory, sockets and open files."""

import os
import shutil
import tempfile
from multiprocessing.connection import Listener
from pathlib import Path
from typing import NamedTuple

import torch

from alrp_ref.machine.files import human_size

try:
    import resource
except ImportError:  # Windows has no such limits
    resource = None

PREFETCH = 2
"""Batches that each worker prepares in advance."""

SHARED_MEMORY = Path("/dev/shm")
OTHER_FILES = 64  # that a run opens beside those of its workers


class BatchMemory(NamedTuple):
    """What a batch takes on its way from a data worker: bytes of shared memory, and tensors, each an open file."""

    size: int
    tensors: int


def possible_workers(wanted: int, batch: BatchMemory, processes: int = 1) -> tuple[int, str]:
    """How many of the `wanted` workers can hand over their batches here, and the reason if those are fewer."""
    if wanted == 0:
        return 0, ""
    limits = [_limit_of_shared_memory(batch, processes), _limit_of_sockets(), _limit_of_files(wanted, batch)]
    most, reason = min((limit for limit in limits if limit is not None), default=(wanted, ""))
    return (most, reason) if most < wanted else (wanted, "")


def _limit_of_shared_memory(batch: BatchMemory, processes: int) -> tuple[int, str] | None:
    """Batches travel in shared memory: those in advance of each worker, and the one in use."""
    cure = "`docker run --shm-size=8g`, or a larger /dev/shm, allows more"
    try:
        torch.empty(1, dtype=torch.uint8).share_memory_()
        if not SHARED_MEMORY.is_dir():
            return None
        free = shutil.disk_usage(SHARED_MEMORY).free // processes
    except (RuntimeError, OSError) as error:
        return 0, f"shared memory ({SHARED_MEMORY}) cannot be used ({str(error).splitlines()[0]}); {cure}"
    share = f" for each of {processes} processes" if processes > 1 else ""
    reason = (
        f"{SHARED_MEMORY} has {human_size(free)} free{share}, a batch takes {human_size(batch.size)}, and each worker "
        f"prepares {PREFETCH}; {cure}"
    )
    return max(0, free // max(1, batch.size) - 1) // PREFETCH, reason


def _limit_of_sockets() -> tuple[int, str] | None:
    """Workers hand over tensors by a socket in the temporary folder, whose name has at most about a hundred bytes."""
    if os.name != "posix":
        return None
    try:
        Listener(family="AF_UNIX").close()
    except OSError as error:
        folder = tempfile.gettempdir()
        return (
            0,
            f"they cannot talk to each other by sockets in {folder} ({error}); TMPDIR=/tmp, or another short and "
            "writable folder, allows more",
        )
    return None


def _limit_of_files(wanted: int, batch: BatchMemory) -> tuple[int, str] | None:
    """Each tensor on its way is an open file. The limit is raised as far as this process may."""
    if resource is None:
        return None
    open_files = Path("/proc/self/fd")
    others = OTHER_FILES + (len(list(open_files.iterdir())) if open_files.is_dir() else OTHER_FILES)
    each = PREFETCH * batch.tensors + 8  # a worker has pipes, too
    needed = others + batch.tensors + wanted * each
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if resource.RLIM_INFINITY in (soft, hard):
        hard = max(soft, needed)
    if soft != resource.RLIM_INFINITY and soft < needed <= hard:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (needed, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
            return None
        except (ValueError, OSError):
            hard = soft
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return None
    reason = f"{hard} files may be open, and {wanted} workers may need {needed}; a higher `ulimit -n` allows more"
    return max(0, hard - others - batch.tensors) // each, reason
