"""Data workers that cannot hang: what they need is checked before they start, and what ends them is said."""

import contextlib
import os
import shutil
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from multiprocessing import parent_process, queues
from multiprocessing.connection import Listener
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch.utils.data import DataLoader, Dataset

from alrp_ref.machine.files import DataError, human_size

try:
    import resource
except ImportError:  # Windows has no such limits
    resource = None

TIMEOUT = 300
"""Seconds without a batch after which a run stops with a message. Disks that sleep and networks take less."""

PREFETCH = 2
"""Batches that each worker prepares in advance."""

SHARED_MEMORY = Path("/dev/shm")
STOP_SIGNALS = [getattr(signal, name) for name in ("SIGTERM", "SIGUSR1") if hasattr(signal, name)]
"""By which a batch system asks every process of a job to end, data workers too, before it kills them: SIGTERM is what
SLURM, Kubernetes and docker send, SIGUSR1 what `sbatch --signal=USR1@60` asks for."""
CANNOT_SEND = 74  # exit code of a worker that cannot hand over a batch
OTHER_FILES = 64  # that a run opens beside those of its workers


class WorkersFailed(DataError):
    """Processes that read images have ended, or do not answer: the message says why and what to do."""


class Batch(NamedTuple):
    """What a batch takes on its way from a data worker: bytes of shared memory, and tensors, each an open file."""

    size: int
    tensors: int


def make_loader(
    dataset: Dataset,
    batch_sampler: Any,
    collate: Callable,
    *,
    workers: int,
    batch: Batch,
    processes: int = 1,
    pin_memory: bool = False,
    log: Callable[[str], None] = print,
) -> DataLoader:
    """A `DataLoader` with as many workers as can hand over their batches here, at most `workers`.

    Args:
        workers: processes that read images; 0 reads in this process. Fewer are used, and `log` is told why, where
            shared memory, the name of the temporary folder or the limit of open files allow no more.
        batch: what the largest batch takes.
        processes: training processes on this machine, which share its memory.

    Read it by `batches`, which explains its errors. Raises: ValueError for a negative number of workers.
    """
    if workers < 0:
        raise ValueError(f"workers must be 0 or more, got {workers}")
    possible, reason = possible_workers(workers, batch, processes)
    if possible < workers:
        log(f"reading images with {possible} instead of {workers} workers: {reason}")
    return DataLoader(
        dataset,
        batch_sampler=batch_sampler,
        collate_fn=collate,
        num_workers=possible,
        pin_memory=pin_memory,
        timeout=TIMEOUT if possible else 0,
        prefetch_factor=PREFETCH if possible else None,
        worker_init_fn=_begin_worker if possible else None,
    )


def batches(loader: DataLoader) -> Iterator[Any]:
    """The batches of a loader. Raises: WorkersFailed, saying what to do, if its workers have failed."""
    iterator = None
    while True:
        try:
            iterator = iter(loader) if iterator is None else iterator
            batch = next(iterator)
        except StopIteration:
            return
        except (RuntimeError, OSError, EOFError) as error:
            if loader.num_workers and (explained := _explain(error)):
                raise WorkersFailed(explained) from error
            raise
        yield batch


@contextlib.contextmanager
def failures_explained() -> Iterator[None]:
    """Where batches are used: a worker that dies meanwhile interrupts whatever is done. Raises: WorkersFailed."""
    try:
        yield
    except RuntimeError as error:
        if not str(error).startswith("DataLoader worker"):
            raise
        raise WorkersFailed(_explain(error)) from error


def possible_workers(wanted: int, batch: Batch, processes: int = 1) -> tuple[int, str]:
    """How many of the `wanted` workers can hand over their batches here, and the reason if those are fewer."""
    if wanted == 0:
        return 0, ""
    limits = [_limit_of_shared_memory(batch, processes), _limit_of_sockets(), _limit_of_files(wanted, batch)]
    most, reason = min((limit for limit in limits if limit is not None), default=(wanted, ""))
    return (most, reason) if most < wanted else (wanted, "")


def _limit_of_shared_memory(batch: Batch, processes: int) -> tuple[int, str] | None:
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


def _limit_of_files(wanted: int, batch: Batch) -> tuple[int, str] | None:
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


def _begin_worker(worker: int) -> None:
    """In a data worker: end it if it cannot hand over a batch, and leave signals to the run.

    Python alone would print why it cannot, and drop the batch, for which the run would then wait for ever. And batch
    systems send their signals to every process of a job: a worker that ended by one would end the run in the middle of
    its step.
    """
    queues.Queue._on_queue_feeder_error = staticmethod(_end_worker)
    if hasattr(signal, "sigwaitinfo"):  # of Linux; it tells who sent a signal
        signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
        threading.Thread(target=_wait_for_end, daemon=True).start()


def _wait_for_end() -> None:
    """End this worker when the run asks it to by SIGTERM; other signals, and those of others, do nothing."""
    while True:
        received = signal.sigwaitinfo(STOP_SIGNALS)
        if received.si_signo == signal.SIGTERM and received.si_pid == parent_process().pid:
            os._exit(0)


def _end_worker(error: BaseException, batch: Any) -> None:
    if not parent_process().is_alive():  # there is nobody to hand it to
        os._exit(0)
    print(f"alrp: a process that reads images cannot hand over a batch: {error}", file=sys.stderr, flush=True)
    os._exit(CANNOT_SEND)


def _explain(error: BaseException) -> str | None:
    """What an error of a loader with workers means; None for an error of the data set itself, which says it alone."""
    text = str(error)
    if text.startswith("Caught ") and "in pin memory thread" not in text:
        return None
    text = f"{type(error).__name__}: {text} {error.__cause__ or ''}"
    what = (text.removeprefix("RuntimeError: ").strip() or type(error).__name__).splitlines()[0][:200]
    cannot_send = (
        f"exit code {CANNOT_SEND}",
        "Bus error",
        "shared memory",
        "AF_UNIX",
        "Too many open files",
        "ancdata",
    )
    if any(sign in text for sign in cannot_send) or isinstance(error, EOFError | ConnectionError):
        return (
            f"the processes that read images cannot hand over their batches ({what}). Give the same command again "
            "with --workers 0, or with fewer, or give them more room: `docker run --shm-size=8g` for shared memory, "
            "a higher `ulimit -n` for open files, a shorter TMPDIR for the names of sockets"
        )
    if "timed out" in text:
        return (
            f"the processes that read images gave no batch for {TIMEOUT} seconds: the disk or network that the images "
            "are on does not answer, or the processes wait for each other. Give the same command again, with "
            "--workers 0 if it is no matter of the disk"
        )
    if "killed by signal" in text:
        return (
            f"a process that reads images was killed, mostly for want of memory ({what}). Give the same command again, "
            "with fewer --workers if that was it"
        )
    if "exited unexpectedly" in text:
        return (
            f"a process that reads images ended with an error of its own, printed above ({what}). In a script of your "
            'own, put the call under `if __name__ == "__main__":`, which processes that are spawned need; or give '
            "workers=0"
        )
    return None
