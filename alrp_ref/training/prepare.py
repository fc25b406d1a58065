"""Everything that a run needs before its first step."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn
from torch.optim import SGD, Optimizer
from torch.utils.data import DataLoader

from alrp_ref.data import CocoDataset, collate
from alrp_ref.detection.detector import Detector
from alrp_ref.detection.recipes import Recipe
from alrp_ref.detection.saved_model import describe, save_checkpoint
from alrp_ref.machine import distributed
from alrp_ref.machine.worker_limits import Batch
from alrp_ref.machine.workers import make_loader
from alrp_ref.training.checkpoint import resume
from alrp_ref.training.log import RunLog, read_metrics
from alrp_ref.training.measurements import Measurements
from alrp_ref.training.plan import Plan
from alrp_ref.training.sampling import SeededDataset, StepSampler
from alrp_ref.training.schedule import learning_rate
from alrp_ref.training.shared_balance import SharedBalance

Precision = Literal["bfloat16", "float32"]

STEPS_WITHOUT_POSITIVE = 50
"""A run without a positive in so many steps from its first on, or in all of its steps, learns nothing, and stops."""


@dataclass(frozen=True, kw_only=True)
class Run:
    """A training run."""

    model: Detector
    parallel: nn.Module
    """The model, in `DistributedDataParallel` if there are many processes."""
    optimiser: Optimizer
    learning_rate: Callable[[int], float]
    """Of each step."""
    loader: DataLoader
    """This process's micro-batches, from step `start` on."""
    workers: int
    """Processes that were asked for to read images."""
    accumulate: int
    """Micro-batches of a step in each process."""
    precision: Precision
    """Of the forward pass."""
    shared_balance: SharedBalance
    plan: Plan
    process: distributed.Process
    start: int
    """The step to resume from; 0 in a new run."""
    checkpoint: Path
    identity: dict[str, Any]
    """What the checkpoint of this very run holds beside its state."""
    measurements: Measurements
    log: RunLog | None
    """Only the first process writes one."""

    def save(self, step: int) -> None:
        """Write the checkpoint, on the first process: the state after `step` steps."""
        if self.log is not None:
            self.log.sync()
            state = {"model": self.model.state_dict(), "optimiser": self.optimiser.state_dict(), "step": step}
            save_checkpoint(self.checkpoint, self.identity | state | {"threads": torch.get_num_threads()})


def prepare(
    model: Detector,
    data: CocoDataset,
    plan: Plan,
    out: Path,
    process: distributed.Process,
    *,
    accumulate: int,
    precision: Precision | None,
    workers: int,
    seed: int,
    log: Callable[[str], None],
) -> Run:
    """Make a run of a new model, or resume the one whose checkpoint is in the folder `out`, and `log` its summary.

    Raises: DataError if the checkpoint is of another run, or damaged.
    """
    model.class_names = data.class_names
    model.to(process.device, memory_format=torch.channels_last)  # convolutions are faster so, on a CPU too
    recipe, learnable = model.recipe, [p for p in model.parameters() if p.requires_grad]
    optimiser = SGD(learnable, plan.lr, momentum=recipe.momentum, weight_decay=recipe.weight_decay)
    checkpoint = out / "checkpoint.pt"
    options = {"seed": seed, "accumulate": accumulate, "precision": precision}
    identity = describe(model, data.category_ids) | {"plan": asdict(plan)} | options
    start = resume(checkpoint, identity, model, optimiser, plan.total_steps, log)
    distributed.check_same_on_all(start, "step to resume from: give all of them one folder that all can read")
    precision = precision or ("bfloat16" if has_bfloat16(process.device) else "float32")
    log(_summary(recipe, plan, len(data), process, accumulate, precision))
    run_log = RunLog(out, start, plan.total_steps, two_stages=len(model.criteria) > 1) if process.is_first else None
    has_learned = start >= STEPS_WITHOUT_POSITIVE or any(
        row["step"] < start and (row["loss_loc"] or row.get("loss_rpn_loc"))
        for row in read_metrics(out / "metrics.csv")
    )
    patience = 0 if has_learned else min(STEPS_WITHOUT_POSITIVE, plan.total_steps)
    return Run(
        model=model,
        parallel=model if process.world == 1 else nn.parallel.DistributedDataParallel(model),
        optimiser=optimiser,
        learning_rate=_schedule(model, plan),
        loader=_loader(data, recipe, plan, start, process, accumulate=accumulate, workers=workers, seed=seed, log=log),
        workers=workers,
        accumulate=accumulate,
        precision=precision,
        shared_balance=SharedBalance(model.criteria.values(), accumulate),
        plan=plan,
        process=process,
        start=start,
        checkpoint=checkpoint,
        identity=identity,
        measurements=Measurements(model.criteria, plan.batch_size, patience),
        log=run_log,
    )


def _schedule(model: Detector, plan: Plan) -> Callable[[int], float]:
    return partial(
        learning_rate,
        base=plan.lr,
        warmup_steps=plan.warmup_steps,
        warmup_factor=model.recipe.warmup_factor,
        milestones=plan.milestones,
    )


def _loader(
    data: CocoDataset,
    recipe: Recipe,
    plan: Plan,
    start: int,
    process: distributed.Process,
    *,
    accumulate: int,
    workers: int,
    seed: int,
    log: Callable[[str], None],
) -> DataLoader:
    sampler = StepSampler(
        len(data),
        plan.batch_size,
        start,
        plan.total_steps,
        seed=seed,
        rank=process.rank,
        world=process.world,
        accumulate=accumulate,
    )
    images = plan.batch_size // (process.world * accumulate)
    return make_loader(
        SeededDataset(data, seed),
        sampler,
        collate,
        workers=workers,
        batch=Batch(size=images * 3 * recipe.train_size**2, tensors=1 + 2 * images),  # pixels of 8 bits
        processes=process.world,
        pin_memory=process.device.type == "cuda",
        log=log,
    )


def has_bfloat16(device: torch.device) -> bool:
    """Whether a GPU has instructions for bfloat16. Emulated, it is slower than float32."""
    return device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)


def _summary(
    recipe: Recipe, plan: Plan, num_images: int, process: distributed.Process, accumulate: int, precision: Precision
) -> str:
    devices = f"{process.world} x {process.device.type}" + f", {accumulate} micro-batches each" * (accumulate > 1)
    lines = [
        f"{recipe.name}: {num_images} images, {plan.total_steps} steps of {plan.batch_size} "
        f"({plan.total_steps / plan.steps_per_epoch:.1f} epochs) on {devices}, in {precision}",
        f"learning rate {plan.lr:g}, a tenth of it from steps {', '.join(map(str, plan.milestones))}",
    ]
    return "\n".join([*lines, *filter(None, [recipe.loss.note])])
