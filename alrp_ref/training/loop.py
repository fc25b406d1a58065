"""The training loop: from a recipe and a data set in COCO's layout to a trained detector."""

import contextlib
import gc
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils.data import DataLoader

from alrp_ref.coco import CocoDataset, DataError, Metrics, collate, detect, evaluate, train_transform
from alrp_ref.coco.files import locked, write_whole, writing
from alrp_ref.detection import Recipe, build_detector
from alrp_ref.detection.detector import Detector
from alrp_ref.detection.recipes import get_recipe
from alrp_ref.training import distributed
from alrp_ref.training.balance import Balance
from alrp_ref.training.checkpoint import describe, resume, save_checkpoint
from alrp_ref.training.log import RunLog
from alrp_ref.training.plan import Plan
from alrp_ref.training.sampling import SeededDataset, StepSampler
from alrp_ref.training.schedule import learning_rate

SECONDS_BETWEEN_CHECKPOINTS = 120
"""An epoch of COCO takes an hour or more; this is the most a crash can cost."""


class TrainingStopped(Exception):
    """Training cannot go on: the message says why, what is safe, and what to do."""


class Diverged(TrainingStopped):
    """The loss is no longer finite: the message says at which step, and for which images."""


def train(
    recipe: str | Recipe,
    coco: str | os.PathLike,
    out: str | os.PathLike,
    *,
    steps: int | None = None,
    epochs: float | None = None,
    backbone_weights: str | os.PathLike | None = None,
    pretrained_backbone: bool = False,
    eval_every: int | None = None,
    workers: int = 2,
    device: str | None = None,
    seed: int = 0,
    say: Callable[[str], None] = print,
) -> tuple[Detector, Metrics | None]:
    """Train a detector, or go on where the same command was stopped.

    Args:
        recipe: a name of `RECIPES`, or a `Recipe`.
        coco: folder in COCO's layout; trains on train2017, evaluates on val2017 where that exists.
        out: folder of the run: `checkpoint.pt`, `metrics.csv`, `tensorboard/`, `detections.json`, `metrics.json`.
        steps, epochs: a shorter (or longer) run than the recipe's, its schedule scaled in proportion.
        backbone_weights: file with the backbone's ImageNet weights.
        pretrained_backbone: or download torchvision's.
        eval_every: evaluate every so many epochs, not only at the end.
        workers: processes that read and augment images.
        device: "cpu", "cuda", ...; the GPU if there is one.
        seed: of the initial weights, the order of the images and their augmentation.
        say: where messages go.

    Returns: the model, in evaluation mode, and what it reaches on val2017; None without val2017, or on all but the
        first process.
    Raises: DataError or ValueError for input that cannot be used; Diverged if the loss is no longer finite;
        TrainingStopped if a process that reads images was killed.
    """
    recipe, out = get_recipe(recipe), Path(out)
    if out.exists() and not out.is_dir():
        raise DataError(f"{out} is a file; give the name of a folder for the run")
    process = distributed.start(device)
    try:
        if recipe.batch_size % process.world:
            raise ValueError(f"batch_size must be a multiple of the {process.world} processes, got {recipe.batch_size}")
        data, val = _data_sets(Path(coco), recipe)
        plan = Plan.of(recipe, len(data), steps=steps, epochs=epochs)
        weights = {"pretrained_backbone": pretrained_backbone, "backbone_weights": backbone_weights}
        say = say if process.is_first else lambda text: None
        with _alone(out) if process.is_first else contextlib.nullcontext():
            return _train(recipe, plan, data, val, out, process, weights, eval_every, workers, seed, say)
    finally:
        distributed.stop()


def _data_sets(coco: Path, recipe: Recipe) -> tuple[CocoDataset, CocoDataset | None]:
    """What is trained on, and what is evaluated on, if there is such a split. Raises: DataError if they do not fit."""
    data = CocoDataset(coco, "train2017", train_transform(recipe))
    if not (coco / "annotations" / "instances_val2017.json").is_file():
        return data, None
    val = CocoDataset(coco, "val2017", keep_empty=True)
    if (val.category_ids, val.class_names) != (data.category_ids, data.class_names):
        raise DataError(f"{val.annotation_file} has other categories than {data.annotation_file}; make them the same")
    return data, val


@contextlib.contextmanager
def _alone(out: Path) -> Iterator[None]:
    """Keep a second run from writing to the same folder."""
    with contextlib.ExitStack() as stack:
        with writing(out / "lock"):
            is_ours = stack.enter_context(locked(out / "lock", wait=False))
        if not is_ours:
            raise DataError(f"another run is writing to {out}: wait until it has ended, or give another folder")
        yield


def _train(
    recipe: Recipe,
    plan: Plan,
    data: CocoDataset,
    val: CocoDataset | None,
    out: Path,
    process: distributed.Process,
    weights: Mapping[str, Any],
    eval_every: int | None,
    workers: int,
    seed: int,
    say: Callable[[str], None],
) -> tuple[Detector, Metrics | None]:
    torch.manual_seed(seed)
    model = build_detector(
        recipe,
        num_classes=len(data.class_names),
        self_balance_period=plan.self_balance_period,
        **weights,
    )
    model.class_names = data.class_names
    model.to(process.device, memory_format=torch.channels_last)  # convolutions are faster so, on a CPU too
    learnable = [p for p in model.parameters() if p.requires_grad]
    optimiser = torch.optim.SGD(learnable, plan.lr, momentum=recipe.momentum, weight_decay=recipe.weight_decay)

    path = out / "checkpoint.pt"
    identity = describe(model, data.category_ids) | {"plan": asdict(plan), "seed": seed}
    start = resume(path, identity, model, optimiser, plan.total_steps)
    distributed.check_same(start, "step to go on from: give all of them one folder that all can read")
    if start:
        say(f"going on from step {start} of {path}")

    sampler = StepSampler(
        len(data), plan.batch_size, start, plan.total_steps, seed=seed, rank=process.rank, world=process.world
    )
    loader = DataLoader(
        SeededDataset(data, seed),
        batch_sampler=sampler,
        collate_fn=collate,
        num_workers=workers,
        pin_memory=process.device.type == "cuda",
    )
    schedule = partial(
        learning_rate,
        base=plan.lr,
        warmup_steps=plan.warmup_steps,
        warmup_factor=recipe.warmup_factor,
        milestones=plan.milestones,
    )
    wrapped: nn.Module = model
    if process.world > 1:
        wrapped = nn.parallel.DistributedDataParallel(model)
    say(_summary(recipe, plan, len(data), process))
    log = None
    if process.is_first:
        log = RunLog(out, start, plan.total_steps, two_stages=len(model.criteria) > 1)
    balances = {f"{prefix}balance": Balance(criterion) for prefix, criterion in model.criteria.items()}

    def save(step: int) -> None:
        if log is not None:
            log.sync()
            state = {"model": model.state_dict(), "optimiser": optimiser.state_dict(), "step": step}
            save_checkpoint(path, identity | state)

    def check(done: int) -> Metrics | None:
        """Evaluate on val2017, where there is one."""
        if log is None or val is None:
            return None
        metrics = validate(model, val, out, process.device)
        log.evaluation(done, metrics)
        model.train()
        return metrics

    # A garbage collection writes to all objects that it looks at, and what is written to, each data worker copies:
    # within an hour each would hold everything that is here once more.
    gc.collect()
    gc.freeze()
    saved = start
    try:
        model.train()
        began = saved_at = time.perf_counter()
        for step, (images, targets) in _watched(loader, start):
            lr = schedule(step)
            for group in optimiser.param_groups:
                group["lr"] = lr
            losses = _losses(wrapped, images, targets, process.device, step, saved)
            optimiser.zero_grad()
            sum(losses.values()).backward()
            if recipe.clip_norm is not None:
                nn.utils.clip_grad_norm_(learnable, recipe.clip_norm)
            optimiser.step()

            done, now = step + 1, time.perf_counter()
            ratios = {name: balance.ratio for name, balance in balances.items()}
            if log is not None:
                row = {name: float(loss.detach()) for name, loss in losses.items()}
                row |= {"step": step, "epoch": step // plan.steps_per_epoch, "lr": lr}
                for prefix, criterion in model.criteria.items():
                    row[f"{prefix}weight"] = float(criterion.self_balance.weight) if criterion.self_balance else 1.0
                row |= ratios | {"images_per_s": plan.batch_size / (now - began)}
                log.step(row)
            began = now
            last, epoch_ends = done == plan.total_steps, done % plan.steps_per_epoch == 0
            if last or epoch_ends or now - saved_at > SECONDS_BETWEEN_CHECKPOINTS:
                save(done)
                saved, saved_at = done, now
            if eval_every and epoch_ends and not last and done // plan.steps_per_epoch % eval_every == 0:
                check(done)
                began = time.perf_counter()
        metrics = check(plan.total_steps)
    finally:
        gc.unfreeze()
        if log is not None:
            log.close()
    return model.eval(), metrics


def _watched(loader: DataLoader, start: int) -> Iterator[tuple[int, Any]]:
    """The steps and their batches. Raises: TrainingStopped, with what to do, if a data worker was killed."""
    try:
        yield from enumerate(loader, start)
    except RuntimeError as error:
        if "DataLoader worker" not in str(error):
            raise
        raise TrainingStopped(
            f"training stopped: a process that reads images was killed, mostly for want of memory ({error}). Give the "
            "same command again, with fewer --workers if that was it"
        ) from error


def validate(model: Detector, data: CocoDataset, out: Path | None, device: torch.device) -> Metrics:
    """Evaluate a detector on a split; with `out`, write `detections.json` and `metrics.json` there.

    Args: `data`, made with ``keep_empty=True``, so that what is found on images without objects counts, too.
    """
    detections = detect(model.eval(), data, device)
    metrics = evaluate(data.annotation_file, detections)
    if out is not None:
        for name, content in (("detections", detections), ("metrics", metrics.to_dict())):
            write_whole(out / f"{name}.json", json.dumps(content))
    return metrics


def _losses(
    model: nn.Module, images: torch.Tensor, targets: list[dict], device: torch.device, step: int, saved: int
) -> dict[str, torch.Tensor]:
    ids = [target["image_id"] for target in targets]
    images = images.to(device, non_blocking=True, memory_format=torch.channels_last)
    targets = [{name: target[name].to(device) for name in ("boxes", "labels")} for target in targets]
    # Emulated, on GPUs before Ampere, bfloat16 is slower than float32.
    half = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    try:
        with torch.autocast(device.type, torch.bfloat16, enabled=half):
            losses = model(images, targets)
        wrong = [f"{name} is {float(loss.detach())}" for name, loss in losses.items() if not loss.isfinite()]
        reason = ", ".join(wrong)
    except ValueError as error:  # the loss refuses logits and boxes that are not finite
        reason = str(error)
    if reason:
        kept = f"the checkpoint holds the state after {saved} steps" if saved else "there is no checkpoint yet"
        where = f"training stopped at step {step}, images {ids}"
        raise Diverged(f"{where}: {reason}; {kept}. Begin anew with a lower learning rate.")
    return losses


def _summary(recipe: Recipe, plan: Plan, num_images: int, process: distributed.Process) -> str:
    lines = [
        f"{recipe.name}: {num_images} images, {plan.total_steps} steps of {plan.batch_size} "
        f"({plan.total_steps / plan.steps_per_epoch:.1f} epochs) on {process.world} x {process.device.type}",
        f"learning rate {plan.lr:g}, a tenth of it from steps {', '.join(map(str, plan.milestones))}",
    ]
    if recipe.loss == "alrp":
        lines.append(
            "loss_loc holds the self-balance weight, which is renewed every epoch: the total may rise there, and should"
        )
    return "\n".join(lines)
