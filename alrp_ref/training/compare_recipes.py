"""A fair comparison of recipes: the same data, the same number of steps, a learning rate chosen for each.

A comparison is a list of experiments, each in its own folder:

    OUT/sweep/RECIPE/lr_LR/     a third as long; every tenth training image is held out, for the evaluation
    OUT/runs/RECIPE/seed_SEED/  with the best learning rate of the sweep; evaluated on val2017
"""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

from alrp_ref.data import CocoDataset, Layout, hold_out
from alrp_ref.detection import Recipe
from alrp_ref.detection.recipes import get_recipe
from alrp_ref.machine.distributed import world_size
from alrp_ref.machine.files import DataError, locked
from alrp_ref.training.experiment import Experiment, train_all
from alrp_ref.training.options import TrainOptions

HELD_OUT = 10
"""Every tenth training image is held out to choose the learning rates; val2017 is not used for that."""

SWEEP_SHARE = 3
"""A run of the sweep has the steps of the other runs divided by this."""

MAX_HALF_DECADES = 3
"""The sweep stays within this many half decades of the recipe's own learning rate."""


class Comparison(NamedTuple):
    """The finished runs of a comparison, and the runs of its sweep."""

    runs: list[Experiment]
    sweep: list[Experiment]


def compare(
    recipes: Sequence[str | Recipe],
    coco: str | os.PathLike | Layout,
    out: str | os.PathLike,
    options: TrainOptions,
    *,
    seeds: int = 3,
    log: Callable[[str], None] = print,
) -> Comparison:
    """Train every recipe with `seeds` seeds and with the best learning rate of a sweep on held-out training images.

    The sweep starts with the recipe's own learning rate and half a decade more and less. It stops when the best one has
    a worse one on each side, or at one and a half decades. A recipe "NAME:FIELD=VALUE" is a variant of NAME and takes
    its learning rate, so that the two differ in one field.

    Args:
        recipes: names of `RECIPES`, variants of them, or recipes of your own.
        coco: folder in COCO's layout, with both splits.
        out: folder of the comparison.
        options: of every run. The recipes' schedules are scaled to its `steps`, and its `seed` is the first one.
        seeds: runs of each recipe.
        log: the function that prints messages.

    Returns: the runs, by seed and recipe, and the sweep; `alrp_ref.reports.write_comparison` writes tables and a page.
    Raises: ValueError for recipes that cannot be compared, DataError for results of another comparison in `out`, and
        the errors of `train`.
    """
    recipes, coco, out = [get_recipe(recipe) for recipe in recipes], Layout.of(coco), Path(out)
    bases = {recipe.name: get_recipe(recipe.name.split(":")[0]) if ":" in recipe.name else recipe for recipe in recipes}
    _check(recipes, bases, options.steps, seeds)
    if out.exists() and not out.is_dir():
        raise DataError(f"{out} is a file; give the name of a folder for the comparison")
    CocoDataset(coco, "val2017", keep_empty=True)  # raises its errors now, not after hours of training
    with locked(out / "lock", wait=True):
        held_out = hold_out(coco, out / "held_out", HELD_OUT)
    tried = _sweep({base.name: sweep_runs(base, held_out, out, options) for base in bases.values()}, log)
    rates = {name: runs_by_rate[best_of(_aps(runs_by_rate))].recipe.lr for name, runs_by_rate in tried.items()}
    for name, lr in rates.items():
        log(f"learning rate of {name}: {lr:g}")
    runs = [
        Experiment(
            recipe=replace(recipe, lr=rates[bases[recipe.name].name]),
            coco=coco,
            folder=out / "runs" / recipe.name / f"seed_{seed}",
            options=replace(options, seed=seed),
        )
        for seed in range(options.seed, options.seed + seeds)
        for recipe in recipes
    ]
    train_all(runs, partial(Experiment.train, log=log), log=log)
    return Comparison(runs, [run for runs_by_rate in tried.values() for run in runs_by_rate.values()])


def sweep_runs(recipe: Recipe, coco: Path | Layout, out: Path, options: TrainOptions) -> dict[int, Experiment]:
    """All runs that a sweep may need for a recipe, by half decades from its own learning rate."""
    runs, options = {}, replace(options, steps=max(1, options.steps // SWEEP_SHARE))
    for k in range(-MAX_HALF_DECADES, MAX_HALF_DECADES + 1):
        lr = float(f"{recipe.lr * 10 ** (k / 2):.2g}")
        folder = out / "sweep" / recipe.name / f"lr_{lr:g}"
        runs[k] = Experiment(recipe=replace(recipe, lr=lr), coco=coco, folder=folder, options=options)
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


def _sweep(runs: dict[str, dict[int, Experiment]], log: Callable[[str], None]) -> dict[str, dict[int, Experiment]]:
    """Train the runs that the sweep needs; returns them, by recipe and half decades from its own learning rate."""
    tried: dict[str, dict[int, Experiment]] = {name: {} for name in runs}
    while todo := [(name, k) for name in runs for k in next_rates(_aps(tried[name]))]:
        train_all([runs[name][k] for name, k in todo], partial(Experiment.train, log=log), log=log)
        for name, k in todo:
            tried[name][k] = runs[name][k]
    return tried


def _aps(runs: dict[int, Experiment]) -> dict[int, float]:
    return {k: run.result["AP"] or 0.0 for k, run in runs.items()}


def _check(recipes: Sequence[Recipe], bases: Mapping[str, Recipe], steps: int | None, seeds: int) -> None:
    names = [recipe.name for recipe in recipes]
    if len(set(names)) < len(names) or not names:
        raise ValueError(f"recipes must have names of their own, got {', '.join(names) or 'none'}")
    if len({recipe.batch_size for recipe in recipes}) > 1:
        sizes = ", ".join(f"{recipe.name} {recipe.batch_size}" for recipe in recipes)
        raise ValueError(f"recipes must have the same batch_size to see as much data in as many steps, got {sizes}")
    for recipe in recipes:
        if recipe.lr != bases[recipe.name].lr:
            raise ValueError(f"the sweep chooses the learning rates: leave lr out of {recipe.name}")
    if not steps or steps < 1 or seeds < 1:
        raise ValueError(f"a comparison needs at least 1 step and 1 seed, got {steps} and {seeds}")
    if world_size() > 1:
        raise ValueError(
            "a comparison has one process for each run: give the same command once for each GPU, "
            "each with its CUDA_VISIBLE_DEVICES, and they share the runs"
        )
