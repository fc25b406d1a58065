"""Keep the results of runs: copy from their folders into `figures/data` what the figures read.

Usage: python -m studies.keep RUN NAME [LENGTH]     keeps a run's log as NAME.csv there, LENGTH steps a row
"""

import math
import sys
from collections.abc import Callable, Hashable
from pathlib import Path

import numpy as np

from alrp_ref.evaluation import resampled_ap
from alrp_ref.machine.files import read_table, write_table
from alrp_ref.reports.curves import block_means
from alrp_ref.training.log import read_metrics
from studies import recipes
from studies.results import DATA, LOGGED, METRICS, Run, bounds, read_log
from studies.runs import FIGURE_4_STEPS, STEPS

RESULTS = DATA / "length" / "results.csv"
EVALUATED = (*METRICS, "oLRP_loc", "oLRP_fp", "oLRP_fn", "rho")


def keep_results(folder: Path, results: Path = RESULTS) -> None:
    """Write the evaluations of every run in a folder to `results`, run by run; rows of runs that are elsewhere stay."""
    rows = []
    for path in sorted(folder.glob("*/evaluations.csv")):
        name, total_steps, seed = path.parent.name.rsplit("_", 2)
        for row in read_metrics(path):
            values = {column: "" if math.isnan(row[column]) else f"{row[column]:.4f}" for column in EVALUATED}
            rows.append({"recipe": name, "seed": seed, "steps": row["step"], "total_steps": total_steps} | values)
    if rows:
        results.parent.mkdir(parents=True, exist_ok=True)
        replace_runs(results, rows, _run_of)


def keep_samples(folder: Path, to: Path = DATA / "length" / "resampled.npz") -> None:
    """Write AP on samples of the validation images, of each finished run on shapes, for paired bootstraps.

    (samples, 10), by "NAME_STEPS_SEED"; runs that are in the file already are not computed again.
    """
    known = dict(np.load(to)) if to.exists() else {}
    gt = folder / "shapes" / "annotations" / "instances_val2017.json"
    for path in sorted(folder.glob("*/result.json")):
        name = path.parent.name
        if name not in known and name.rsplit("_", 2)[0] in recipes.ON_SHAPES:
            known[name] = resampled_ap(gt, path.parent / "detections.json").astype(np.float32)
            np.savez_compressed(to, **known)


def keep_figure4(folder: Path, to: Path = DATA / "length" / "figure4.csv") -> None:
    """Write mean, least and most of the finished runs of each loss, step by step, of the ratio and of the loss."""
    rows = []
    for name in recipes.FIGURE_4:
        logs = [read_log(path.parent / "metrics.csv") for path in folder.glob(f"figure4/{name}_*/result.json")]
        for step in range(FIGURE_4_STEPS if logs else 0):
            row = {"loss": name, "runs": len(logs), "step": step}
            for column in ("balance", "loss_cls"):
                values = [log[column][step] for log in logs]
                row |= {column: f"{sum(values) / len(values):.4g}"}
                row |= {f"{column}_least": f"{min(values):.4g}", f"{column}_most": f"{max(values):.4g}"}
            rows.append(row)
    if rows:
        write_table(to, rows)


def keep_details(folder: Path, to: Path = DATA / "length") -> None:
    """Write, of the finished runs of Table 2 with seed 0, what Table 5 and Figure 3 show: bounds of AP, and a log."""
    finished = {name: folder / f"{name}_{STEPS}_0" for name in ("ap_iou_anchors", "alrp_giou_sb")}
    if all((run / "result.json").is_file() for run in finished.values()):
        rows = {name: bounds(Run(run, folder / "shapes")) for name, run in finished.items()}
        write_table(to / "bounds.csv", [{"recipe": name} | row for name, own in rows.items() for row in own])
        keep_log(finished["alrp_giou_sb"], "length/log_alrp_giou_sb", 50)


def keep_log(folder: Path, name: str, length: int = 1) -> None:
    """A run's log in four digits, in `data/`: all steps, or the means of so many at a time, named by the first."""
    log = read_log(folder / "metrics.csv")
    means = {column: block_means(log[column], length) for column in LOGGED[1:]}
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


def _run_of(row: dict) -> tuple[str, int, int]:
    """What tells a row's run from all others: recipe, length and seed."""
    return row["recipe"], int(row["total_steps"]), int(row["seed"])


if __name__ == "__main__":
    keep_log(Path(sys.argv[1]), sys.argv[2], *map(int, sys.argv[3:]))
