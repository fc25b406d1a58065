"""Whether a run may resume from the checkpoint in its folder, and from which step."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch.optim import Optimizer

from alrp_ref.detection.detector import Detector
from alrp_ref.detection.saved_model import load_checkpoint
from alrp_ref.machine.files import DataError


def check_same_run(path: Path, saved: dict[str, Any], wanted: dict[str, Any]) -> None:
    """Raise DataError, listing the differences, unless a checkpoint has the settings of this run."""
    if differences := list(_differences("", saved, wanted)):
        raise DataError(
            f"{path} is from another run; give another --out, or the same settings:\n  " + "\n  ".join(differences)
        )


def _differences(prefix: str, saved: dict[str, Any], wanted: dict[str, Any]) -> Iterator[str]:
    for key, now in wanted.items():
        was = saved.get(key)
        # Of two losses with other names, the options are not compared one by one.
        if isinstance(now, dict) and isinstance(was, dict) and was.get("name") == now.get("name"):
            yield from _differences(f"{prefix}{key}.", was, now)
        elif was != now:
            yield f"{prefix}{key}: {was!r:.60} there, {now!r:.60} now"


def resume(
    path: Path,
    identity: dict[str, Any],
    model: Detector,
    optimiser: Optimizer,
    total_steps: int,
    log: Callable[[str], None],
) -> int:
    """Load the checkpoint of a run, if there is one, into its model and optimiser; return the next step.

    What is resumed is logged, and whether the number of threads, on which the rounding of sums depends, is another now.

    Raises: DataError if the checkpoint is from another run or damaged.
    """
    if not path.exists():
        return 0
    # Earlier versions had no micro-batches, and did not note the precision.
    saved = {"accumulate": 1, "precision": identity["precision"]} | load_checkpoint(path)
    check_same_run(path, saved, identity)
    step = saved.get("step")
    try:
        if not isinstance(step, int) or not 0 <= step <= total_steps:
            raise ValueError(f"it says that it was written after {step!r} of {total_steps} steps")
        model.load_state_dict(saved["model"])
        optimiser.load_state_dict(saved.get("optimiser"))
    except (RuntimeError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{path} is damaged: {error}; move it away to start again") from error
    if step:
        log(f"resuming from step {step} of {path}")
        now = torch.get_num_threads()
        before = saved.get("threads", now)  # earlier versions did not note it
        if before != now and next(model.parameters()).device.type == "cpu":
            log(
                f"the steps before were done with {before} threads, and there are {now} now: sums are rounded "
                "differently, so the run will not be equal, bit for bit, to one that was never stopped; for that, give "
                f"the command with OMP_NUM_THREADS={before}"
            )
    return step
