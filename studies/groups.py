"""Whom each loss pulls at while it trains: thirds of the positives by score, and objects by size.

Usage: python -m studies.groups SHAPES KEPT

KEPT has a folder NAME_K for evaluation K of a run of 10,000 steps on SHAPES, with its `checkpoint.pt` and its
`detections.json`. data/length/groups.csv gets, under this name, a row for each group: its share in all positives of the
validation images; its share in the pull, that is, in the sum of the gradients of the loss with respect to the errors of
the boxes; the mean IoU of its boxes; and, for sizes, the AP at IoU 0.5, 0.75 and 0.9. Thirds are of the positives that
are ranked together, those of a batch. Rows of other names stay.
"""

import json
import sys
from pathlib import Path

import torch
from torch import Tensor

from alrp_ref.data import CocoDataset
from alrp_ref.detection import load_model
from alrp_ref.evaluation import iou_index, precision_curves
from studies.keep import replace_runs
from studies.positives import batches_of
from studies.results import DATA
from studies.runs import EVALUATED_EVERY

THIRDS = ("top third", "middle third", "last third")
SIZES = ("small", "medium")

SMALL, LARGE = 32**2, 96**2
THRESHOLDS = {"AP50": 0.5, "AP75": 0.75, "AP90": 0.9}


def third_of(scores: Tensor) -> Tensor:
    """0 for the best third of some scores, 1 and 2 for the others."""
    place = scores.argsort(descending=True, stable=True).argsort()
    return place * 3 // len(scores)


def rows_of(folder: Path, data: CocoDataset) -> list[dict[str, object]]:
    """Five rows of one evaluation."""
    loss, number = folder.name.rsplit("_", 1)
    model, _ = load_model(folder / "checkpoint.pt")
    batches, pulls = batches_of(model, data)
    # The pull of a batch is divided by its sum, so that each batch counts alike.
    pull = torch.cat([p / p.sum() for p in pulls])
    areas, boxes = (torch.cat([getattr(i, name) for b in batches for i in b]) for name in ("areas", "boxes"))
    thirds = torch.cat([third_of(torch.cat([image.scores for image in batch])) for batch in batches])
    groups = {name: thirds == k for k, name in enumerate(THIRDS)}
    groups |= {"small": areas < SMALL, "medium": (areas >= SMALL) & (areas < LARGE)}
    detections = json.loads((folder / "detections.json").read_text())
    return [
        {
            "loss": loss,
            "steps": EVALUATED_EVERY * int(number),
            "group": name,
            "share": f"{chosen.float().mean():.4f}",
            "pull": f"{pull[chosen].sum() / pull.sum():.4f}",
            "IoU": f"{boxes[chosen].mean():.4f}",
        }
        | _average_precision(data, detections, name)
        for name, chosen in groups.items()
    ]


def _average_precision(data: CocoDataset, detections: list[dict], group: str) -> dict[str, str]:
    if group not in SIZES:
        return dict.fromkeys(THRESHOLDS, "")
    ap = precision_curves(data.coco.dataset, detections, group).mean(axis=1)
    return {name: f"{ap[iou_index(iou)]:.4f}" for name, iou in THRESHOLDS.items()}


if __name__ == "__main__":
    shapes, kept = map(Path, sys.argv[1:3])
    val = CocoDataset(shapes, "val2017", keep_empty=True)
    folders = sorted(path.parent for path in kept.glob("*_*/checkpoint.pt"))
    rows = [row for folder in folders for row in rows_of(folder, val)]
    replace_runs(DATA / "length" / "groups.csv", rows, lambda row: row["loss"])
