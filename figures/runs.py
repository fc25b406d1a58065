"""What the figures read from training runs: logs, results, and what the order of the scores is worth.

Usage: python -m figures.runs RUN NAME [LENGTH]     keeps a run's log as data/NAME.csv, LENGTH steps a row
"""

import json
import sys
from collections.abc import Callable, Hashable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from alrp_ref.data import CocoDataset
from alrp_ref.evaluation import order_bounds, rank_correlation
from alrp_ref.machine.files import read_table, write_table
from alrp_ref.reports.comparison import BOUNDS
from alrp_ref.reports.curves import block_means
from alrp_ref.training.log import read_metrics

DATA = Path(__file__).parent / "data"
METRICS = ("AP", "AP50", "AP75", "AP90", "oLRP")
COLUMNS = ("step", "loss_cls", "loss_loc", "weight", "balance")


class Run(NamedTuple):
    """The folder of a training run, and of the data it was evaluated on."""

    folder: Path
    coco: Path


def read_log(path: Path) -> dict[str, np.ndarray]:
    """Columns of a run's `metrics.csv`, or of what was kept of it. Raises: ValueError if it is not one."""
    rows = read_metrics(path)
    if not rows or not set(COLUMNS) <= rows[0].keys():
        raise ValueError(f"{path} is not the log of a training run: it must have the columns {', '.join(COLUMNS)}")
    return {name: np.array([row[name] for row in rows], dtype=np.float64) for name in COLUMNS}


def keep_log(folder: Path, name: str, length: int = 1) -> None:
    """A run's log in four digits, in `data/`: all steps, or the means of so many at a time, named by the first."""
    log = read_log(folder / "metrics.csv")
    means = {column: block_means(log[column], length) for column in COLUMNS[1:]}
    rows = [
        {"step": i * length} | {column: f"{values[i]:.4g}" for column, values in means.items()}
        for i in range(len(log["step"]) // length)
    ]
    write_table(DATA / f"{name}.csv", rows)


def replace_runs(path: Path, rows: list[dict], run_of: Callable[[dict], Hashable]) -> None:
    """Write the rows of some runs to a table, in place of those that it has of them. Rows of other runs stay.

    Args: `run_of`, what tells the run of a row from all others; the table is in its order, and in that of the steps.
    """
    here = {run_of(row) for row in rows}
    others = [row for row in read_table(path) if run_of(row) not in here] if path.exists() else []
    write_table(path, sorted(others + rows, key=lambda row: (run_of(row), int(row["steps"]))))


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


if __name__ == "__main__":
    keep_log(Path(sys.argv[1]), sys.argv[2], *map(int, sys.argv[3:]))
