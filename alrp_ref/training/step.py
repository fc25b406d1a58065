"""One step of training."""

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from alrp_ref.detection.criteria import Losses
from alrp_ref.detection.detector import Detector
from alrp_ref.detection.preprocess import normalise
from alrp_ref.machine.distributed import Process
from alrp_ref.training.options import Precision
from alrp_ref.training.shared_balance import SharedBalance

Batch = tuple[Tensor, list[dict[str, Any]]]
"""Images, (B, 3, H, W), and their targets."""


@dataclass(frozen=True, kw_only=True)
class Learner:
    """What a step of training needs beside the images and the learning rate."""

    model: Detector
    parallel: nn.Module
    """The model, in `DistributedDataParallel` if there are many processes."""
    optimiser: Optimizer
    shared_balance: SharedBalance
    process: Process
    precision: Precision
    """Of the forward pass."""


def training_step(learner: Learner, batches: Sequence[Batch], lr: float) -> Losses:
    """Forward and backward for each micro-batch, then one step of the optimiser.

    Each micro-batch is ranked by itself, as the images of each GPU are in the paper. Its loss is divided by their
    number, so that the gradients add up to the mean, which is what `DistributedDataParallel` makes of the gradients
    of its processes.

    Args: `batches`, the micro-batches of this process, in the memory of the host; `lr`, the learning rate.
    Returns: each part of the loss, mean over the micro-batches, on the device: nothing here waits for its value.
    """
    for group in learner.optimiser.param_groups:
        group["lr"] = lr
    learner.optimiser.zero_grad()
    parts = []
    with learner.shared_balance.one_step(batches, partial(forward, learner, learner.model)):
        for number, batch in enumerate(batches, start=1):
            with _gradient_exchange(learner, is_last=number == len(batches)):
                losses = forward(learner, learner.parallel, batch)
                (sum(losses.values()) / len(batches)).backward()
            parts.append({name: loss.detach() for name, loss in losses.items()})
    if learner.model.recipe.clip_norm is not None:
        nn.utils.clip_grad_norm_(learner.model.parameters(), learner.model.recipe.clip_norm)
    learner.optimiser.step()
    return {name: sum(part[name] for part in parts) / len(parts) for name in parts[0]}


def forward(learner: Learner, model: nn.Module, batch: Batch) -> Losses:
    """The losses of a micro-batch, which is copied to the device while the host continues."""
    images, targets = batch  # targets stay where they are: the model checks them there, and copies them at once
    device = learner.process.device
    images = normalise(images.to(device, non_blocking=True, memory_format=torch.channels_last))
    with torch.autocast(device.type, torch.bfloat16, enabled=learner.precision == "bfloat16"):
        return model(images, targets)


def _gradient_exchange(learner: Learner, *, is_last: bool) -> contextlib.AbstractContextManager:
    """Processes exchange gradients once a step: in the backward pass of the last micro-batch."""
    return contextlib.nullcontext() if is_last or learner.process.world == 1 else learner.parallel.no_sync()
