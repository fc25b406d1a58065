"""Signals by which batch systems ask a job to end: the run stops where it loses nothing."""

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator
from typing import TypeVar

from alrp_ref.machine.distributed import gather

T = TypeVar("T")

STOP_SIGNALS = [getattr(signal, name) for name in ("SIGTERM", "SIGUSR1", "SIGHUP", "SIGINT") if hasattr(signal, name)]
"""By which a batch system asks every process of a job to end, data workers too, before it kills them: SIGTERM is what
SLURM, Kubernetes and docker send, SIGUSR1 what `sbatch --signal=USR1@60` asks for, SIGHUP what comes when a terminal or
a connection is closed, SIGINT is Ctrl-C."""


class _Interrupted(BaseException):
    """Ends an evaluation; no `except Exception` may keep it."""


class StopRequest:
    """The signal that asked this process to end, if one came since :func:`listening` began."""

    def __init__(self):
        self.signal: int | None = None
        self._interrupts = False

    def receive(self, number: int, frame: object = None) -> None:
        """The handler: it only remembers the signal, so that a step is never cut in two. A second Ctrl-C does that."""
        if number == signal.SIGINT:
            signal.signal(signal.SIGINT, signal.default_int_handler)
            os.write(2, b"\nstopping after this step, with a checkpoint; Ctrl-C again stops at once\n")
        self.signal = number
        if self._interrupts:
            self._interrupts = False  # a second signal must not interrupt what the first one made necessary
            raise _Interrupted

    def on_any(self) -> int | None:
        """The signal that any of the processes got. All must call it after the same step, and get the same answer."""
        return next((number for number in gather(self.signal) if number is not None), None)

    def interruptible(self, work: Callable[[], T]) -> T | None:
        """What `work` returns. It must have nothing to save: a signal ends it at once, or before it begins, with None.

        Nothing is raised, so that all processes can agree to stop.
        """
        try:
            try:
                self._interrupts = True
                return work() if self.signal is None else None
            finally:
                self._interrupts = False
        except _Interrupted:
            return None


@contextlib.contextmanager
def listening() -> Iterator[StopRequest]:
    """Handle `STOP_SIGNALS` inside the context. Handlers of others are kept, as that of `nohup`, which ignores SIGHUP;
    off the main thread this does nothing."""
    request, usual = StopRequest(), {}
    if threading.current_thread() is threading.main_thread():
        usual = {number: signal.getsignal(number) for number in STOP_SIGNALS}
    usual = {n: was for n, was in usual.items() if was in (signal.SIG_DFL, signal.default_int_handler)}
    for number in usual:
        signal.signal(number, request.receive)
    try:
        yield request
    finally:
        for number, was in usual.items():
            signal.signal(number, was)
