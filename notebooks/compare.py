"""Train with aLRP, AP and focal loss on the same shapes with the same budgets.

This made data/comparison.csv for notebook 09.

Usage: python notebooks/compare.py RUNS     (an hour on two idle cores)

Each run goes to RUNS/steps_recipe_seed and is kept: give the same command again to go on. Everything but
the loss is the same, the learning rate too, which was chosen for aLRP.
"""

import csv
import json
import sys
from itertools import product
from pathlib import Path

from alrp_ref.data import CocoDataset, make_shapes
from alrp_ref.evaluation import Metrics, rank_correlation
from alrp_ref.training import train

RECIPES = ("alrp_tiny", "ap_tiny", "focal_tiny")
SEEDS = {
    468: (0, 1, 2),
    1404: (0,),
}  # of each number of steps: a third of the demo's, and all of them
METRICS = ("AP", "AP50", "AP75", "AP90", "oLRP", "oLRP_loc", "oLRP_fp", "oLRP_fn")
TABLE = Path(__file__).parent / "data" / "comparison.csv"


def main(runs: Path) -> None:
    shapes = make_shapes(runs / "shapes", train_images=2500, val_images=200)
    data, rows = CocoDataset(shapes, "val2017", keep_empty=True), []
    for recipe, steps in product(RECIPES, SEEDS):
        for seed in SEEDS[steps]:
            out = runs / f"{steps}_{recipe}_{seed}"
            _, metrics = train(recipe, shapes, out, steps=steps, seed=seed, workers=1)
            detections = json.loads((out / "detections.json").read_text())
            rho = rank_correlation(data, detections)
            rows.append(row(recipe, seed, steps, metrics, rho))
    rows.sort(key=lambda one: one["steps"])
    with open(TABLE, "w", newline="") as file:
        writer = csv.DictWriter(file, rows[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def row(recipe: str, seed: int, steps: int, metrics: Metrics, rho: float) -> dict:
    values = {name: metrics[name] for name in METRICS} | {"rho": rho}
    return {"recipe": recipe, "seed": seed, "steps": steps} | {
        name: f"{value:.4f}" for name, value in values.items()
    }


if __name__ == "__main__":
    main(Path(sys.argv[1]))
