"""Train what Figures 3 and 4 and Tables 2 to 4 are drawn from, and keep the logs and results in data/.

Usage: python figures/train.py RUNS                     (an hour on two idle cores)
       python figures/train.py RUNS --only NAME ...     (some of it; data/ stays as it is)
       python figures/train.py RUNS --coco DIR --backbone-weights FILE

The first trains small detectors on generated shapes, 468 steps each; the last trains MobileNetV2 on photographs for
Figure 4, 115 steps for each loss. A run is kept in RUNS: give the same command again to go on.
"""

import argparse
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from unittest import mock

import runs
import torch

from alrp_ref import ALRPLoss, alrp, iou_error
from alrp_ref.coco import make_shapes
from alrp_ref.detection import RECIPES, Recipe, retinanet
from alrp_ref.detection.boxes import CODERS
from alrp_ref.detection.criteria import ALRPCriterion, FocalCriterion
from alrp_ref.training import train

STEPS, SEEDS = 468, (0, 1, 2)
COCO_STEPS = 115
LAST_ROW = "alrp_giou_sb_atss"

ATSS = RECIPES["alrp_tiny"]
IOU = replace(ATSS, assigner="iou", ratios=(0.5, 1.0, 2.0))


class IoUCriterion(ALRPCriterion):
    """aLRP Loss with 1 - IoU for the boxes."""

    loc_error = staticmethod(iou_error)


def alrp_loss(
    criterion: type[ALRPCriterion],
    name: str,
    period: int | None,
    coder: str,
    rank_scope: str,
    *,
    weight: float,
    balance: bool,
) -> ALRPCriterion:
    """aLRP Loss whose localisation part starts with a weight of its own and, without `balance`, keeps it."""
    made = criterion(CODERS[coder])
    made.loss = ALRPLoss(period if balance else None, initial_weight=weight, rank_scope=rank_scope)
    return made


def cross_entropy(name: str, period: int | None, coder: str, rank_scope: str) -> FocalCriterion:
    """Focal loss without its two parameters."""
    return FocalCriterion(CODERS[coder], alpha=-1, gamma=0, beta=1 / 9, count_images=False)


def zero_target(errors: torch.Tensor, rank: torch.Tensor) -> torch.Tensor:
    return torch.zeros_like(rank)


def with_weight(weight: float, *, balance: bool = True, criterion: type[ALRPCriterion] = ALRPCriterion) -> Callable:
    return partial(alrp_loss, criterion, weight=weight, balance=balance)


TABLE_2: dict[str, tuple[Recipe, Callable | None]] = {
    "ap": (replace(IOU, loss="ap"), None),
    "alrp_iou": (IOU, with_weight(1.0, balance=False, criterion=IoUCriterion)),
    "alrp_iou_sb": (IOU, with_weight(50.0, criterion=IoUCriterion)),
    "alrp_giou_sb": (IOU, None),
    "alrp_giou_sb_atss": (ATSS, None),
}
TABLE_4 = {f"weight_{weight}": (ATSS, with_weight(float(weight))) for weight in (1, 10, 200)}
FIGURE_4 = {
    "cross_entropy": (RECIPES["focal_tiny"], cross_entropy),
    "focal": (RECIPES["focal_tiny"], None),
    "alrp_zero_target": (ATSS, None),
}
VARIANTS = TABLE_2 | TABLE_4 | FIGURE_4


def train_one(name: str, recipe: Recipe, data: Path, out: Path, **options) -> None:
    with ExitStack() as changes:  # the ablation's variants, which nobody should train with, are no recipes
        if VARIANTS[name][1] is not None:
            changes.enter_context(mock.patch.object(retinanet, "build_criterion", VARIANTS[name][1]))
        if name == "alrp_zero_target":
            changes.enter_context(mock.patch.object(alrp, "target_lrp_error", zero_target))
        train(recipe, data, out, workers=1, **options)


def on_shapes(folder: Path, names: list[str]) -> None:
    shapes = make_shapes(folder / "shapes", train_images=2500, val_images=200)
    todo = [(name, seed) for name in names or VARIANTS for seed in (SEEDS if name in TABLE_2 else SEEDS[:1])]
    for name, seed in todo:
        train_one(name, VARIANTS[name][0], shapes, folder / f"{name}_{seed}", steps=STEPS, seed=seed)
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


def on_coco(folder: Path, coco: Path, weights: Path) -> None:
    for name in (LAST_ROW, *FIGURE_4):
        out = folder / f"coco_{name}"
        recipe = RECIPES[VARIANTS[name][0].name.replace("tiny", "mobilenet_320")]
        train_one(name, recipe, coco, out, steps=COCO_STEPS, backbone_weights=weights)
        runs.keep_log(out, f"log_coco_{name}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path)
    parser.add_argument("--only", nargs="+", default=[], choices=VARIANTS, metavar="NAME")
    parser.add_argument("--coco", type=Path)
    parser.add_argument("--backbone-weights", type=Path)
    args = parser.parse_args()
    if args.coco is None:
        on_shapes(args.runs, args.only)
    else:
        on_coco(args.runs, args.coco, args.backbone_weights)
