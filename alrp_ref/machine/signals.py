"""Signals by which batch systems ask a job to end: the run stops where it loses nothing."""

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from typing import TypeVar

from alrp_ref.machine.distributed import gather

T = TypeVar("T")

STOP_SIGNALS = [getattr(signal, name) for name in ("SIGTERM", "SIGUSR1") if hasattr(signal, name)]
"""By which a batch system asks every process of a job to end, data workers too, before it kills them: SIGTERM is what
SLURM, Kubernetes and docker send, SIGUSR1 what `sbatch --signal=USR1@60` asks for."""


class _Interrupted(BaseException):
    """Ends an evaluation; no `except Exception` may keep it."""


class StopRequest:
    """The signal that asked this process to end, if one came since :func:`listening` began."""

    def __init__(self):
        self.signal: int | None = None
        self._interrupts = False

    def receive(self, number: int, frame: object = None) -> None:
        """The handler: it only remembers the signal, so that a step is never cut in two."""
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
    """Handle `STOP_SIGNALS` inside the context. Existing handlers are kept; off the main thread this does nothing."""
    request = StopRequest()
    ours = []
    if threading.current_thread() is threading.main_thread():
        ours = [number for number in STOP_SIGNALS if signal.getsignal(number) is signal.SIG_DFL]
    for number in ours:
        signal.signal(number, request.receive)
    try:
        yield request
    finally:
        for number in ours:
            signal.signal(number, signal.SIG_DFL)
