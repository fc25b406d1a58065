"""The checkpoint in the folder of a run: whether the run may resume from it, and from which step."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch.optim import Optimizer

from alrp_ref.detection.detector import Detector
from alrp_ref.detection.saved_model import load_checkpoint, save_checkpoint
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
        elif _plain(was) != _plain(now):
            yield f"{prefix}{key}: {was!r:.60} there, {now!r:.60} now"


def _plain(value: Any) -> Any:
    """A tuple as JSON has it."""
    return list(value) if isinstance(value, tuple) else value


class Checkpoint:
    """The file that a run resumes from.

    Args: `path`; `identity`, the settings of the run, which the file keeps beside the state; `data`, for each split the
        digest of what is read.
    Attributes: `steps`, after how many the state in the file was taken; 0 without a file.
    """

    def __init__(self, path: Path, identity: dict[str, Any], data: dict[str, dict[str, str]]):
        self.path, self.identity, self.data = path, identity, data
        self.saved(0)

    def saved(self, steps: int) -> None:
        """Note that the file holds the state after so many steps: processes that did not write it must know, too."""
        self.steps, self._since = steps, time.perf_counter()

    @property
    def age(self) -> float:
        """Seconds since the state was saved, or since the run began."""
        return time.perf_counter() - self._since

    def write(self, model: Detector, optimiser: Optimizer, steps: int) -> None:
        """Save the state after so many steps. Raises: DataError if the file cannot be written."""
        state = {"model": model.state_dict(), "optimiser": optimiser.state_dict(), "step": steps, "data": self.data}
        save_checkpoint(self.path, self.identity | state | {"threads": torch.get_num_threads()})

    def resume(self, model: Detector, optimiser: Optimizer, total_steps: int, log: Callable[[str], None]) -> None:
        """Load the file, if there is one, into the model and the optimiser of its run.

        It logs from where the run resumes, and whether the validation data or the number of threads, on which the
        rounding of sums depends, have changed.

        Raises: DataError if the checkpoint is from another run, was trained on other data, or is damaged.
        """
        if not self.path.exists():
            return
        # Earlier versions had no micro-batches, and did not note the precision.
        saved = {"accumulate": 1, "precision": self.identity["precision"]} | load_checkpoint(self.path)
        step = saved.get("step")
        if saved["class_names"] == self.identity["class_names"]:  # more or fewer images also make another plan
            self._compare_data(saved.get("data") or self.data, step, log)  # earlier versions did not note it
        check_same_run(self.path, saved, self.identity)
        try:
            if not isinstance(step, int) or not 0 <= step <= total_steps:
                raise ValueError(f"it says that it was written after {step!r} of {total_steps} steps")
            model.load_state_dict(saved["model"])
            optimiser.load_state_dict(saved.get("optimiser"))
        except (RuntimeError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise DataError(f"{self.path} is damaged: {error}; move it away to start again") from error
        self.saved(step)
        if step:
            log(f"resuming from step {step} of {self.path}")
            if next(model.parameters()).device.type == "cpu":
                _compare_threads(saved.get("threads"), log)

    def _compare_data(self, before: dict[str, dict[str, str]], step: int, log: Callable[[str], None]) -> None:
        """Raise DataError if the training data are others than before `step`; log it of the validation data."""
        for split, now in self.data.items():
            changes = list(_differences("", before.get(split, now), now))
            if not changes:
                continue
            said = f"the annotations or pictures of {split} have changed since step {step} of {self.path}:\n  "
            said += "\n  ".join(changes)
            if split == "train2017":
                raise DataError(f"{said}\nGive another --out; --init-from {self.path} starts from these weights")
            log(f"{said}\nEarlier rows of evaluations.csv are of the former ones")


def _compare_threads(before: int | None, log: Callable[[str], None]) -> None:
    """Log that the number of threads has changed; `before` is None for earlier versions, which did not note it."""
    now = torch.get_num_threads()
    if before not in (None, now):
        log(
            f"the steps before were done with {before} threads, and there are {now} now: sums are rounded "
            "differently, so the run will not be equal, bit for bit, to one that was never stopped; for that, give "
            f"the command with OMP_NUM_THREADS={before}"
        )
