"""Train what the figures and tables of trained detectors are made from, in the order of their worth.

Usage: python -m figures.train RUNS [--only STUDY ...] [--processes N] [--device DEVICE] [--precision P]
       python -m figures.train RUNS --coco DIR --backbone-weights FILE     photographs, too

Each run has a folder in RUNS, and `data/length/results.csv` gets its evaluations when it ends. The same command
resumes what was stopped; several processes, on one machine, share the runs. Small detectors on generated shapes:
10,000 steps take half an hour of a core, and with `--precision bfloat16` 18 minutes of one that has instructions for it
(`avx512_bf16` in /proc/cpuinfo). A GPU is no faster here: sixteen processes made 4 steps/s each on one H100.
"""

import argparse
import math
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import torch

from alrp_ref.data import CocoDataset, hold_out, make_shapes
from alrp_ref.detection import RECIPES, Recipe
from alrp_ref.detection.recipe_losses import ALRP, AP, Focal, Loss, MeanGIoU, Separate, SmoothL1
from alrp_ref.machine.files import locked, read_table, write_table
from alrp_ref.reports.compare import Run as ComparedRun
from alrp_ref.training.log import read_metrics
from alrp_ref.training.plan import with_batch_size
from figures import runs

RESULTS = runs.DATA / "length" / "results.csv"
COLUMNS = ("AP", "AP50", "AP75", "AP90", "oLRP", "oLRP_loc", "oLRP_fp", "oLRP_fn", "rho")
SHAPES = {"train_images": 8000, "val_images": 1000}
STEPS = 10_000
EVALUATED_EVERY = 2_500
HELD_OUT = 10
"""Every tenth training image is held out for the sweep of the learning rates."""
PHOTOGRAPH_EPOCHS = 100

TINY = RECIPES["alrp_tiny"]
IOU = replace(TINY, assigner="iou", ratios=(0.5, 1.0, 2.0))
LOSSES = {"alrp": TINY, "ap": RECIPES["ap_tiny"], "focal": RECIPES["focal_tiny"]}


def with_loss(loss: Loss, recipe: Recipe = TINY) -> Recipe:
    return replace(recipe, loss=loss)


def constant(weight: float, loc_error: str = "giou") -> ALRP:
    """aLRP Loss whose weight of the boxes stays."""
    return ALRP(loc_error=loc_error, first_weight=float(weight), self_balance_epochs=0)


TABLE_2 = {
    "ap_iou_anchors": with_loss(AP(), IOU),
    "alrp_iou_weight_1": with_loss(constant(1, "iou"), IOU),
    "alrp_iou_sb": with_loss(ALRP(loc_error="iou"), IOU),
    "alrp_giou_sb": IOU,
}
TABLE_3 = {
    f"{error}_weight_{weight}": with_loss(constant(weight, error))
    for weight in (1, 2, 5, 10, 20, 50)
    for error in ("giou", "iou")
} | {"iou_self_balance": with_loss(ALRP(loc_error="iou"))}
TABLE_4 = {f"first_weight_{weight}": with_loss(ALRP(first_weight=float(weight))) for weight in (1, 10, 200)}
ALIKE = {
    f"ap_alike_{weight}": with_loss(Separate(scores=AP(), boxes=MeanGIoU(), weight=float(weight)))
    for weight in (3, 10, 1)
}
SMOOTH_L1 = {
    f"ap_smooth_l1_{weight}": with_loss(Separate(scores=AP(), boxes=SmoothL1(), weight=float(weight)))
    for weight in (3, 10)
}
TWO_BY_TWO = {
    "alrp_alike_3": with_loss(Separate(scores=ALRP(), boxes=MeanGIoU(), weight=3.0)),
    "ap_ordered": with_loss(Separate(scores=AP(), boxes=ALRP())),
}
FIGURE_4 = {"cross_entropy": with_loss(Focal(alpha=None, gamma=0.0)), "focal": LOSSES["focal"], "alrp": TINY}
FIGURE_4_SHAPES = {"train_images": 640, "val_images": 100}
FIGURE_4_STEPS = 480
"""Twelve short epochs, as many as in the paper, of forty steps."""

# The learning rates that the sweep of comparison.md chose for batches of 8, in proportion.
_PHOTOGRAPHS = with_batch_size(RECIPES["alrp_mobilenet_320"], 16)
PHOTOGRAPHS = {
    "photographs_alrp": _PHOTOGRAPHS,
    "photographs_ap": with_loss(AP(), _PHOTOGRAPHS),
    "photographs_focal": replace(_PHOTOGRAPHS, loss=Focal(), lr=0.064),
}


@dataclass(frozen=True, kw_only=True)
class Run(ComparedRun):
    """A run that is evaluated every `EVALUATED_EVERY` steps."""

    def train(self, **options) -> None:
        every = max(1, EVALUATED_EVERY // (images_of(self.coco) // self.recipe.batch_size))
        super().train(eval_every=every, **options)


@cache
def images_of(coco: Path) -> int:
    """The number of training images."""
    return len(CocoDataset(coco, "train2017"))


@dataclass(frozen=True)
class Studies:
    """Every run, by study. Args: `folder` of the runs; `coco` with photographs, and the weights to begin with."""

    folder: Path
    coco: Path | None = None
    weights: Path | None = None

    def rates(self) -> Iterator[Run]:
        """The learning rate of each loss, on training images held out: the recipe's, and half a decade to each side."""
        held_out = hold_out(self._shapes(), self.folder / "held_out", HELD_OUT)
        for name, recipe in LOSSES.items():
            for factor in (1, 10**0.5, 10**-0.5):
                lr = float(f"{recipe.lr * factor:.2g}")
                recipe_here = replace(recipe, name=f"rate_{name}_{lr:g}", lr=lr)
                yield self._run(recipe_here, EVALUATED_EVERY, seed=0, coco=held_out)

    def losses(self) -> Iterator[Run]:
        """aLRP, AP and focal loss at full length."""
        yield from self._each(LOSSES, seeds=3)

    def longer(self) -> Iterator[Run]:
        """aLRP Loss, AP Loss, and AP Loss with a pull at all boxes alike, at twice that."""
        recipes = {name: (LOSSES | ALIKE)[name] for name in ("alrp", "ap", "ap_alike_3")}
        yield from self._each(recipes, seeds=2, steps=2 * STEPS)

    def table2(self) -> Iterator[Run]:
        """The ablation; its last row is a run of `losses`."""
        yield from self._each(TABLE_2, seeds=3)

    def table3(self) -> Iterator[Run]:
        """Constant weights of the boxes, and IoU with self-balance; GIoU with it is a run of `losses`."""
        yield from self._each(TABLE_3, seeds=1)

    def table4(self) -> Iterator[Run]:
        """First weights of the self-balance; 50 is a run of `losses`."""
        yield from self._each(TABLE_4, seeds=1)

    def alike(self) -> Iterator[Run]:
        """AP Loss with a pull at all boxes alike: mean GIoU error, or smooth L1, at constant weights.

        aLRP Loss, and smooth L1 at weight 1, are runs of `losses`.
        """
        yield from self._each(ALIKE | SMOOTH_L1, seeds=2)

    def two_by_two(self) -> Iterator[Run]:
        """The scores by one of the two losses, the boxes in the order of the scores or all alike.

        The other two of the four are runs of `losses` and of `alike`.
        """
        yield from self._each(TWO_BY_TWO, seeds=2)

    def figure4(self) -> Iterator[Run]:
        """Cross entropy, focal loss and aLRP Loss over twelve short epochs, ten runs of each."""
        coco = make_shapes(self.folder / "figure4" / "shapes", **FIGURE_4_SHAPES)
        for seed in range(10):
            for name, recipe in FIGURE_4.items():
                yield Run(
                    recipe=replace(recipe, name=name, lr=self._best_rate(recipe)),
                    coco=coco,
                    folder=self.folder / "figure4" / f"{name}_{seed}",
                    steps=FIGURE_4_STEPS,
                    seed=seed,
                    backbone="none",
                )

    def photographs(self) -> Iterator[Run]:
        """Three losses on photographs, if there are any."""
        if self.coco is not None:
            steps = round(PHOTOGRAPH_EPOCHS * (images_of(self.coco) // _PHOTOGRAPHS.batch_size))
            for seed in range(3):
                for name, recipe in PHOTOGRAPHS.items():
                    yield self._run(replace(recipe, name=name), steps, seed, self.coco)

    def _each(self, recipes: dict[str, Recipe], seeds: int, steps: int = STEPS) -> Iterator[Run]:
        for seed in range(seeds):
            for name, recipe in recipes.items():
                yield self._run(replace(recipe, name=name, lr=self._best_rate(recipe)), steps, seed, self._shapes())

    def _run(self, recipe: Recipe, steps: int, seed: int, coco: Path) -> Run:
        folder = self.folder / f"{recipe.name}_{steps}_{seed}"
        backbone = self.weights.name if coco == self.coco and self.weights else "none"
        return Run(recipe=recipe, coco=coco, folder=folder, steps=steps, seed=seed, backbone=backbone)

    def _shapes(self) -> Path:
        return make_shapes(self.folder / "shapes", **SHAPES)

    def _best_rate(self, recipe: Recipe) -> float:
        """The learning rate that was best in the sweep of a loss; the recipe's if there was no sweep."""
        scores = recipe.loss.scores if isinstance(recipe.loss, Separate) else recipe.loss
        name = next(name for name, of_loss in LOSSES.items() if isinstance(scores, type(of_loss.loss)))
        tried = [row for row in read_table(RESULTS) if row["recipe"].startswith(f"rate_{name}_")]
        best = max(tried, key=lambda row: (int(row["steps"]), float(row["AP"])), default=None)
        return float(best["recipe"].removeprefix(f"rate_{name}_")) if best else recipe.lr


STUDIES = ("rates", "losses", "photographs", "longer", "table2", "table3", "table4", "alike", "two_by_two", "figure4")


def collect(folder: Path, results: Path = RESULTS) -> None:
    """Write the evaluations of every run in a folder to `results`, run by run; rows of runs that are elsewhere stay."""
    rows = []
    for path in sorted(folder.glob("*/evaluations.csv")):
        name, total_steps, seed = path.parent.name.rsplit("_", 2)
        loss = next((loss for loss in LOSSES if loss in name.split("_")), "alrp")
        for row in read_metrics(path):
            values = {column: "" if math.isnan(row[column]) else f"{row[column]:.4f}" for column in COLUMNS}
            identity = {"recipe": name, "loss": loss, "seed": seed, "steps": row["step"], "total_steps": total_steps}
            rows.append(identity | values)
    if rows:
        results.parent.mkdir(parents=True, exist_ok=True)
        runs.replace_runs(results, rows, _run_of)


def collect_figure4(folder: Path, to: Path = runs.DATA / "length" / "figure4.csv") -> None:
    """Write mean, least and most of the finished runs of each loss, step by step, of the ratio and of the loss."""
    rows = []
    for name in FIGURE_4:
        logs = [runs.read_log(path.parent / "metrics.csv") for path in folder.glob(f"figure4/{name}_*/result.json")]
        for step in range(FIGURE_4_STEPS if logs else 0):
            row = {"loss": name, "runs": len(logs), "step": step}
            for column in ("balance", "loss_cls"):
                values = [log[column][step] for log in logs]
                row |= {column: f"{sum(values) / len(values):.4g}"}
                row |= {f"{column}_least": f"{min(values):.4g}", f"{column}_most": f"{max(values):.4g}"}
            rows.append(row)
    if rows:
        write_table(to, rows)


def collect_details(folder: Path, to: Path = runs.DATA / "length") -> None:
    """Write, of the finished runs of Table 2 with seed 0, what Table 5 and Figure 3 show: bounds of AP, and a log."""
    finished = {name: folder / f"{name}_{STEPS}_0" for name in ("ap_iou_anchors", "alrp_giou_sb")}
    if all((run / "result.json").is_file() for run in finished.values()):
        rows = {name: runs.bounds(runs.Run(run, folder / "shapes")) for name, run in finished.items()}
        write_table(to / "bounds.csv", [{"recipe": name} | row for name, own in rows.items() for row in own])
        runs.keep_log(finished["alrp_giou_sb"], "length/log_alrp_giou_sb", 50)


def _run_of(row: dict) -> tuple[str, int, int]:
    """What tells a row's run from all others: recipe, length and seed."""
    return row["recipe"], int(row["total_steps"]), int(row["seed"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path)
    parser.add_argument("--only", nargs="+", default=STUDIES, choices=STUDIES, metavar="STUDY", help=", ".join(STUDIES))
    parser.add_argument("--processes", type=int, default=1, help="this many at a time (default 1)")
    parser.add_argument("--device", default="cpu", help='"cpu" (default) or "cuda"')
    parser.add_argument("--precision", choices=("bfloat16", "float32"), help="as for `alrp train`")
    parser.add_argument("--coco", type=Path, help="photographs in COCO's layout")
    parser.add_argument("--backbone-weights", type=Path, help="MobileNetV2's, for the photographs")
    args = parser.parse_args()
    make_shapes(args.runs / "shapes", **SHAPES)
    if args.processes > 1:
        alone = [sys.executable, "-m", "figures.train", *sys.argv[1:], "--processes", "1"]
        raise SystemExit(max(process.wait() for process in [subprocess.Popen(alone) for _ in range(args.processes)]))
    torch.set_num_threads(1)
    studies = Studies(args.runs, args.coco, args.backbone_weights)
    for study in args.only:
        weights = {"backbone_weights": args.backbone_weights} if study == "photographs" else {}
        for run in getattr(studies, study)():
            with locked(run.folder / "compared", wait=False) as is_ours:
                if is_ours and run.result is None:
                    run.train(workers=0, cache=True, device=args.device, precision=args.precision, **weights)
                    with locked(args.runs / "lock", wait=True):
                        collect(args.runs)
                        collect_figure4(args.runs)
                        collect_details(args.runs)


if __name__ == "__main__":
    main()
