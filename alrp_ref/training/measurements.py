"""What is measured at each step stays on the device, and is read there for many steps at once."""

import math
import time
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from alrp_ref.detection.criteria import Losses, self_balance_of
from alrp_ref.machine.distributed import gather
from alrp_ref.machine.processes import summed
from alrp_ref.training.errors import Diverged, NothingToLearn
from alrp_ref.training.gradient_balance import GradientBalance


class _Step(NamedTuple):
    row: dict[str, float]  # the columns of the log that the host knows
    image_ids: Sequence[int]
    values: Tensor  # those on the device, in float32: the losses, then weights and ratios


class Measurements:
    """The losses, self-balance weights and gradient ratios of the steps since the last read.

    A host that reads a value from a GPU waits until the GPU has done all its work, and then the GPU waits until the
    host has found it more. So each step leaves one small tensor on the device, and `read` transfers those of many steps
    together.

    Args: `criteria` of the detector, by their prefix in the log; `batch_size` over all processes; `patience`, the
        number of steps without a positive, from the first of the run, after which it stops; 0 for any number.
    """

    def __init__(self, criteria: Mapping[str, nn.Module], batch_size: int, patience: int = 0):
        self.criteria, self.batch_size, self.patience = criteria, batch_size, patience
        self.gradient_balances = {prefix: GradientBalance(criterion) for prefix, criterion in criteria.items()}
        self._steps: list[_Step] = []
        self._losses: list[str] = []
        self._others: list[str] = []
        self.restart_clock()

    def restart_clock(self) -> None:
        """Leave the time until now out of the speed."""
        self._began = time.perf_counter()

    def add(self, row: dict[str, float], image_ids: Sequence[int], losses: Losses) -> None:
        """Keep what a step measured, after its backward pass: `row` is what the host knows of it."""
        one = next(iter(losses.values())).new_ones(())
        others = {}
        for prefix, criterion in self.criteria.items():
            balance, gradients = self_balance_of(criterion), self.gradient_balances[prefix]
            others[f"{prefix}weight"] = balance.weight if balance else one
            others[f"{prefix}balance"] = gradients.ratio
            gradients.reset()
        self._losses, self._others = list(losses), list(others)
        values = [*losses.values(), *others.values()]
        values = torch.stack([value.detach().to(one.device, torch.float32, non_blocking=True) for value in values])
        self._steps.append(_Step(row, image_ids, values))

    def read(self, saved: int) -> list[dict[str, float]]:
        """The rows of the log since the last read. All processes must call it after the same step.

        `images_per_s` of each is the mean over the steps that are read together.

        Raises, on all processes: Diverged for the first step at which the losses of one were not finite; `saved` is
            the step of the last checkpoint. NothingToLearn if `patience` is at an end.
        """
        if not self._steps:
            return []
        values = torch.stack([step.values for step in self._steps])  # (steps, columns)
        is_finite = values[:, : len(self._losses)].isfinite().all(dim=1)
        # Without a positive the localisation part is exactly 0.
        loc = [column for column, name in enumerate(self._losses) if name.endswith("loc")]
        has_positive = (values[:, loc] != 0).any(dim=1)
        counts = summed(torch.stack([~is_finite, has_positive], dim=1).to(values))  # on how many processes
        table = torch.cat([values, counts], dim=1).tolist()  # the only wait for the device
        steps, self._steps = self._steps, []
        speed = {"images_per_s": len(steps) * self.batch_size / (time.perf_counter() - self._began)}
        self.restart_clock()
        rows = []
        for step, (*numbers, failed, positive) in zip(steps, table, strict=True):
            measured = dict(zip([*self._losses, *self._others], numbers, strict=True))
            if failed:
                self._stop(step, measured, saved)
            if positive:
                self.patience = 0
            elif self.patience and step.row["step"] + 1 >= self.patience:
                raise NothingToLearn(int(step.row["step"]) + 1)
            rows.append(step.row | measured | speed)
        return rows

    def _stop(self, step: _Step, measured: Mapping[str, float], saved: int) -> None:
        """Raise the same error on all processes: that of the first whose losses are not finite."""
        wrong = [f"{name} is {measured[name]}" for name in self._losses if not math.isfinite(measured[name])]
        images, wrong = next(found for found in gather((step.image_ids, wrong)) if found[1])
        raise Diverged(int(step.row["step"]), images, ", ".join(wrong), saved)
