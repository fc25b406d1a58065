"""What the figures read of training runs: what is kept in `figures/data`, and the folder of a run."""

import json
from pathlib import Path
from typing import NamedTuple

import numpy as np

from alrp_ref.data import CocoDataset
from alrp_ref.evaluation import order_bounds, rank_correlation
from alrp_ref.machine.files import read_table
from alrp_ref.reports.comparison import BOUNDS
from alrp_ref.training.log import read_metrics

DATA = Path(__file__).parents[1] / "figures" / "data"
METRICS = ("AP", "AP50", "AP75", "AP90", "oLRP")
MEASURED = (*METRICS, "rho")
LOGGED = ("step", "loss_cls", "loss_loc", "weight", "balance")


class Run(NamedTuple):
    """The folder of a training run, and of the data it was evaluated on."""

    folder: Path
    coco: Path


def read_log(path: Path) -> dict[str, np.ndarray]:
    """Columns of a run's `metrics.csv`, or of what was kept of it. Raises: ValueError if it is not one."""
    rows = read_metrics(path)
    if not rows or not set(LOGGED) <= rows[0].keys():
        raise ValueError(f"{path} is not the log of a training run: it must have the columns {', '.join(LOGGED)}")
    return {name: np.array([row[name] for row in rows], dtype=np.float64) for name in LOGGED}


def at_the_end(recipe: str, total_steps: int = 10_000) -> list[dict[str, str]]:
    """Of every seed of a long run its last evaluation."""
    rows = [row for row in read_table(DATA / "length" / "results.csv") if row["recipe"] == recipe]
    return [row for row in rows if row["steps"] == row["total_steps"] == str(total_steps)]


def result(run: Run) -> dict[str, str]:
    """What a run reached on val2017: the metrics, and rho, the correlation of score and IoU."""
    metrics = json.loads((run.folder / "metrics.json").read_text())
    data, detections = _detections(run)
    rho = rank_correlation(data, detections)
    return {name: f"{metrics[name]:.4f}" for name in METRICS} | {"rho": f"{rho:.4f}"}


def bounds(run: Run) -> list[dict[str, str]]:
    """`order_bounds` of a run's detections, as rows of a table."""
    of_iou = order_bounds(*_detections(run))
    return [
        {"order": order} | {name: f"{ap[place].mean():.4f}" for name, place in BOUNDS.items()}
        for order, ap in of_iou.items()
    ]


def _detections(run: Run) -> tuple[CocoDataset, list[dict]]:
    data = CocoDataset(run.coco, "val2017", keep_empty=True)
    return data, json.loads((run.folder / "detections.json").read_text())
