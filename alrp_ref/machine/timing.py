"""Measuring: medians of times taken in turn."""

import statistics
import time
from collections.abc import Callable, Mapping

import torch


def in_turn(
    functions: Mapping[str, Callable[[], object]],
    rounds: int = 5,
    clock: Callable[[Callable[[], object]], float] | None = None,
) -> dict[str, float]:
    """Seconds that each function takes: the median of `rounds`, in each of which all run once, one after the other.

    Whatever slows the machine down for a while slows them all, so ratios of these numbers mean something. A first
    round does not count. `clock` says what is measured of a call; None for `seconds`.
    """
    clock = clock or seconds
    times = {name: [] for name in functions}
    for _ in range(rounds + 1):
        for name, function in functions.items():
            times[name].append(clock(function))
    return {name: statistics.median(taken[1:]) for name, taken in times.items()}


def seconds(function: Callable[[], object]) -> float:
    """Seconds that one call takes, its work on a GPU included."""
    synchronise()
    began = time.perf_counter()
    function()
    synchronise()
    return time.perf_counter() - began


def synchronise() -> None:
    """Wait for the GPU, if there is one."""
    if torch.accelerator.is_available():
        torch.accelerator.synchronize()
