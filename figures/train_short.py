"""Train, briefly, what Table 4 is made from, and keep the results in `data/results.csv`.

Usage: python -m figures.train_short RUNS     (a quarter of an hour on two idle cores)

Small detectors on generated shapes, 468 steps each. A run is kept in RUNS: the same command resumes.
"""

import sys
from dataclasses import replace
from pathlib import Path

from alrp_ref.data import make_shapes
from alrp_ref.detection import RECIPES
from alrp_ref.training import train
from figures import runs

STEPS = 468
WEIGHTS = (1, 10, 50, 200)


def on_shapes(folder: Path) -> None:
    shapes = make_shapes(folder / "shapes", train_images=2500, val_images=200)
    results = []
    for weight in WEIGHTS:
        run = runs.Run(folder / f"first_weight_{weight}", shapes)
        train(replace(RECIPES["alrp_tiny"], loc_weight=float(weight)), shapes, run.folder, steps=STEPS, workers=1)
        results.append({"first_weight": weight, "steps": STEPS} | runs.result(run))
    runs.write_table(runs.DATA / "results.csv", results)


if __name__ == "__main__":
    on_shapes(Path(sys.argv[1]))
