"""What the figures read from training runs: logs, results, and what the order of the scores is worth.

Usage: python figures/runs.py RUN NAME [LENGTH]     keeps a run's log as data/NAME.csv, LENGTH steps a row
"""

import csv
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from alrp_ref.coco import CocoDataset
from alrp_ref.training.log import read_metrics
from alrp_ref.training.report import rank_correlation, true_positives

DATA = Path(__file__).parent / "data"
METRICS = ("AP", "AP50", "AP75", "AP90", "oLRP")
COLUMNS = ("step", "loss_cls", "loss_loc", "weight", "balance")
IOUS = np.linspace(0.5, 0.95, 10)
ORDERS = ("lower", "as it is", "upper")


class Run(NamedTuple):
    """The folder of a training run, and of the data it was evaluated on."""

    folder: Path
    coco: Path


def read_table(path: Path) -> list[dict[str, str]]:
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def write_table(path: Path, rows: Sequence[Mapping[str, object]]) -> None:
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


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


def mean_results(name: str) -> dict[str, tuple[float, float]]:
    """Of each metric the mean over the seeds of one of our runs, and half of its range."""
    seeds = [row for row in read_table(DATA / "results.csv") if row["name"] == name]
    values = {column: [float(row[column]) for row in seeds] for column in (*METRICS, "rho")}
    return {column: (float(np.mean(x)), (max(x) - min(x)) / 2) for column, x in values.items()}


def result(run: Run) -> dict[str, str]:
    """What a run reached on val2017: the metrics, and rho, the correlation of score and IoU."""
    metrics = json.loads((run.folder / "metrics.json").read_text())
    data, detections = _detections(run)
    rho = rank_correlation(data, detections)
    return {name: f"{metrics[name]:.4f}" for name in METRICS} | {"rho": f"{rho:.4f}"}


def bounds(run: Run) -> list[dict[str, str]]:
    """AP if the scores of the true positives had the worst and the best order, and as it is (Table 3).

    The detections and which of them are true at IoU 0.5 stay. At a threshold at which n of a class's are true, the n
    *highest* scored are taken for the true ones ("upper"), or the n *lowest* ("lower"). AP50 does not change. A class
    with n = 0 has AP 0 there, in all three orders; equal scores keep the order of the file.
    """
    data, detections = _detections(run)
    objects = [a["category_id"] for a in data.coco.dataset["annotations"] if not a.get("iscrowd")]
    ap = {order: [] for order in ORDERS}
    for category in sorted(set(objects)):
        mine = [d for d in detections if d["category_id"] == category]
        tp_scores, tp_ious = true_positives(data, mine)
        scores = np.array([d["score"] for d in mine])
        for order, rows in ap.items():
            hits = (reordered(scores, tp_scores, tp_ious, iou, order) for iou in IOUS)
            rows.append([average_precision(one, objects.count(category)) for one in hits])
    of_iou = {order: np.mean(rows, axis=0) for order, rows in ap.items()}
    return [
        {"order": order, "AP": f"{x.mean():.4f}", "AP50": f"{x[0]:.4f}", "AP75": f"{x[5]:.4f}", "AP90": f"{x[8]:.4f}"}
        for order, x in of_iou.items()
    ]


def reordered(scores: np.ndarray, tp_scores: np.ndarray, tp_ious: np.ndarray, iou: float, order: str) -> np.ndarray:
    """Which detections of a class, best score first, count as true at an IoU threshold."""
    best_first = (-tp_scores).argsort(kind="stable")
    hits = tp_ious[best_first] >= iou - 1e-9
    n, place = hits.sum(), np.arange(len(hits))
    if order == "upper":
        hits = place < n
    elif order == "lower":
        hits = place >= len(hits) - n
    order_of_all = np.sort(-scores)
    place_of_score = np.searchsorted(order_of_all, -tp_scores[best_first])
    is_true, taken = np.zeros(len(scores), dtype=bool), set()
    for free, hit in zip(place_of_score.tolist(), hits, strict=True):
        while free in taken:  # equal scores
            free += 1
        taken.add(free)
        is_true[free] = hit
    return is_true


def average_precision(is_true: np.ndarray, num_objects: int) -> float:
    """COCO's AP of one list, best score first: interpolated precision, mean over 101 recalls."""
    true = is_true.cumsum()
    precision = np.maximum.accumulate((true / np.arange(1, len(true) + 1))[::-1])[::-1]
    place = np.searchsorted(true / num_objects, np.linspace(0, 1, 101))
    return float(np.append(precision, 0.0)[place].mean())


def _detections(run: Run) -> tuple[CocoDataset, list[dict]]:
    data = CocoDataset(run.coco, "val2017", keep_empty=True)
    return data, json.loads((run.folder / "detections.json").read_text())


def block_means(values: np.ndarray, length: int) -> np.ndarray:
    """Means over so many steps at a time; what is not a number does not count."""
    blocks = np.reshape(values[: len(values) // length * length], (-1, length))
    known = np.isfinite(blocks)
    total = np.where(known, blocks, 0.0).sum(axis=1)
    return np.where(known.any(axis=1), total / np.maximum(known.sum(axis=1), 1), np.nan)


if __name__ == "__main__":
    keep_log(Path(sys.argv[1]), sys.argv[2], *map(int, sys.argv[3:]))
