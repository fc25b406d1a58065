"""Measuring: medians of times taken in turn, and the most memory a function needs beyond what was there."""

import gc
import multiprocessing
import platform
import time
from collections.abc import Callable
from pathlib import Path

import torch

from alrp_ref.machine.timing import in_turn, seconds, synchronise

__all__ = ["cpu_seconds", "extra_memory", "in_turn", "machine", "seconds", "synchronise"]


def cpu_seconds(function: Callable[[], object]) -> float:
    """Seconds that this process is busy during one call, all its threads together: other jobs do not count."""
    began = time.process_time()
    function()
    return time.process_time() - began


def extra_memory(prepare: Callable, *args) -> int:
    """The most bytes a function needs beyond what was there when it began; `prepare(*args)` returns the function.

    In a process of its own. On a GPU it is PyTorch's own count; on a CPU, Linux's of the process's pages.
    """
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_extra_memory, (prepare, args))


def _extra_memory(prepare: Callable, args: tuple) -> int:
    function = prepare(*args)
    gc.collect()
    if torch.cuda.is_available():
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        function()
        return torch.cuda.max_memory_allocated() - before
    before = _kilobytes("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the high-water mark starts anew
    function()
    return 1024 * (_kilobytes("VmHWM") - before)


def _kilobytes(name: str) -> int:
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(name))
    return int(line.split()[1])


def machine() -> dict[str, str]:
    """What the numbers were measured on."""
    if torch.cuda.is_available():
        device = torch.cuda.get_device_name()
    else:
        device = f"{_processor()}, {torch.get_num_threads()} threads, {torch.backends.cpu.get_cpu_capability()}"
    return {"device": device, "torch": torch.__version__, "python": platform.python_version()}


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
