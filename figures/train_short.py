"""Train, briefly, what Figures 3 and 4 and Tables 2 and 4 are drawn from, and keep logs and results in data/.

Usage: python -m figures.train_short RUNS                     (an hour on two idle cores)
       python -m figures.train_short RUNS --only NAME ...     (some of it; data/ stays as it is)

Small detectors on generated shapes, 468 steps each. A run is kept in RUNS: the same command resumes.
"""

import argparse
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from unittest import mock

import torch

from alrp_ref import alrp
from alrp_ref.data import make_shapes
from alrp_ref.detection import RECIPES, Recipe, retinanet
from alrp_ref.detection.boxes import CODERS
from alrp_ref.detection.criteria import FocalCriterion
from alrp_ref.training import train
from figures import runs

STEPS, SEEDS = 468, (0, 1, 2)
LAST_ROW = "alrp_giou_sb_atss"

ATSS = RECIPES["alrp_tiny"]
IOU = replace(ATSS, assigner="iou", ratios=(0.5, 1.0, 2.0))


def cross_entropy(recipe: Recipe, period: int | None) -> FocalCriterion:
    """Focal loss without its two parameters."""
    return FocalCriterion(CODERS[recipe.coder], alpha=-1, gamma=0, beta=1 / 9, count_images=False)


def zero_target(errors: torch.Tensor, rank: torch.Tensor) -> torch.Tensor:
    return torch.zeros_like(rank)


TABLE_2 = {
    "ap": replace(IOU, loss="ap"),
    "alrp_iou": replace(IOU, loc_error="iou", loc_weight=1.0, self_balance_epochs=0),
    "alrp_iou_sb": replace(IOU, loc_error="iou"),
    "alrp_giou_sb": IOU,
    "alrp_giou_sb_atss": ATSS,
}
TABLE_4 = {f"weight_{weight}": replace(ATSS, loc_weight=float(weight)) for weight in (1, 10, 200)}
FIGURE_4 = {
    "cross_entropy": RECIPES["focal_tiny"],
    "focal": RECIPES["focal_tiny"],
    "alrp_zero_target": ATSS,
}
VARIANTS = TABLE_2 | TABLE_4 | FIGURE_4


def train_one(name: str, recipe: Recipe, data: Path, out: Path, **options) -> None:
    with ExitStack() as changes:  # what nobody should train with is no recipe
        if name == "cross_entropy":
            changes.enter_context(mock.patch.object(retinanet, "build_criterion", cross_entropy))
        if name == "alrp_zero_target":
            changes.enter_context(mock.patch.object(alrp, "target_lrp_error", zero_target))
        train(recipe, data, out, workers=1, **options)


def on_shapes(folder: Path, names: list[str]) -> None:
    shapes = make_shapes(folder / "shapes", train_images=2500, val_images=200)
    todo = [(name, seed) for name in names or VARIANTS for seed in (SEEDS if name in TABLE_2 else SEEDS[:1])]
    for name, seed in todo:
        train_one(name, VARIANTS[name], shapes, folder / f"{name}_{seed}", steps=STEPS, seed=seed)
    if names:
        return
    results = [
        {"name": name, "seed": seed, "steps": STEPS} | runs.result(runs.Run(folder / f"{name}_{seed}", shapes))
        for name, seed in todo
    ]
    runs.write_table(runs.DATA / "results.csv", results)
    runs.write_table(runs.DATA / "bounds.csv", runs.bounds(runs.Run(folder / f"{LAST_ROW}_0", shapes)))
    for name in (LAST_ROW, *FIGURE_4):
        runs.keep_log(folder / f"{name}_0", f"log_{name}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path)
    parser.add_argument("--only", nargs="+", default=[], choices=VARIANTS, metavar="NAME")
    args = parser.parse_args()
    on_shapes(args.runs, args.only)
