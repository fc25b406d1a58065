"""How far the boxes of positives have come, and how hard the loss pulls at them: persons, and all other classes.

Usage: python -m studies.positives COMPARISON COCO FOLDER

Every positive of the validation images counts, whatever its score. COMPARISON is a folder of `alrp compare`, of whose
runs data/FOLDER/positives.csv keeps, in two rows each: the share of the group in all positives; the mean IoU of their
anchors and of their boxes with the objects; the share of boxes above IoU 0.5; and the group's share in the pull, that
is, in the sum of the gradients of the loss with respect to the errors of the boxes.
"""

import sys
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor
from torchvision.ops import box_area, box_iou

from alrp_ref import alrp_loss, giou_error
from alrp_ref.batch import ranking_targets
from alrp_ref.data import CocoDataset
from alrp_ref.detection import load_model
from alrp_ref.detection.detector import Detector, sizes_of
from alrp_ref.detection.preprocess import to_input
from alrp_ref.detection.recipe_losses import ALRP, Separate
from alrp_ref.detection.targets import assign
from alrp_ref.machine.files import write_table
from studies.results import DATA

FREQUENT = "person"


class Positives(NamedTuple):
    """Of each positive of an image: class, score, object's area, IoUs of its anchor and its box. And all scores.

    `errors` are those of the boxes; the area is in the pixels of the network's input.
    """

    labels: Tensor
    scores: Tensor
    areas: Tensor
    anchors: Tensor
    boxes: Tensor
    errors: Tensor
    logits: Tensor
    targets: Tensor


@torch.no_grad()
def positives_of(model: Detector, data: CocoDataset, image_id: int) -> Positives:
    """What a detector makes of one image."""
    target = data.target(image_id)
    pixels, _, (x_scale, y_scale) = to_input(data.read_image(image_id), model.recipe.test_size)
    boxes = target["boxes"] * torch.tensor([x_scale, y_scale, x_scale, y_scale])
    levels = model.features(pixels[None].to(memory_format=torch.channels_last))
    logits, deltas = (torch.cat(parts, dim=1) for parts in model.head(levels))
    found = assign(
        model.assigner, model.anchors(sizes_of(levels), logits), [{"boxes": boxes, "labels": target["labels"]}]
    )
    decoded = model.coder.decode(deltas[found.labels >= 0], found.anchors)
    ious = [box_iou(x, found.boxes).diagonal() for x in (found.anchors, decoded)]
    targets = ranking_targets(logits, found.labels)
    labels = found.labels[found.labels >= 0]
    scores, areas = logits[targets == 1], box_area(found.boxes)
    errors = giou_error(decoded, found.boxes)
    return Positives(labels, scores, areas, *ious, errors, logits.flatten(), targets.flatten())


def pull_of(model: Detector, images: list[Positives]) -> Tensor:
    """Gradient of the loss with respect to the error of each box, of images that are ranked together.

    The other losses are means over the positives: they pull at all boxes alike.
    """
    errors = torch.cat([image.errors for image in images]).requires_grad_()
    loss = model.recipe.loss.boxes if isinstance(model.recipe.loss, Separate) else model.recipe.loss
    if not isinstance(loss, ALRP):
        return torch.full_like(errors, 1 / len(errors))
    logits, targets = (torch.cat(parts) for parts in zip(*((i.logits, i.targets) for i in images), strict=True))
    out = alrp_loss(logits, targets, errors, delta=loss.delta, loc_step=loss.loc_step)
    return torch.autograd.grad(out.loc, errors)[0]


def batches_of(model: Detector, data: CocoDataset) -> tuple[list[list[Positives]], list[Tensor]]:
    """What a detector makes of all images, in the groups in which they are ranked; the pull on each box of a group."""
    images = [positives_of(model, data, i) for i in data.ids if len(data.target(i)["boxes"])]
    images = [image for image in images if len(image.labels)]
    together = model.recipe.batch_size
    batches = [images[k : k + together] for k in range(0, len(images), together)]
    return batches, [pull_of(model, batch) for batch in batches]


def rows_of_run(folder: Path, data: CocoDataset) -> list[dict[str, object]]:
    """Two rows, for the frequent class and for the others."""
    model, _ = load_model(folder / "checkpoint.pt")
    batches, pulls = batches_of(model, data)
    pull, images = torch.cat(pulls), [image for batch in batches for image in batch]
    labels, anchors, boxes = (torch.cat([getattr(i, name) for i in images]) for name in ("labels", "anchors", "boxes"))
    is_frequent = labels == data.class_names.index(FREQUENT)
    return [
        {
            "recipe": folder.parent.name,
            "seed": folder.name.removeprefix("seed_"),
            "class": name,
            "share": f"{chosen.float().mean():.4f}",
            "anchors": f"{anchors[chosen].mean():.4f}",
            "boxes": f"{boxes[chosen].mean():.4f}",
            "above": f"{(boxes[chosen] > 0.5).float().mean():.4f}",
            "pull": f"{pull[chosen].sum() / pull.sum():.4f}",
        }
        for name, chosen in ((FREQUENT, is_frequent), ("others", ~is_frequent))
    ]


if __name__ == "__main__":
    comparison, coco = map(Path, sys.argv[1:3])
    val = CocoDataset(coco, "val2017", keep_empty=True)
    done = sorted(path.parent for path in comparison.glob("runs/*/*/result.json"))
    rows = [row for folder in done for row in rows_of_run(folder, val)]
    write_table(DATA / sys.argv[3] / "positives.csv", rows)
