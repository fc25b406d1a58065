"""Keep a finished run of `alrp demo` for the notebooks: its weights, and its log in four digits.

Usage: python notebooks/keep.py runs/demo/alrp_tiny
"""

import csv
import sys
from pathlib import Path

from alrp_ref.detection.saved_model import load_checkpoint, save_checkpoint

DATA = Path(__file__).parent / "data"
COLUMNS = ("step", "lr", "loss_cls", "loss_loc", "weight")


def main(run: Path) -> None:
    checkpoint = load_checkpoint(run / "checkpoint.pt")
    del checkpoint["optimiser"], checkpoint["format"]
    save_checkpoint(DATA / f"{run.name}.pt", checkpoint)
    with (
        open(run / "metrics.csv", newline="") as file,
        open(DATA / f"{run.name}_log.csv", "w", newline="") as kept,
    ):
        writer = csv.writer(kept, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows(
            [f"{float(row[name]):.4g}" for name in COLUMNS] for row in csv.DictReader(file)
        )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
