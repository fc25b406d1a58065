"""The training loop: from a recipe and a data set in COCO's layout to a trained detector."""

import contextlib
import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_args

import torch

from alrp_ref.data import CocoDataset, Layout, train_transform
from alrp_ref.data.annotations.read import possible_mistakes
from alrp_ref.detection import Recipe, build_detector
from alrp_ref.detection.detector import Detector
from alrp_ref.detection.initial_weights import load_initial_weights
from alrp_ref.detection.recipes import get_recipe
from alrp_ref.evaluation import Metrics, detect, evaluate, rank_correlation
from alrp_ref.machine import distributed, signals
from alrp_ref.machine.files import DataError, locked_folder, refuse_input, write_atomic
from alrp_ref.machine.garbage import frozen_garbage
from alrp_ref.machine.workers import WorkersFailed, batches, failures_explained
from alrp_ref.training.errors import Diverged, Preempted, TrainingStopped
from alrp_ref.training.plan import Plan
from alrp_ref.training.prepare import Precision, Run, prepare
from alrp_ref.training.step import Batch, training_step

SECONDS_BETWEEN_CHECKPOINTS = 120
"""An epoch of COCO takes an hour or more; this is the most a crash can cost."""

STEPS_BETWEEN_READS = {"cuda": 20}
"""By the kind of device, 1 for others. A GPU is waited for once in so many steps, when what they measured is read and
logged. On a CPU reading is free, and the log has every step as soon as it is done."""


def train(
    recipe: str | Recipe,
    coco: str | os.PathLike | Layout,
    out: str | os.PathLike,
    *,
    steps: int | None = None,
    epochs: float | None = None,
    accumulate: int = 1,
    precision: Precision | None = None,
    backbone_weights: str | os.PathLike | None = None,
    pretrained_backbone: bool = False,
    init_from: str | os.PathLike | None = None,
    eval_every: int | None = None,
    workers: int = 2,
    cache: bool = False,
    device: str | None = None,
    seed: int = 0,
    log: Callable[[str], None] = print,
) -> tuple[Detector, Metrics | None]:
    """Train a detector, or resume where the same command was stopped.

    Args:
        recipe: a name of `RECIPES`, or a `Recipe`.
        coco: folder in COCO's layout, or what else `CocoDataset` takes; trains on train2017, evaluates on val2017 where
            that exists.
        out: folder of the run: `checkpoint.pt`, `metrics.csv`, `evaluations.csv`, `tensorboard/`, and of the last
            evaluation `detections.json` and `metrics.json`.
        steps, epochs: a shorter (or longer) run than the recipe's, its schedule scaled in proportion.
        accumulate: micro-batches that each process makes of its share of a batch, so that it needs the memory of one.
            Each is ranked by itself: K micro-batches train as one in each of K processes.
        precision: "bfloat16" or "float32", of the forward pass of the network; the loss is in float32 in both. None for
            bfloat16 on GPUs that have instructions for it, and float32 elsewhere.
        backbone_weights: file with the backbone's ImageNet weights.
        pretrained_backbone: or download torchvision's.
        init_from: or begin from a detector: a `checkpoint.pt` of ours or a `.pth` of the release. What fits is loaded,
            what does not is logged. A run that is resumed does not read it again.
        eval_every: evaluate every so many epochs, not only at the end.
        workers: processes that read and augment images.
        cache: decode all training images at the start and keep them; see `CocoDataset`.
        device: "cpu", "cuda", ...; the GPU if there is one.
        seed: of the initial weights, the order of the images and their augmentation.
        log: where messages go.

    Returns: the model, in evaluation mode, and what it reaches on val2017; None without val2017, or on all but the
        first process.
    Raises: DataError or ValueError for input that cannot be used; Diverged if the loss is no longer finite;
        NothingToLearn if none of the first 50 steps has a positive; TrainingStopped if data workers have failed;
        Preempted after SIGTERM or SIGUSR1, once a checkpoint holds all steps so far.
    """
    recipe, out = get_recipe(recipe), Path(out)
    if out.exists() and not out.is_dir():
        raise DataError(f"{out} is a file; give the name of a folder for the run")
    if init_from is not None and (pretrained_backbone or backbone_weights is not None):
        raise ValueError("init_from brings the weights of the backbone along: give none beside it")
    if precision not in (None, *get_args(Precision)):
        raise ValueError(f"precision must be one of {', '.join(get_args(Precision))} or None, got {precision!r}")
    process = distributed.start(device)
    try:
        _check_micro_batches(recipe, process.world, accumulate)
        layout = Layout.of(coco)
        for name in ("metrics.csv", "evaluations.csv", "detections.json", "metrics.json", "checkpoint.pt"):
            refuse_input(out / name, [split.annotations for split in layout.splits.values()])
        data, val = _data_sets(layout, recipe, cache)
        plan = Plan.of(recipe, len(data), steps=steps, epochs=epochs)
        log = log if process.is_first else lambda text: None
        for line in possible_mistakes(data.annotation_file) if process.is_first else ():
            log(f"{data.annotation_file}: may be a mistake: {line}")
        with locked_folder(out) if process.is_first else contextlib.nullcontext():
            torch.manual_seed(seed)
            model = build_detector(
                recipe,
                num_classes=len(data.class_names),
                self_balance_period=recipe.loss.self_balance_period(plan.steps_per_epoch),
                pretrained_backbone=pretrained_backbone,
                backbone_weights=backbone_weights,
            )
            if init_from is not None and not (out / "checkpoint.pt").exists():
                log(load_initial_weights(model, init_from, data.class_names))
            options = {"accumulate": accumulate, "precision": precision, "workers": workers, "seed": seed, "log": log}
            return _train(prepare(model, data, plan, out, process, **options), val, eval_every)
    finally:
        distributed.stop()


def _check_micro_batches(recipe: Recipe, world: int, accumulate: int) -> None:
    """Raise ValueError unless each process can make `accumulate` equal micro-batches of its share of a batch."""
    if accumulate < 1:
        raise ValueError(f"accumulate must be 1 or more, got {accumulate}")
    if recipe.batch_size % (world * accumulate):
        shares = f"{world * accumulate} ({world} processes x {accumulate} micro-batches)"
        raise ValueError(f"batch_size must be a multiple of {shares}, got {recipe.batch_size}")
    if accumulate > 1 and recipe.loss.rank_scope == "global":
        raise ValueError('accumulate ranks each micro-batch by itself, and rank_scope "global" ranks the whole batch')


def _data_sets(layout: Layout, recipe: Recipe, cache: bool) -> tuple[CocoDataset, CocoDataset | None]:
    """What is trained on, and what is evaluated on, if there is such a split. Raises: DataError if they do not fit."""
    data = CocoDataset(layout, "train2017", train_transform(recipe), cache=cache)
    if layout.val is None:
        return data, None
    val = CocoDataset(layout, "val2017", keep_empty=True)
    if (val.category_ids, val.class_names) != (data.category_ids, data.class_names):
        raise DataError(f"{val.annotation_file} has other categories than {data.annotation_file}; make them the same")
    return data, val


def _train(run: Run, val: CocoDataset | None, eval_every: int | None) -> tuple[Detector, Metrics | None]:
    """Every step of a run; what they measured is read, logged and saved when due."""
    plan, saved, saved_at = run.plan, run.start, time.perf_counter()
    steps_between_reads = STEPS_BETWEEN_READS.get(run.process.device.type, 1)
    log = contextlib.nullcontext() if run.log is None else contextlib.closing(run.log)
    with frozen_garbage(), log, _stopped_by_workers(), signals.listening() as request:

        def evaluate_between(done: int) -> None:
            """Evaluate after `done` steps, if that is due and was not done before the run was stopped."""
            if not eval_every or done in (0, plan.total_steps) or done % (eval_every * plan.steps_per_epoch):
                return
            if run.log is not None and done not in run.log.evaluated_steps:
                request.interruptible(lambda: _evaluate(run, val, done))
            if (number := request.on_any()) is not None:  # the others have waited for the evaluation
                raise Preempted(number, run.checkpoint, saved)
            run.measurements.restart_clock()

        run.model.train()
        evaluate_between(run.start)
        run.measurements.restart_clock()
        for step, micro_batches in _steps(run):
            images = [target["image_id"] for _, targets in micro_batches for target in targets]
            lr = run.learning_rate(step)
            try:
                losses = training_step(run, micro_batches, lr)
            except ValueError as error:  # on a CPU the loss refuses logits and boxes that are not finite
                raise Diverged(step, images, str(error), saved) from error
            run.measurements.add({"step": step, "epoch": step // plan.steps_per_epoch, "lr": lr}, images, losses)

            # All processes read after the same steps: none of these conditions is a matter of time. And nothing is
            # saved or evaluated before it was read that all losses were finite.
            done = step + 1
            last, epoch_ends = done == plan.total_steps, done % plan.steps_per_epoch == 0
            reads = last or epoch_ends or done % steps_between_reads == 0
            asked = request.on_any() if reads or run.process.world == 1 else None
            if not reads and asked is None:
                continue
            rows = run.measurements.read(saved)
            for row in rows if run.log is not None else ():
                run.log.step(row)
            stops = asked is not None
            if last or epoch_ends or stops or time.perf_counter() - saved_at > SECONDS_BETWEEN_CHECKPOINTS:
                run.save(done)
                saved, saved_at = done, time.perf_counter()
            if stops:
                raise Preempted(asked, run.checkpoint, done)
            evaluate_between(done)
        metrics = request.interruptible(lambda: _evaluate(run, val, plan.total_steps))
        if metrics is None and request.signal is not None:
            raise Preempted(request.signal, run.checkpoint, plan.total_steps)
    return run.model.eval(), metrics


def _evaluate(run: Run, val: CocoDataset | None, done: int) -> Metrics | None:
    """Evaluate on val2017, where there is one, on the first process."""
    if run.log is None or val is None:
        return None
    device = run.process.device
    workers = 0 if device.type == "cpu" else run.workers  # on a CPU they would take cores from the model
    metrics, detections = _validate(run.model, val, run.checkpoint.parent, device, workers)
    run.log.evaluation(done, {**metrics, "rho": rank_correlation(val, detections)})
    run.model.train()
    return metrics


def _steps(run: Run) -> Iterator[tuple[int, tuple[Batch, ...]]]:
    """The steps, each with its micro-batches."""
    micro_batches = batches(run.loader)
    yield from enumerate(zip(*[micro_batches] * run.accumulate, strict=True), run.start)


@contextlib.contextmanager
def _stopped_by_workers() -> Iterator[None]:
    """Turn what ends the data workers into a TrainingStopped."""
    try:
        with failures_explained():
            yield
    except WorkersFailed as error:
        raise TrainingStopped(f"training stopped: {error}") from error


def validate(
    model: Detector, data: CocoDataset, out: Path | None, device: torch.device, workers: int | None = None
) -> Metrics:
    """Evaluate a detector on a split; with `out`, write `detections.json` and `metrics.json` there.

    Args: `data`, made with ``keep_empty=True``, so that what is found on images without objects counts, too; `workers`,
        as for `detect`.
    """
    return _validate(model, data, out, device, workers)[0]


def _validate(
    model: Detector, data: CocoDataset, out: Path | None, device: torch.device, workers: int | None
) -> tuple[Metrics, list[dict[str, Any]]]:
    detections = detect(model.eval(), data, device, workers=workers)
    metrics = evaluate(data.annotation_file, detections)
    if out is not None:
        for name, content in (("detections", detections), ("metrics", metrics.to_dict())):
            write_atomic(out / f"{name}.json", json.dumps(content))
    return metrics, detections
