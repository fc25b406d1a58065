"""One step of training."""

import contextlib
from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from alrp_ref.detection.criteria import Losses
from alrp_ref.detection.preprocess import normalise
from alrp_ref.training.prepare import Run

Batch = tuple[Tensor, list[dict[str, Any]]]
"""Images, (B, 3, H, W), and their targets."""


def training_step(run: Run, batches: Sequence[Batch], lr: float) -> Losses:
    """Forward and backward for each micro-batch, then one step of the optimiser.

    Each micro-batch is ranked by itself, as the images of each GPU are in the paper. Its loss is divided by their
    number, so that the gradients add up to the mean, which is what `DistributedDataParallel` makes of the gradients
    of its processes.

    Args: `batches`, the micro-batches of this process, in the memory of the host; `lr`, the learning rate.
    Returns: each part of the loss, mean over the micro-batches, on the device: nothing here waits for its value.
    """
    for group in run.optimiser.param_groups:
        group["lr"] = lr
    run.optimiser.zero_grad()
    parts = []
    with run.shared_balance.one_step(batches, partial(forward, run, run.model)):
        for number, batch in enumerate(batches, start=1):
            with _gradient_exchange(run, is_last=number == len(batches)):
                losses = forward(run, run.parallel, batch)
                (sum(losses.values()) / len(batches)).backward()
            parts.append({name: loss.detach() for name, loss in losses.items()})
    if run.model.recipe.clip_norm is not None:
        nn.utils.clip_grad_norm_(run.model.parameters(), run.model.recipe.clip_norm)
    run.optimiser.step()
    return {name: sum(part[name] for part in parts) / len(parts) for name in parts[0]}


def forward(run: Run, model: nn.Module, batch: Batch) -> Losses:
    """The losses of a micro-batch, which is copied to the device while the host continues."""
    images, targets = batch
    device = run.process.device
    images = normalise(images.to(device, non_blocking=True, memory_format=torch.channels_last))
    targets = [{name: target[name].to(device, non_blocking=True) for name in ("boxes", "labels")} for target in targets]
    with torch.autocast(device.type, torch.bfloat16, enabled=run.precision == "bfloat16"):
        return model(images, targets)


def _gradient_exchange(run: Run, *, is_last: bool) -> contextlib.AbstractContextManager:
    """Processes exchange gradients once a step: in the backward pass of the last micro-batch."""
    return contextlib.nullcontext() if is_last or run.process.world == 1 else run.parallel.no_sync()
