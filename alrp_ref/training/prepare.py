"""Everything that a run needs before its first step."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import nn
from torch.optim import SGD, Optimizer
from torch.utils.data import DataLoader

from alrp_ref.data import CocoDataset, collate
from alrp_ref.detection.detector import Detector
from alrp_ref.detection.saved_model import describe, save_checkpoint
from alrp_ref.machine import distributed
from alrp_ref.machine.worker_limits import BatchMemory
from alrp_ref.machine.workers import make_loader
from alrp_ref.training.checkpoint import Checkpoint
from alrp_ref.training.log import RunLog, read_metrics
from alrp_ref.training.measurements import Measurements
from alrp_ref.training.options import TrainOptions
from alrp_ref.training.plan import Plan
from alrp_ref.training.sampling import MicroBatches, SeededDataset, StepSampler
from alrp_ref.training.shared_balance import SharedBalance
from alrp_ref.training.step import Learner

STEPS_WITHOUT_POSITIVE = 50
"""A run without a positive in so many steps from its first on, or in all of its steps, learns nothing, and stops."""


class RunData(NamedTuple):
    """What a run reads: the images that it trains on, and those that it evaluates on, if there are any.

    `digests` of both splits, by their names.
    """

    train: CocoDataset
    val: CocoDataset | None
    digests: dict[str, dict[str, str]]


@dataclass(frozen=True, kw_only=True)
class TrainingState:
    """A training run between two steps, in one process."""

    learner: Learner
    """The model and all that changes it in a step."""
    loader: DataLoader
    """This process's micro-batches, from the step on that the run resumes from."""
    plan: Plan
    options: TrainOptions
    process: distributed.Process
    checkpoint: Checkpoint
    measurements: Measurements
    log: RunLog | None
    """Only the first process writes one."""

    @property
    def model(self) -> Detector:
        """The detector that is trained."""
        return self.learner.model

    def save(self, done: int) -> None:
        """Write the checkpoint, on the first process: the state after `done` steps."""
        if self.log is not None:
            self.log.sync()
            self.checkpoint.write(self.model, self.learner.optimiser, done)
        self.checkpoint.saved(done)

    def save_best(self, done: int, metric: str, value: float) -> None:
        """Write the weights after `done` steps to `best.pt`, for `load_model`."""
        best = {"metric": metric, "value": float(value), "step": done}
        content = {name: self.checkpoint.identity[name] for name in describe(self.model, [])}
        path = self.checkpoint.path.with_name("best.pt")
        save_checkpoint(path, content | {"model": self.model.state_dict(), "best": best})


def small_boxes(data: CocoDataset, size: int, stride: int) -> str | None:
    """What to say if a tenth of the boxes, or more, is below half a `stride` in the square that images are trained at.

    Args: `size` of the square, and the finest `stride`, in pixels.
    """
    images = np.arange(len(data.ids)).repeat(np.diff(data.ends, prepend=0))
    sides = (data.boxes[:, 2:] - data.boxes[:, :2]) * size / data.sizes[images]
    small = int((sides.min(axis=1) < stride / 2).sum())
    if small < max(1, 0.1 * len(sides)):
        return None
    return (
        f"{small:,} of {len(sides):,} boxes are less than {stride / 2:g} pixels wide or high at train_size {size}: the "
        f"finest stride is {stride}, and boxes below a pixel are dropped. Cut the pictures into tiles, or train at a "
        "larger size: --set train_size=..."
    )


def prepare(
    model: Detector,
    data: RunData,
    out: Path,
    process: distributed.Process,
    options: TrainOptions,
    log: Callable[[str], None],
) -> TrainingState:
    """Make a run of a new model, or resume the one whose checkpoint is in the folder `out`, and `log` its summary.

    Raises: DataError if the checkpoint is of another run, or damaged.
    """
    train_set = data.train
    plan = Plan.of(model.recipe, len(train_set), options)
    model.class_names = train_set.class_names
    model.to(process.device, memory_format=torch.channels_last)  # convolutions are faster so, on a CPU too
    optimiser = make_optimiser(model, plan.lr, process.device)
    identity = describe(model, train_set.category_ids) | {"plan": asdict(plan)} | options.identity
    checkpoint = Checkpoint(out / "checkpoint.pt", identity, data.digests)
    checkpoint.resume(model, optimiser, plan.total_steps, log)
    start = checkpoint.steps
    distributed.check_same_on_all(start, "step to resume from: give all of them one folder that all can read")
    learner = make_learner(model, optimiser, process, options)
    log(_summary(learner, plan, train_set, options))
    run_log = RunLog(out, start, plan.total_steps, two_stages=len(model.criteria) > 1) if process.is_first else None
    sampler = StepSampler(len(train_set), plan.batch_size, start, plan.total_steps, seed=options.seed)
    return TrainingState(
        learner=learner,
        loader=_loader(train_set, sampler, model.recipe.train_size, process, options, log),
        plan=plan,
        options=options,
        process=process,
        checkpoint=checkpoint,
        measurements=Measurements(model.criteria, plan.batch_size, _patience(out, start, plan.total_steps)),
        log=run_log,
    )


def make_optimiser(model: Detector, lr: float, device: torch.device) -> SGD:
    """Stochastic gradient descent by the recipe. On a GPU each step is one kernel for many tensors.

    On a CPU that kernel rounds some numbers differently: there runs stay what they were, to the last bit.
    """
    learnable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    options = {"momentum": model.recipe.momentum, "weight_decay": model.recipe.weight_decay}
    return SGD(learnable, lr, **options, fused=True if device.type == "cuda" else None)


def make_learner(model: Detector, optimiser: Optimizer, process: distributed.Process, options: TrainOptions) -> Learner:
    """All that a step of training needs, in one process or in `DistributedDataParallel`."""
    return Learner(
        model=model,
        parallel=model if process.world == 1 else nn.parallel.DistributedDataParallel(model),
        optimiser=optimiser,
        shared_balance=SharedBalance(model.criteria.values(), options.accumulate),
        process=process,
        precision=options.precision or ("bfloat16" if has_bfloat16(process.device) else "float32"),
    )


def has_bfloat16(device: torch.device) -> bool:
    """Whether a GPU, or a processor, has instructions for bfloat16. Emulated, it is slower than float32.

    Of processors, those for whose instructions PyTorch has convolutions on every system; torch 2.6 does not know them.
    """
    if device.type == "cpu":
        known = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
        return any(known.get(name, False) for name in ("avx512_bf16", "amx_bf16"))
    return device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)


def _patience(out: Path, start: int, total_steps: int) -> int:
    """The number of steps without a positive after which the run stops; 0 if it has had one."""
    has_learned = start >= STEPS_WITHOUT_POSITIVE or any(
        row["step"] < start and (row["loss_loc"] or row.get("loss_rpn_loc"))
        for row in read_metrics(out / "metrics.csv")
    )
    return 0 if has_learned else min(STEPS_WITHOUT_POSITIVE, total_steps)


def _loader(
    data: CocoDataset,
    steps: StepSampler,
    image_size: int,
    process: distributed.Process,
    options: TrainOptions,
    log: Callable[[str], None],
) -> DataLoader:
    micro_batches = MicroBatches(steps, options.accumulate, process.rank, process.world)
    images = micro_batches.size
    return make_loader(
        SeededDataset(data, options.seed),
        micro_batches,
        collate,
        workers=options.workers,
        batch=BatchMemory(size=images * 3 * image_size**2, tensors=1 + 2 * images),  # pixels of 8 bits
        processes=process.world,
        pin_memory=process.device.type == "cuda",
        log=log,
    )


def _summary(learner: Learner, plan: Plan, data: CocoDataset, options: TrainOptions) -> str:
    recipe, process = learner.model.recipe, learner.process
    parts = f", {options.accumulate} micro-batches each" * (options.accumulate > 1)
    without = f" ({data.left_out} without objects left out)" * bool(data.left_out)
    chosen = ""
    if options.precision is None and learner.precision == "bfloat16":
        chosen = f", for which this {process.device.type} has instructions; --precision float32 has more digits"
    lines = [
        f"{recipe.name}: {len(data)} images{without}, {plan.total_steps} steps of {plan.batch_size} "
        f"({plan.total_steps / plan.steps_per_epoch:.1f} epochs) on {process.world} x {process.device.type}{parts}, "
        f"in {learner.precision}{chosen}",
        f"learning rate {plan.lr:g}, a tenth of it from steps {', '.join(map(str, plan.milestones))}",
    ]
    return "\n".join([*lines, *filter(None, [recipe.loss.note])])
