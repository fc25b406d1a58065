"""Processes that begin at once: each is forked from one that has imported PyTorch and the package already."""

from collections.abc import Callable
from pathlib import Path

from torch import multiprocessing

fresh = multiprocessing.get_context("forkserver")
fresh.set_forkserver_preload(["alrp_ref.training.loop", "alrp_ref.evaluation", "torch.utils.tensorboard", "pytest"])


def in_processes(function: Callable[[int, str], None], number: int, folder: Path) -> None:
    """Call `function(rank, folder)` in so many processes, and wait until all have ended."""
    multiprocessing.start_processes(function, (str(folder),), nprocs=number, start_method="forkserver")
