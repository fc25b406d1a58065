"""A fair comparison of recipes: the same data and number of steps, and for each the learning rate that suits it.

It is a list of training runs, each with a folder of its own:

    OUT/sweep/RECIPE/lr_LR/     a third as long; trained without every tenth training image, evaluated on those
    OUT/runs/RECIPE/seed_SEED/  with the learning rate that was best there; evaluated on val2017

A run that is done has a `result.json`. So the same command goes on where it was stopped, and several processes that
are given the same command share the work: each takes the next run that no other is at.
"""

import json
import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch

from alrp_ref.coco import METRICS, CocoDataset, DataError, evaluate, hold_out, rank_correlation
from alrp_ref.coco.dataset import SPLITS, annotation_file
from alrp_ref.coco.files import locked, write_whole
from alrp_ref.detection import Recipe
from alrp_ref.detection.recipes import get_recipe
from alrp_ref.training.checkpoint import check_same
from alrp_ref.training.log import read_metrics
from alrp_ref.training.loop import Diverged, train
from alrp_ref.training.report import read_json

HELD_OUT = 10
"""Every tenth training image chooses the learning rates; val2017 is first looked at when they are chosen."""

SWEEP_SHARE = 3
"""The steps of a run of the sweep are those of the others divided by this."""

FARTHEST = 3
"""No learning rate is tried that is more half decades than this from the recipe's."""


@dataclass(frozen=True, kw_only=True)
class Run:
    """One training run, and its folder; `backbone` says where the weights that it begins with come from."""

    recipe: Recipe
    coco: Path
    folder: Path
    steps: int
    seed: int
    backbone: str

    @property
    def result(self) -> dict[str, Any] | None:
        """The metrics it reached, `rho`, `device` and `minutes` of training; None if it is not done.

        Raises: DataError if the folder holds the result of another run.
        """
        path = self.folder / "result.json"
        if not path.is_file():
            return None
        saved = read_json(path)
        if not isinstance(saved, dict) or "AP" not in saved:
            raise DataError(f"{path} is no result of `alrp compare`: delete it, and give the same command again")
        check_same(path, saved, self._identity())
        return saved

    def train(self, **options) -> None:
        """Train, or go on, and write the result down. A run whose loss is no longer finite has detected nothing."""
        reached = {}
        try:
            model, metrics = train(self.recipe, self.coco, self.folder, steps=self.steps, seed=self.seed, **options)
            device = next(model.parameters()).device
            reached["device"] = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
        except Diverged as error:
            reached["stopped"] = str(error)
            metrics = evaluate(annotation_file(self.coco, "val2017"), [])
            for name, content in (("detections", []), ("metrics", metrics.to_dict())):
                write_whole(self.folder / f"{name}.json", json.dumps(content))
        metrics = metrics.to_dict()
        reached |= {name: metrics[name] for name in METRICS}
        val = CocoDataset(self.coco, "val2017", keep_empty=True)
        rho = rank_correlation(val, read_json(self.folder / "detections.json"))
        reached["rho"] = None if math.isnan(rho) else rho
        rows = read_metrics(self.folder / "metrics.csv")
        reached["minutes"] = sum(self.recipe.batch_size / row["images_per_s"] for row in rows) / 60
        write_whole(self.folder / "result.json", json.dumps(self._identity() | reached, indent=1))

    def _identity(self) -> dict[str, Any]:
        """What a result belongs to; of the data, the sizes of its annotation files."""
        data = {split: annotation_file(self.coco, split).stat().st_size for split in SPLITS}
        identity = {"recipe": asdict(self.recipe), "steps": self.steps, "seed": self.seed}
        # As a file gives it back: with lists for tuples.
        return json.loads(json.dumps(identity | {"backbone": self.backbone, "bytes": data}))


class Comparison(NamedTuple):
    """The runs of a comparison, which all have a result, and those that chose the learning rates."""

    runs: list[Run]
    sweep: list[Run]


def compare(
    recipes: Sequence[str | Recipe],
    coco: str | os.PathLike,
    out: str | os.PathLike,
    *,
    steps: int,
    seeds: int = 3,
    say: Callable[[str], None] = print,
    **options,
) -> Comparison:
    """Train every recipe with `seeds` seeds, with the learning rate that a sweep on the training images chose.

    The sweep tries the recipe's own, half a decade more and less, and goes on until the best has a worse one on each
    side (at most one and a half decades away). A recipe "NAME:FIELD=VALUE", a variant of NAME, takes the learning rate
    of NAME: between the two one thing differs.

    Args:
        recipes: names of `RECIPES`, with changes or without, or recipes of your own.
        coco: folder in COCO's layout, with both splits.
        out: folder of the comparison.
        steps: training steps of each run; the recipes' schedules are scaled to it.
        seeds: runs of each recipe.
        say: where messages go.
        options: for `alrp_ref.training.train`.

    Returns: the runs, by seed and recipe, and the sweep; `write_comparison` makes a table and a page of them.
    Raises: ValueError for recipes that cannot be compared, DataError for results of another comparison in `out`, and
        as `train`.
    """
    recipes, coco, out = [get_recipe(recipe) for recipe in recipes], Path(coco), Path(out)
    bases = {recipe.name: get_recipe(recipe.name.split(":")[0]) if ":" in recipe.name else recipe for recipe in recipes}
    _check(recipes, bases, steps, seeds)
    if out.exists() and not out.is_dir():
        raise DataError(f"{out} is a file; give the name of a folder for the comparison")
    CocoDataset(coco, "val2017", keep_empty=True)  # what is wrong with it is said now, not after hours
    weights = options.get("backbone_weights")
    backbone = Path(weights).name if weights else "imagenet" if options.get("pretrained_backbone") else "none"
    options = {"say": say, **options}
    with locked(out / "lock", wait=True):
        held_out = hold_out(coco, out / "held_out", HELD_OUT)
    of_sweep = partial(sweep_runs, coco=held_out, out=out, steps=steps, backbone=backbone)
    tried = _sweep({base.name: of_sweep(base) for base in bases.values()}, options)
    rates = {name: of_recipe[best_of(_aps(of_recipe))].recipe.lr for name, of_recipe in tried.items()}
    for name, lr in rates.items():
        say(f"learning rate of {name}: {lr:g}")
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
    _share(runs, options)
    return Comparison(runs, [run for of_recipe in tried.values() for run in of_recipe.values()])


def sweep_runs(recipe: Recipe, coco: Path, out: Path, steps: int, backbone: str) -> dict[int, Run]:
    """The runs that a sweep may make for a recipe, by the half decades between their learning rate and its own."""
    runs = {}
    for k in range(-FARTHEST, FARTHEST + 1):
        lr = float(f"{recipe.lr * 10 ** (k / 2):.2g}")
        folder = out / "sweep" / recipe.name / f"lr_{lr:g}"
        tried, length = replace(recipe, lr=lr), max(1, steps // SWEEP_SHARE)
        runs[k] = Run(recipe=tried, coco=coco, folder=folder, steps=length, seed=0, backbone=backbone)
    return runs


def to_try(reached: dict[int, float]) -> list[int]:
    """The next learning rates to try: none, once the best has a worse one on each side.

    Args: `reached`, the AP of those tried, by half decades from the recipe's own.
    """
    if not reached:
        return [0, 1, -1]
    best = best_of(reached)
    return [k for k in (best - 1, best + 1) if k not in reached and abs(k) <= FARTHEST]


def best_of(reached: dict[int, float]) -> int:
    """Where AP was highest; of equal ones that nearest to the recipe's own."""
    return max(reached, key=lambda k: (reached[k], -abs(k)))


def _sweep(runs: dict[str, dict[int, Run]], options: dict) -> dict[str, dict[int, Run]]:
    """Of the runs for each recipe, by half decades from its own learning rate, those that had to be done."""
    tried: dict[str, dict[int, Run]] = {name: {} for name in runs}
    while todo := [(name, k) for name in runs for k in to_try(_aps(tried[name]))]:
        _share([runs[name][k] for name, k in todo], options)
        for name, k in todo:
            tried[name][k] = runs[name][k]
    return tried


def _aps(runs: dict[int, Run]) -> dict[int, float]:
    return {k: run.result["AP"] or 0.0 for k, run in runs.items()}


def _share(runs: Sequence[Run], options: dict) -> None:
    """Have all runs done: first those that no other process is at, then, one by one, those it did not finish."""
    for wait in (False, True):
        for number, run in enumerate(runs, 1):
            with locked(run.folder / "compared", wait=wait) as is_ours:
                if is_ours and run.result is None:
                    options["say"](f"\nrun {number} of {len(runs)}: {run.folder}")
                    run.train(**options)
                elif not is_ours:
                    options["say"](f"another process is at run {number} of {len(runs)}: {run.folder}")


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
    if int(os.environ.get("WORLD_SIZE", 1)) > 1:
        raise ValueError(
            "a comparison has one process for each run: give the same command once for each GPU, "
            "each with its CUDA_VISIBLE_DEVICES, and they share the runs"
        )
