"""Data workers that cannot hang: a worker that cannot hand over a batch ends, and the error says why."""

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from multiprocessing import parent_process, queues
from typing import Any

from torch.utils.data import DataLoader, Dataset

from alrp_ref.machine.files import DataError
from alrp_ref.machine.signals import STOP_SIGNALS
from alrp_ref.machine.worker_limits import PREFETCH, BatchMemory, possible_workers

TIMEOUT = 300
"""Seconds without a batch after which a run stops with a message. Disks that sleep and networks take less."""

CANNOT_SEND = 74  # exit code of a worker that cannot hand over a batch


class WorkersFailed(DataError):
    """Processes that read images have ended, or do not answer: the message says why and what to do."""


def make_loader(
    dataset: Dataset,
    batch_sampler: Any,
    collate: Callable,
    *,
    workers: int,
    batch: BatchMemory,
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
    """Wrap code that consumes batches: a worker that dies raises WorkersFailed there."""
    try:
        yield
    except RuntimeError as error:
        if not str(error).startswith("DataLoader worker"):
            raise
        raise WorkersFailed(_explain(error)) from error


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
            "--workers 0 if the disk is not the cause"
        )
    if "killed by signal" in text:
        return f"a data worker was killed, most likely because memory ran out ({what}); retry with fewer --workers"
    if "exited unexpectedly" in text:
        return (
            f"a process that reads images ended with an error of its own, printed above ({what}). In a script of your "
            'own, put the call under `if __name__ == "__main__":`, which processes that are spawned need; or give '
            "workers=0"
        )
    return None
