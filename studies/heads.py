"""What each loss makes of a head on photographs: the features of a network trained on COCO are frozen.

Usage: python -m studies.heads RUNS --coco DIR --network yolox_nano.onnx [--only ROW ...] [--steps N] [--precision P]

Five folds: each photograph is detected by a head that was not trained on it. Photographs of COCO's train2017, which
the network knows, are trained on and never tested on. Every row has the same batches in the same order, a fall of the
learning rate inside the run, and the best of three rates: 800 steps on the training photographs of the first fold,
every tenth held out. A run that was stopped resumes at its last epoch, and several processes with the same command
share the runs. All rows have their first fold before one has its second. It needs the packages onnx and onnxruntime,
2.5 GB on the disk, and for 3,000 steps 25 minutes of a core that has instructions for bfloat16.

It compares what the losses make of a head. It says nothing about how they shape a backbone.
"""

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from alrp_ref.commands.arguments import add_options, options_of
from alrp_ref.detection.detector import at_least_float32, sizes_of
from alrp_ref.detection.postprocess import coco_rows
from alrp_ref.detection.recipes import Recipe, get_recipe
from alrp_ref.detection.retinanet import RetinaNet
from alrp_ref.detection.saved_model import save_checkpoint
from alrp_ref.evaluation import METRICS, evaluate, rank_correlation, resampled_ap
from alrp_ref.machine.files import locked, read_json, write_atomic, write_table
from alrp_ref.training.experiment import train_all
from alrp_ref.training.schedule import learning_rate
from studies import recipes
from studies.features import CHANNELS, SIDE, Features
from studies.results import DATA, MEASURED

FOLDS = 5
STEPS, SWEEP_STEPS = 3_000, 800
RATES = (0.05, 0.025, 0.1)
MILESTONES = (0.78, 0.95)
"""Shares of the steps after which the learning rate is a tenth."""
HELD_OUT = 10
ROWS = ("alrp", "giou_weight_5", "ap", "ap_alike_3", "ap_scored_2", "rs", "focal", "alrp_alike_3", "ap_ordered_5")
"""Names of `recipes.ON_SHAPES`: their losses are trained here, in the order of their worth."""
HEAD = replace(
    get_recipe("alrp_tiny"),
    anchor_scale=8.0,
    scales_per_octave=1,
    train_size=SIDE,
    test_size=(SIDE, SIDE),
    warmup_iters=200,
    clip_norm=2.0,
)


class Maps(nn.Module):
    """In place of a backbone: it has channels, and is never called."""

    channels = (0, *CHANNELS)


class Head(RetinaNet):
    """The detector of a recipe on given maps: a 1x1 convolution with group norm for each, in place of a pyramid."""

    def __init__(self, recipe: Recipe, num_classes: int, self_balance_period: int):
        super().__init__(recipe, Maps(), num_classes, self_balance_period=self_balance_period)
        width = recipe.fpn_channels
        self.fpn = nn.ModuleList(nn.Sequential(nn.Conv2d(c, width, 1), nn.GroupNorm(8, width)) for c in CHANNELS)

    def features(self, maps: Sequence[Tensor]) -> list[Tensor]:
        return [layer(level) for layer, level in zip(self.fpn, maps, strict=True)]


@dataclass(frozen=True, kw_only=True)
class Fold:
    """A loss, what it is trained on and tested on, by index of the photograph, and its folder."""

    row: str
    lr: float
    steps: int
    seed: int
    train: np.ndarray
    test: np.ndarray
    folder: Path

    @property
    def result(self) -> dict[str, Any] | None:
        path = self.folder / "result.json"
        return read_json(path) if path.exists() else None


def folds(features: Features, runs: Path, row: str, lr: float, steps: int) -> Iterator[Fold]:
    """Those of a row: photographs that the network has not seen are tested in turn."""
    known = seen_by_network(features)
    for fold in range(FOLDS):
        test = np.flatnonzero(~known)[fold::FOLDS]
        train = np.setdiff1d(np.arange(len(known)), test)
        folder = runs / f"{row}_{steps}_{fold}"
        yield Fold(row=row, lr=lr, steps=steps, seed=fold, train=train, test=test, folder=folder)


def sweep(features: Features, runs: Path, row: str) -> list[Fold]:
    """The learning rates of a row, on the training photographs of its first fold."""
    first = next(folds(features, runs, row, 0.0, SWEEP_STEPS))
    held = first.train[HELD_OUT - 1 :: HELD_OUT]
    rest = np.setdiff1d(first.train, held)
    return [replace(first, lr=lr, train=rest, test=held, folder=runs / f"sweep_{row}_{lr:g}") for lr in RATES]


def seen_by_network(features: Features) -> np.ndarray:
    """Whether a photograph is of COCO's train2017: (n,) bool."""
    urls = {
        (number, image["id"]): image.get("coco_url", "")
        for number, split in enumerate(features.splits)
        for image in split.coco.dataset["images"]
    }
    return np.array(["/train2017/" in urls[one] for one in features.ids])


def train(run: Fold, features: Features, *, precision: str, device: str) -> None:
    """Train or resume a head, detect on its test photographs, and write `detections.json` and `result.json`."""
    recipe = replace(HEAD, loss=get_recipe(recipes.ON_SHAPES[run.row]).loss, lr=run.lr)
    epoch_steps = len(run.train) // recipe.batch_size
    torch.manual_seed(run.seed)
    model = Head(recipe, len(features.splits[0].class_names), recipe.loss.self_balance_period(epoch_steps) or 0)
    model.to(device).train()
    optimiser = torch.optim.SGD(model.parameters(), recipe.lr, recipe.momentum, weight_decay=recipe.weight_decay)
    saved, done = run.folder / "head.pt", 0
    if saved.exists():
        state = torch.load(saved, weights_only=True)
        model.load_state_dict(state["model"])
        optimiser.load_state_dict(state["optimiser"])
        done = state["step"]
    for step in range(done, run.steps):
        epoch, place = divmod(step, epoch_steps)
        rng = np.random.default_rng([run.seed, epoch])
        order, mirrored = rng.permutation(run.train), rng.integers(2, size=len(run.train))
        own = slice(place * recipe.batch_size, (place + 1) * recipe.batch_size)
        for group in optimiser.param_groups:
            group["lr"] = learning_rate(
                step,
                recipe.lr,
                warmup_steps=min(recipe.warmup_iters, run.steps // 4),
                warmup_factor=recipe.warmup_factor,
                milestones=[round(share * run.steps) for share in MILESTONES],
            )
        loss = _losses(model, features, order[own], mirrored[own], precision=precision, device=device)
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), recipe.clip_norm)
        optimiser.step()
        if place == epoch_steps - 1:
            state = {"model": model.state_dict(), "optimiser": optimiser.state_dict(), "step": step + 1}
            save_checkpoint(saved, state)
    found = detect(model.eval(), features, run.test, device)
    metrics = evaluate(truth(features, run.test), found)
    write_atomic(run.folder / "detections.json", json.dumps(found))
    result = {"row": run.row, "lr": run.lr, "steps": run.steps, "seed": run.seed}
    write_atomic(run.folder / "result.json", json.dumps(result | {name: metrics[name] for name in METRICS}))


def _losses(model: Head, features: Features, images: np.ndarray, mirrored: np.ndarray, *, precision: str, device: str):
    """The total loss of a batch."""
    levels, targets = features.batch(images.tolist(), mirrored.tolist())
    targets = [{name: x.to(device) for name, x in target.items()} for target in targets]
    with torch.autocast(torch.device(device).type, torch.bfloat16, enabled=precision == "bfloat16"):
        maps = model.features([level.to(device) for level in levels])
        sizes = [features.sizes[i] for i in images.tolist()]
        assigned = model.assigned(sizes_of(maps), targets, sizes, at_least_float32(maps[0][:0]))
        return sum(model.losses(maps, targets, sizes, assigned).values())


@torch.no_grad()
def detect(model: Head, features: Features, images: np.ndarray, device: str) -> list[dict[str, Any]]:
    """Detections in COCO's format, in pixels of the files, under the index of the photograph as its id."""
    categories, found = features.splits[0].category_ids, []
    for index in images.tolist():
        levels, _ = features.batch([index], [0])
        maps = model.features([level.to(device) for level in levels])
        (one,) = model.detections(maps, [features.sizes[index]], model.recipe.score_threshold)
        boxes = one["boxes"].cpu() / features.scales[index]
        found += coco_rows({name: x.cpu() for name, x in one.items()} | {"boxes": boxes}, index + 1, categories)
    return found


def truth(features: Features, images: np.ndarray) -> dict[str, Any]:
    """The annotations of some photographs, whose ids are their indices, from 1."""
    index_of = {features.ids[index]: int(index) + 1 for index in images}
    content: dict[str, list] = {"images": [], "annotations": []}
    for number, split in enumerate(features.splits):
        for key, field in (("images", "id"), ("annotations", "image_id")):
            own = (one for one in split.coco.dataset[key] if (number, one[field]) in index_of)
            content[key] += [one | {field: index_of[number, one[field]]} for one in own]
    for number, one in enumerate(content["annotations"], 1):
        one["id"] = number
    return content | {"categories": features.splits[0].coco.dataset["categories"]}


class Photographs:
    """Some photographs as `rank_correlation` reads them: their ids are their indices, from 1."""

    def __init__(self, features: Features):
        self.features, self.category_ids = features, features.splits[0].category_ids

    def target(self, image_id: int) -> dict[str, Tensor]:
        one, scale = self.features.targets[image_id - 1], self.features.scales[image_id - 1]
        return {"boxes": one["boxes"] / scale, "labels": one["labels"]}


def summarise(features: Features, runs: Path, steps: int, to: Path = DATA / "heads") -> None:
    """Write what the heads of each row found on all photographs of its first folds together, as many as are done.

    `results.csv`: of all classes, of person, and of the others. `resampled.npz`: `resampled_ap`, by row and folds.
    """
    rows, samples = [], {}
    for row in ROWS:
        done = list(takewhile(lambda run: run.result, folds(features, runs, row, 0.0, steps)))
        if not done:
            continue
        content = truth(features, np.concatenate([run.test for run in done]))
        found = [detection for run in done for detection in read_json(run.folder / "detections.json")]
        metrics = evaluate(content, found)
        rho = rank_correlation(Photographs(features), found)
        others = [of_class for name, of_class in metrics.per_class.items() if name != "person"]
        groups = {"all": dict(metrics) | {"rho": rho}, "person": metrics.per_class["person"]}
        groups["others"] = {name: np.nanmean([one[name] for one in others]) for name in MEASURED if name != "rho"}
        own = {"row": row, "lr": done[0].result["lr"], "steps": steps, "folds": len(done)}
        own["photographs"] = len(content["images"])
        for group, values in groups.items():
            shown = {name: f"{values[name]:.4f}" if name in values else "" for name in MEASURED}
            rows.append(own | {"class": group} | shown)
        samples[f"{row}_{len(done)}"] = resampled_ap(content, found).astype(np.float32)
    if rows:
        to.mkdir(exist_ok=True)
        write_table(to / "results.csv", rows)
        np.savez_compressed(to / "resampled.npz", **samples)


def main() -> None:
    parser = argparse.ArgumentParser("python -m studies.heads", description=__doc__.splitlines()[0])
    parser.add_argument("runs", type=Path, metavar="RUNS", help="folder of the features and the runs")
    parser.add_argument("--coco", type=Path, required=True, metavar="DIR", help="photographs in COCO's layout")
    parser.add_argument("--network", type=Path, required=True, metavar="FILE", help="YOLOX-nano as an ONNX file")
    parser.add_argument("--only", nargs="+", default=[*ROWS], choices=ROWS, metavar="ROW", help=", ".join(ROWS))
    parser.add_argument("--steps", type=int, default=STEPS, help=f"of each run (default {STEPS})")
    parser.add_argument("--lr", type=float, help="leave out the sweep, and take this rate for every row")
    add_options(parser, "device", "precision")
    args = parser.parse_args()
    options = options_of(args)
    torch.set_num_threads(1)
    with locked(args.runs / "lock", wait=True):
        features = Features(args.coco, args.network, args.runs / "features")

    def train_head(run: Fold) -> None:
        train(run, features, precision=options.precision or "float32", device=options.device or "cpu")
        print({name: round(run.result[name], 4) for name in ("AP", "AP50", "AP90")})

    def train_fold(run: Fold) -> None:
        train_head(run)
        with locked(args.runs / "lock", wait=True):
            summarise(features, args.runs, args.steps)

    by_row = []
    for row in args.only:
        lr = args.lr
        if lr is None:
            tried = sweep(features, args.runs, row)
            train_all(tried, train_head)
            lr = max(tried, key=lambda run: run.result["AP"]).lr
        by_row.append(folds(features, args.runs, row, lr, args.steps))
    train_all([run for of_fold in zip(*by_row, strict=True) for run in of_fold], train_fold)


if __name__ == "__main__":
    main()
