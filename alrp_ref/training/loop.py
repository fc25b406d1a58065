"""The training loop: from a recipe and a data set in COCO's layout to a trained detector."""

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import torch

from alrp_ref.data import CocoDataset, Layout, ReadAs, train_transform
from alrp_ref.data.annotations.grey_range import question_about_greys
from alrp_ref.data.annotations.read import content_of, possible_mistakes
from alrp_ref.data.digest import digest
from alrp_ref.detection import Recipe, build_detector
from alrp_ref.detection.detector import Detector
from alrp_ref.detection.initial_weights import load_initial_weights
from alrp_ref.detection.recipes import get_recipe
from alrp_ref.evaluation import Metrics, rank_correlation
from alrp_ref.images import GREYS
from alrp_ref.machine import distributed, signals
from alrp_ref.machine.files import DataError, locked_folder, refuse_input
from alrp_ref.machine.garbage import frozen_garbage
from alrp_ref.machine.workers import WorkersFailed, batches, failures_explained
from alrp_ref.training.errors import Diverged, Preempted, TrainingStopped
from alrp_ref.training.options import TrainOptions
from alrp_ref.training.plan import Due, Plan
from alrp_ref.training.prepare import RunData, TrainingState, prepare, small_boxes
from alrp_ref.training.step import Batch, training_step
from alrp_ref.training.validation import validate_and_keep

SECONDS_BETWEEN_CHECKPOINTS = 120
"""An epoch of COCO takes an hour or more; this is the most a crash can cost."""

STEPS_BETWEEN_READS = {"cuda": 20}
"""By the kind of device, 1 for others. A GPU is waited for once in so many steps, when what they measured is read and
logged. On a CPU reading is free, and the log has every step as soon as it is done."""


def train(
    recipe: str | Recipe,
    data: str | os.PathLike | Layout,
    out: str | os.PathLike,
    options: TrainOptions,
    *,
    log: Callable[[str], None] = print,
) -> tuple[Detector, Metrics | None]:
    """Train a detector, or resume where the same command was stopped.

    Args:
        recipe: a name of `RECIPES`, or a `Recipe`.
        data: folder in COCO's layout, or what else `CocoDataset` takes; trains on train2017, evaluates on val2017 where
            that exists.
        out: folder of the run: `checkpoint.pt`, `metrics.csv`, `evaluations.csv`, `tensorboard/`, of the last
            evaluation `detections.json` and `metrics.json`, and with the option `keep_best` `best.pt`.
        options: length, device, seed and the rest, see `TrainOptions`.
        log: where messages go.

    Returns: the model, in evaluation mode, and what it reaches on val2017; None without val2017, or on all but the
        first process.
    Raises: DataError or ValueError for input that cannot be used; Diverged if the loss is no longer finite;
        NothingToLearn if none of the first 50 steps has a positive; TrainingStopped if data workers have failed;
        Preempted after SIGTERM, SIGUSR1, SIGHUP or Ctrl-C, once a checkpoint holds all steps so far.
    """
    recipe, out = get_recipe(recipe), Path(out)
    process = distributed.start(options.device)
    try:
        options.check_batch(recipe, process.world)
        layout = Layout.of(data)
        _check_out(out, layout)
        log = log if process.is_first else _silent
        read = _read_data(layout, recipe, options.cache, log)
        plan = Plan.of(recipe, len(read.train), options)
        with locked_folder(out) if process.is_first else contextlib.nullcontext():
            model = _new_model(recipe, read.train.class_names, plan.steps_per_epoch, options)
            if small := small_boxes(read.train, recipe.train_size, model.strides[0]):
                log(small)
            if options.init_from is not None and not (out / "checkpoint.pt").exists():
                log(load_initial_weights(model, options.init_from, read.train.class_names))
            return _train(prepare(model, read, out, process, options, log), read.val)
    finally:
        distributed.stop()


def _check_out(out: Path, data: Layout) -> None:
    """Raise an error unless `out` may be the folder of a run."""
    if out.exists() and not out.is_dir():
        raise DataError(f"{out} is a file; give the name of a folder for the run")
    for name in ("metrics.csv", "evaluations.csv", "detections.json", "metrics.json", "checkpoint.pt", "best.pt"):
        refuse_input(out / name, [split.annotations for split in data.splits.values()])


def _silent(text: str) -> None:
    """The log of all processes but the first."""


def _read_data(layout: Layout, recipe: Recipe, cache: bool, log: Callable[[str], None]) -> RunData:
    """What is trained on, and what is evaluated on, if there is such a split. Each annotation file is read once.

    Raises: DataError if they do not fit.
    """
    content, greys = content_of(layout, "train2017"), recipe.grey_range
    data = CocoDataset(
        layout,
        "train2017",
        train_transform(recipe),
        keep_empty=recipe.background_images,
        cache=cache,
        read_as=ReadAs(grey_range=greys, content=content),
    )
    if not len(data.boxes):
        raise DataError(f"{data.annotation_file} has no box to learn from; check its annotations")
    for line in _questions(data, content) if log is not _silent else ():
        log(f"{data.annotation_file}: may be a mistake: {line}")
    digests = {"train2017": digest(data)}
    if layout.val is None:
        return RunData(data, None, digests)
    truth = content_of(layout, "val2017", data.class_names)
    val = CocoDataset(layout, "val2017", keep_empty=True, read_as=ReadAs(data.class_names, greys, truth))
    val.truth = truth
    if val.category_ids != data.category_ids:
        log(
            f"{val.annotation_file} has other ids of classes than {data.annotation_file}: they are matched "
            "by their names"
        )
    return RunData(data, val, digests | {"val2017": digest(val, truth)})


def _questions(data: CocoDataset, content: dict[str, list]) -> list[str]:
    """What a person should look at before a run, in a line for each kind."""
    about_greys = None
    if data.read_as.grey_range == GREYS:
        about_greys = question_about_greys(data.folder.find(name) for name in data.files)
    return possible_mistakes(content) + ([f"{about_greys.kind}: {about_greys.reason}"] if about_greys else [])


def _new_model(recipe: Recipe, class_names: Sequence[str], steps_per_epoch: int, options: TrainOptions) -> Detector:
    torch.manual_seed(options.seed)
    return build_detector(
        recipe,
        num_classes=len(class_names),
        self_balance_period=recipe.loss.self_balance_period(steps_per_epoch),
        pretrained_backbone=options.pretrained_backbone,
        backbone_weights=options.backbone_weights,
    )


def _train(state: TrainingState, val: CocoDataset | None) -> tuple[Detector, Metrics | None]:
    """Every step of a run, and after each what the plan says is due."""
    log = contextlib.nullcontext() if state.log is None else contextlib.closing(state.log)
    with frozen_garbage(), log, _stopped_by_workers(), signals.listening() as request:
        state.model.train()
        if _due(state, state.checkpoint.steps).evaluate:  # unless it was done before the run was stopped
            _evaluate_between(state, val, request, state.checkpoint.steps)
        state.measurements.restart_clock()
        for step, micro_batches in _steps(state):
            _learn(state, step, micro_batches)
            _follow_up(state, val, request, step + 1)
        done = state.plan.total_steps
        metrics = request.interruptible(lambda: _evaluate(state, val, done))
        if metrics is None and request.signal is not None:
            raise Preempted(request.signal, state.checkpoint.path, done)
    return state.model.eval(), metrics


def _steps(state: TrainingState) -> Iterator[tuple[int, tuple[Batch, ...]]]:
    """The steps that are left, each with its micro-batches. If these cannot be read, one process alone saves first."""
    micro_batches, done = batches(state.loader), state.checkpoint.steps
    try:
        for step, of_step in enumerate(zip(*[micro_batches] * state.options.accumulate, strict=True), done):
            yield step, of_step
            done = step + 1
    except (DataError, RuntimeError):
        if state.process.world == 1 and done > state.checkpoint.steps:
            _read(state)
            state.save(done)
        raise


def _learn(state: TrainingState, step: int, micro_batches: Sequence[Batch]) -> None:
    """One step of training. What it measures is kept until it is read."""
    images = [target["image_id"] for _, targets in micro_batches for target in targets]
    lr = state.plan.learning_rate(step, state.model.recipe.warmup_factor)
    try:
        losses = training_step(state.learner, micro_batches, lr)
    except ValueError as error:  # on a CPU the loss refuses logits and boxes that are not finite
        raise Diverged(step, images, str(error), state.checkpoint.steps) from error
    state.measurements.add({"step": step, "epoch": step // state.plan.steps_per_epoch, "lr": lr}, images, losses)


def _due(state: TrainingState, done: int) -> Due:
    read_every = STEPS_BETWEEN_READS.get(state.process.device.type, 1)
    return state.plan.due(done, read_every=read_every, evaluate_every=state.options.eval_every)


def _follow_up(state: TrainingState, val: CocoDataset | None, request: signals.StopRequest, done: int) -> None:
    """After `done` steps: log, save, stop and evaluate, each if it is due or a signal asks for it."""
    due = _due(state, done)
    # All processes ask each other after the same steps. One process alone asks nobody, so it may stop at any step.
    asked = request.on_any() if due.read or state.process.world == 1 else None
    stops = asked is not None
    if not due.read and not stops:
        return
    _read(state)
    if due.save or stops or state.checkpoint.age > SECONDS_BETWEEN_CHECKPOINTS:
        state.save(done)
    if stops:
        raise Preempted(asked, state.checkpoint.path, done)
    if due.evaluate:
        _evaluate_between(state, val, request, done)


def _read(state: TrainingState) -> None:
    """Read what the last steps have measured, on all processes, and log it on the first."""
    rows = state.measurements.read(state.checkpoint.steps)
    if state.log is not None:
        for row in rows:
            state.log.step(row)


def _evaluate_between(state: TrainingState, val: CocoDataset | None, request: signals.StopRequest, done: int) -> None:
    """Evaluate while the run goes on, unless it is in the log. Raises: Preempted if a signal has come meanwhile."""
    if state.log is not None and done not in state.log.evaluated_steps:
        request.interruptible(lambda: _evaluate(state, val, done))
    if (number := request.on_any()) is not None:  # the others have waited for the evaluation
        raise Preempted(number, state.checkpoint.path, state.checkpoint.steps)
    state.measurements.restart_clock()


def _evaluate(state: TrainingState, val: CocoDataset | None, done: int) -> Metrics | None:
    """Evaluate on val2017, where there is one, on the first process."""
    if state.log is None or val is None:
        return None
    device = state.process.device
    workers = 0 if device.type == "cpu" else state.options.workers  # on a CPU they would take cores from the model
    metrics, detections = validate_and_keep(state.model, val, state.checkpoint.path.parent, device, workers)
    state.log.evaluation(done, {**metrics, "rho": rank_correlation(val, detections)})
    keep = state.options.keep_best
    if keep is not None and state.log.is_best(keep):
        state.save_best(done, keep, metrics[keep])
    state.model.train()
    return metrics


@contextlib.contextmanager
def _stopped_by_workers() -> Iterator[None]:
    """Turn what ends the data workers into a TrainingStopped."""
    try:
        with failures_explained():
            yield
    except WorkersFailed as error:
        raise TrainingStopped(f"training stopped: {error}") from error
