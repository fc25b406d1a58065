"""One training run with a result: a recipe in a folder of its own, which can be stopped, resumed and shared.

A finished run has a `result.json`. So the same command resumes what was interrupted, and several processes with the
same command share the runs: each takes the next run that is not locked.
"""

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

import torch

from alrp_ref.data import CocoDataset, Layout
from alrp_ref.data.annotations.layout import SPLITS
from alrp_ref.data.annotations.read import annotation_file
from alrp_ref.data.digest import digest_of
from alrp_ref.detection import Recipe
from alrp_ref.detection.former_recipes import converted
from alrp_ref.detection.recipes import as_data
from alrp_ref.evaluation import METRICS, evaluate, rank_correlation
from alrp_ref.machine.files import DataError, locked, write_atomic
from alrp_ref.training.checkpoint import check_same_run
from alrp_ref.training.errors import Diverged
from alrp_ref.training.log import read_metrics
from alrp_ref.training.loop import train
from alrp_ref.training.options import TrainOptions
from alrp_ref.training.validation import read_result, write_evaluation


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """A recipe, its data, its folder and its options, of which `steps` must be given."""

    recipe: Recipe
    coco: Path | Layout
    folder: Path
    options: TrainOptions

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

    def train(self, log: Callable[[str], None] = print) -> None:
        """Train or resume, and write `result.json`. If the loss is not finite, the result has no detections."""
        reached = {}
        try:
            model, metrics = train(self.recipe, self.coco, self.folder, self.options, log=log)
            device = next(model.parameters()).device
            reached["device"] = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
        except Diverged as error:
            reached["stopped"] = str(error)
            metrics = evaluate(annotation_file(self.coco, "val2017"), [])
            write_evaluation(self.folder, [], metrics)
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
        identity = {"recipe": as_data(self.recipe), "steps": self.options.steps, "seed": self.options.seed}
        # A round trip through JSON turns tuples into lists, so that it compares equal to what a file holds.
        return json.loads(json.dumps(identity | {"backbone": self.options.backbone, "data": data}))


class Run(Protocol):
    """What `train_all` needs of a run: its folder, and its result, None until it has finished."""

    folder: Path

    @property
    def result(self) -> object | None: ...


R = TypeVar("R", bound=Run)


def train_all(runs: Sequence[R], train: Callable[[R], None], *, log: Callable[[str], None] = print) -> None:
    """Train those without a result, one by one, by `train`.

    The first pass skips those that another process has locked; the second waits for them.
    """
    for wait in (False, True):
        for number, run in enumerate(runs, 1):
            with locked(run.folder / "compared", wait=wait) as is_ours:
                if not is_ours:
                    log(f"another process is at run {number} of {len(runs)}: {run.folder}")
                elif run.result is None:
                    log(f"\nrun {number} of {len(runs)}: {run.folder}")
                    train(run)
