"""The studies that the pages speak of, as cells with several seeds."""

import numpy as np

from alrp_ref.machine.files import read_table
from alrp_ref.reports.comparison import BOUNDS
from alrp_ref.reports.seeds import Study
from studies.results import DATA


def shapes() -> Study:
    """The runs on shapes at their end, by recipe and length."""
    rows = [row for row in read_table(DATA / "length" / "results.csv") if row["steps"] == row["total_steps"]]
    return Study(rows, lambda row: (row["recipe"], int(row["steps"])))


def error_over_images(run: str, other: str, metric: str = "AP", steps: int = 10_000) -> float:
    """Standard error of the difference of two runs, in percent, by a paired bootstrap over the validation images.

    Raises: ValueError for a run whose samples were not kept: those before November 2026.
    """
    kept = np.load(DATA / "length" / "resampled.npz")

    def samples(name: str) -> np.ndarray:
        own = [kept[key] for key in kept.files if key.rsplit("_", 1)[0] == f"{name}_{steps}"]
        if not own:
            raise ValueError(f"no samples of {name} were kept")
        return np.mean(own, axis=0)

    ap = (samples(run) - samples(other))[:, BOUNDS[metric]]
    return 100 * float(ap.reshape(len(ap), -1).mean(axis=1).std())


def photographs(group: str) -> Study:
    """The runs on photographs where they stopped, by loss: the classes all, person or others."""
    rows = [row for row in read_table(DATA / "length" / "photographs.csv") if row["class"] == group]
    return Study(rows, lambda row: row["loss"])
