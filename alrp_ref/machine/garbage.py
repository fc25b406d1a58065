"""Keeping Python's garbage collector from work that finds no garbage."""

import contextlib
import gc
from collections.abc import Iterator


@contextlib.contextmanager
def without_garbage_collection() -> Iterator[None]:
    """Make millions of objects in a third of the time: else Python looks through all of them again and again."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


@contextlib.contextmanager
def frozen_garbage() -> Iterator[None]:
    """Keep the garbage collector from what is there now.

    A collection writes to every object that it looks at, and of a page that is written to, each data worker gets a copy
    of its own: within an hour each would hold everything that is here once more.
    """
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
