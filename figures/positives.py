"""How far the boxes of positives have come: IoU with their objects, of persons and of all other classes.

Usage: python figures/positives.py COMPARISON COCO

Every positive of the validation images counts, whatever its score. COMPARISON is a folder of `alrp compare`, of whose
runs data/comparison/positives.csv keeps the means.
"""

import sys
from pathlib import Path

import torch
from runs import DATA, write_table
from torch import Tensor
from torchvision.ops import box_iou

from alrp_ref.coco import CocoDataset
from alrp_ref.detection.detector import Detector
from alrp_ref.detection.preprocess import to_input
from alrp_ref.detection.targets import assign
from alrp_ref.training import load_model

FREQUENT = "person"


@torch.no_grad()
def ious_of_image(model: Detector, data: CocoDataset, image_id: int) -> tuple[Tensor, Tensor, Tensor]:
    """Of each positive: its class, the IoU of its box, and that of its anchor."""
    target = data._load_target(image_id)
    pixels, _, (x_scale, y_scale) = to_input(data.read_image(image_id), model.recipe.test_size)
    boxes = target["boxes"] * torch.tensor([x_scale, y_scale, x_scale, y_scale])
    levels = model.features(pixels[None].to(memory_format=torch.channels_last))
    logits, deltas = (torch.cat(parts, dim=1) for parts in model.head(levels))
    found = assign(model.assigner, model.anchors(levels, logits), [{"boxes": boxes, "labels": target["labels"]}])
    decoded = model.coder.decode(deltas[found.labels >= 0], found.anchors)
    ious = (box_iou(x, found.boxes).diagonal() for x in (decoded, found.anchors))
    return found.labels[found.labels >= 0], *ious


def rows_of_run(folder: Path, data: CocoDataset) -> list[dict[str, object]]:
    """Two rows, for the frequent class and for the others."""
    model, _ = load_model(folder / "checkpoint.pt")
    model.eval()
    parts = [ious_of_image(model, data, i) for i in data.ids if len(data._load_target(i)["boxes"])]
    labels, ious, before = (torch.cat(values) for values in zip(*parts, strict=True))
    is_frequent = labels == data.class_names.index(FREQUENT)
    return [
        {
            "recipe": folder.parent.name,
            "seed": folder.name.removeprefix("seed_"),
            "class": name,
            "positives": int(chosen.sum()),
            "anchors": f"{before[chosen].mean():.4f}",
            "boxes": f"{ious[chosen].mean():.4f}",
            "above": f"{(ious[chosen] > 0.5).float().mean():.4f}",
        }
        for name, chosen in ((FREQUENT, is_frequent), ("others", ~is_frequent))
    ]


if __name__ == "__main__":
    comparison, coco = map(Path, sys.argv[1:])
    val = CocoDataset(coco, "val2017", keep_empty=True)
    done = sorted(path.parent for path in comparison.glob("runs/*/*/result.json"))
    write_table(DATA / "comparison" / "positives.csv", [row for folder in done for row in rows_of_run(folder, val)])
