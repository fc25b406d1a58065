"""A fair comparison of recipes: the same data, the same number of steps, a learning rate chosen for each.

A comparison is a list of training runs, each in its own folder:

    OUT/sweep/RECIPE/lr_LR/     a third as long; every tenth training image is held out, for the evaluation
    OUT/runs/RECIPE/seed_SEED/  with the best learning rate of the sweep; evaluated on val2017

A finished run has a `result.json`. So the same command resumes an interrupted comparison. Several processes with the
same command share the runs: each takes the next run that is not locked.
"""

import json
import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch

from alrp_ref.data import CocoDataset, Layout, hold_out
from alrp_ref.data.annotations.layout import SPLITS
from alrp_ref.data.annotations.read import annotation_file
from alrp_ref.data.digest import digest_of
from alrp_ref.detection import Recipe
from alrp_ref.detection.former_recipes import converted
from alrp_ref.detection.recipes import as_data, get_recipe
from alrp_ref.evaluation import METRICS, evaluate, rank_correlation
from alrp_ref.machine.distributed import world_size
from alrp_ref.machine.files import DataError, locked, write_atomic
from alrp_ref.reports.report import read_result
from alrp_ref.training.checkpoint import check_same_run
from alrp_ref.training.errors import Diverged
from alrp_ref.training.log import read_metrics
from alrp_ref.training.loop import train
from alrp_ref.training.options import TrainOptions

HELD_OUT = 10
"""Every tenth training image is held out to choose the learning rates; val2017 is not used for that."""

SWEEP_SHARE = 3
"""A run of the sweep has the steps of the other runs divided by this."""

MAX_HALF_DECADES = 3
"""The sweep stays within this many half decades of the recipe's own learning rate."""


@dataclass(frozen=True, kw_only=True)
class Run:
    """One training run and its folder; `backbone` names the source of the initial weights."""

    recipe: Recipe
    coco: Path | Layout
    folder: Path
    steps: int
    seed: int
    backbone: str

    @property
    def result(self) -> dict[str, Any] | None:
        """Its metrics, `rho`, `device`, and `minutes` of training; None if it has not finished.

        Raises: DataError if the folder holds the result of another run.
        """
        path = self.folder / "result.json"
        if not path.is_file():
            return None
        saved = read_result(path)
        if not isinstance(saved, dict) or "AP" not in saved or not isinstance(saved.get("recipe"), dict):
            raise DataError(f"{path} is not a result of `alrp compare`: delete it, and give the same command again")
        try:
            recipe = converted(saved["recipe"])
        except ValueError as error:
            raise DataError(f"{path} cannot be read: {error}") from error
        identity = self._identity()
        # Earlier versions noted the bytes of the annotation files only.
        check_same_run(path, {"data": identity["data"]} | saved | {"recipe": recipe}, identity)
        return saved

    def train(self, *, log: Callable[[str], None] = print, **options) -> None:
        """Train or resume, and write `result.json`. If the loss is not finite, the result has no detections.

        Args: `options`, those of `TrainOptions` beside the steps and the seed.
        """
        reached = {}
        try:
            model, metrics = train(
                self.recipe,
                self.coco,
                self.folder,
                TrainOptions(steps=self.steps, seed=self.seed, **options),
                log=log,
            )
            device = next(model.parameters()).device
            reached["device"] = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
        except Diverged as error:
            reached["stopped"] = str(error)
            metrics = evaluate(annotation_file(self.coco, "val2017"), [])
            for name, content in (("detections", []), ("metrics", metrics.to_dict())):
                write_atomic(self.folder / f"{name}.json", json.dumps(content))
        metrics = metrics.to_dict()
        reached |= {name: metrics[name] for name in METRICS}
        val = CocoDataset(self.coco, "val2017", keep_empty=True)
        rho = rank_correlation(val, read_result(self.folder / "detections.json"))
        reached["rho"] = None if math.isnan(rho) else rho
        rows = read_metrics(self.folder / "metrics.csv")
        reached["minutes"] = sum(self.recipe.batch_size / row["images_per_s"] for row in rows) / 60
        write_atomic(self.folder / "result.json", json.dumps(self._identity() | reached, indent=1))

    def _identity(self) -> dict[str, Any]:
        """The settings that a result belongs to, and a digest of its data."""
        data = {split: digest_of(self.coco, split) for split in SPLITS}
        identity = {"recipe": as_data(self.recipe), "steps": self.steps, "seed": self.seed}
        # A round trip through JSON turns tuples into lists, so that it compares equal to what a file holds.
        return json.loads(json.dumps(identity | {"backbone": self.backbone, "data": data}))


class Comparison(NamedTuple):
    """The finished runs of a comparison, and the runs of its sweep."""

    runs: list[Run]
    sweep: list[Run]


def compare(
    recipes: Sequence[str | Recipe],
    coco: str | os.PathLike | Layout,
    out: str | os.PathLike,
    *,
    steps: int,
    seeds: int = 3,
    log: Callable[[str], None] = print,
    **options,
) -> Comparison:
    """Train every recipe with `seeds` seeds and with the best learning rate of a sweep on held-out training images.

    The sweep starts with the recipe's own learning rate and half a decade more and less. It stops when the best one has
    a worse one on each side, or at one and a half decades. A recipe "NAME:FIELD=VALUE" is a variant of NAME and takes
    its learning rate, so that the two differ in one field.

    Args:
        recipes: names of `RECIPES`, variants of them, or recipes of your own.
        coco: folder in COCO's layout, with both splits.
        out: folder of the comparison.
        steps: training steps of each run; the recipes' schedules are scaled to it.
        seeds: runs of each recipe.
        log: the function that prints messages.
        options: other options of every run, see `alrp_ref.training.TrainOptions`.

    Returns: the runs, by seed and recipe, and the sweep; `write_comparison` writes their tables and page.
    Raises: ValueError for recipes that cannot be compared, DataError for results of another comparison in `out`, and
        the errors of `train`.
    """
    recipes, coco, out = [get_recipe(recipe) for recipe in recipes], Layout.of(coco), Path(out)
    bases = {recipe.name: get_recipe(recipe.name.split(":")[0]) if ":" in recipe.name else recipe for recipe in recipes}
    _check(recipes, bases, steps, seeds)
    if out.exists() and not out.is_dir():
        raise DataError(f"{out} is a file; give the name of a folder for the comparison")
    CocoDataset(coco, "val2017", keep_empty=True)  # raises its errors now, not after hours of training
    weights = options.get("backbone_weights")
    backbone = Path(weights).name if weights else "imagenet" if options.get("pretrained_backbone") else "none"
    options = {"log": log, **options}
    with locked(out / "lock", wait=True):
        held_out = hold_out(coco, out / "held_out", HELD_OUT)
    candidates = partial(sweep_runs, coco=held_out, out=out, steps=steps, backbone=backbone)
    tried = _sweep({base.name: candidates(base) for base in bases.values()}, options)
    rates = {name: runs_by_rate[best_of(_aps(runs_by_rate))].recipe.lr for name, runs_by_rate in tried.items()}
    for name, lr in rates.items():
        log(f"learning rate of {name}: {lr:g}")
    runs = [
        Run(
            recipe=replace(recipe, lr=rates[bases[recipe.name].name]),
            coco=coco,
            folder=out / "runs" / recipe.name / f"seed_{seed}",
            steps=steps,
            seed=seed,
            backbone=backbone,
        )
        for seed in range(seeds)
        for recipe in recipes
    ]
    _run_all(runs, options)
    return Comparison(runs, [run for runs_by_rate in tried.values() for run in runs_by_rate.values()])


def sweep_runs(recipe: Recipe, coco: Path | Layout, out: Path, steps: int, backbone: str) -> dict[int, Run]:
    """All runs that a sweep may need for a recipe, by half decades from its own learning rate."""
    runs = {}
    for k in range(-MAX_HALF_DECADES, MAX_HALF_DECADES + 1):
        lr = float(f"{recipe.lr * 10 ** (k / 2):.2g}")
        folder = out / "sweep" / recipe.name / f"lr_{lr:g}"
        tried, length = replace(recipe, lr=lr), max(1, steps // SWEEP_SHARE)
        runs[k] = Run(recipe=tried, coco=coco, folder=folder, steps=length, seed=0, backbone=backbone)
    return runs


def next_rates(reached: dict[int, float]) -> list[int]:
    """The next learning rates to try; empty when the best one has a worse one on each side.

    Args: `reached`, AP by half decades from the recipe's own learning rate.
    """
    if not reached:
        return [0, 1, -1]
    best = best_of(reached)
    return [k for k in (best - 1, best + 1) if k not in reached and abs(k) <= MAX_HALF_DECADES]


def best_of(reached: dict[int, float]) -> int:
    """The learning rate of highest AP; among equal ones, the nearest to the recipe's own."""
    return max(reached, key=lambda k: (reached[k], -abs(k)))


def _sweep(runs: dict[str, dict[int, Run]], options: dict) -> dict[str, dict[int, Run]]:
    """Train the runs that the sweep needs; returns them, by recipe and half decades from its own learning rate."""
    tried: dict[str, dict[int, Run]] = {name: {} for name in runs}
    while todo := [(name, k) for name in runs for k in next_rates(_aps(tried[name]))]:
        _run_all([runs[name][k] for name, k in todo], options)
        for name, k in todo:
            tried[name][k] = runs[name][k]
    return tried


def _aps(runs: dict[int, Run]) -> dict[int, float]:
    return {k: run.result["AP"] or 0.0 for k, run in runs.items()}


def _run_all(runs: Sequence[Run], options: dict) -> None:
    """Train all runs. The first pass skips runs that another process has locked; the second waits for them."""
    for wait in (False, True):
        for number, run in enumerate(runs, 1):
            with locked(run.folder / "compared", wait=wait) as is_ours:
                if is_ours and run.result is None:
                    options["log"](f"\nrun {number} of {len(runs)}: {run.folder}")
                    run.train(**options)
                elif not is_ours:
                    options["log"](f"another process is at run {number} of {len(runs)}: {run.folder}")


def _check(recipes: Sequence[Recipe], bases: Mapping[str, Recipe], steps: int, seeds: int) -> None:
    names = [recipe.name for recipe in recipes]
    if len(set(names)) < len(names) or not names:
        raise ValueError(f"recipes must have names of their own, got {', '.join(names) or 'none'}")
    if len({recipe.batch_size for recipe in recipes}) > 1:
        sizes = ", ".join(f"{recipe.name} {recipe.batch_size}" for recipe in recipes)
        raise ValueError(f"recipes must have the same batch_size to see as much data in as many steps, got {sizes}")
    for recipe in recipes:
        if recipe.lr != bases[recipe.name].lr:
            raise ValueError(f"the sweep chooses the learning rates: leave lr out of {recipe.name}")
    if steps < 1 or seeds < 1:
        raise ValueError(f"a comparison needs at least 1 step and 1 seed, got {steps} and {seeds}")
    if world_size() > 1:
        raise ValueError(
            "a comparison has one process for each run: give the same command once for each GPU, "
            "each with its CUDA_VISIBLE_DEVICES, and they share the runs"
        )
