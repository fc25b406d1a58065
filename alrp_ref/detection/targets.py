"""Ground-truth targets: validation, and assignment to the anchors of a batch."""

from collections.abc import Sequence

import torch
from torch import Tensor

from alrp_ref.batch import IGNORED, NEGATIVE
from alrp_ref.detection.assigners import PAIRS, Assigned, Assigner
from alrp_ref.machine.device import queue_copy

Target = dict[str, Tensor]


def check_targets(targets: Sequence[Target] | None, num_images: int, num_classes: int) -> None:
    """Raise ValueError, naming the target and what it got, unless `targets` fit a batch.

    Each needs "boxes" (n, 4), x1, y1, x2, y2 in pixels, finite, with x1 < x2 and y1 < y2, and "labels" (n,), int64
    in 0..num_classes-1. It may have "ignored" (m, 4), regions in which nothing is learned.
    """
    if targets is None:
        raise ValueError("in training mode a detector needs targets: call model.eval() to detect")
    if len(targets) != num_images:
        raise ValueError(f"there must be one target for each of the {num_images} images, got {len(targets)}")
    for i, target in enumerate(targets):
        _check_shapes(f"targets[{i}]", target)
    boxes, labels = _all_boxes(targets)
    # Targets on a GPU make the host wait here. A training run has them in the memory of the host.
    if not bool(_valid(boxes, labels, num_classes).all()):
        _refuse(targets, num_classes)


def _check_shapes(name: str, target: Target) -> None:
    for key in ("boxes", "labels"):
        if not isinstance(target.get(key), Tensor):
            raise ValueError(f'{name}["{key}"] must be a tensor, got {type(target.get(key)).__name__}')
    boxes, labels = target["boxes"], target["labels"]
    if boxes.ndim != 2 or boxes.shape[1] != 4 or not boxes.is_floating_point():
        raise ValueError(f'{name}["boxes"] must be floating point (n, 4), got {tuple(boxes.shape)} {boxes.dtype}')
    if labels.shape != boxes.shape[:1] or labels.dtype != torch.int64:
        got = f"{tuple(labels.shape)} {labels.dtype}"
        raise ValueError(f'{name}["labels"] must be int64 ({len(boxes)},), one for each box, got {got}')
    regions = target.get("ignored", boxes)
    if not isinstance(regions, Tensor) or regions.ndim != 2 or regions.shape[1] != 4 or not regions.is_floating_point():
        raise ValueError(f'{name}["ignored"] must be floating point (m, 4), if it is there')


def _all_boxes(targets: Sequence[Target]) -> tuple[Tensor, Tensor]:
    """The boxes (G, 4) and their labels (G,), on the device of the boxes, image by image."""
    boxes = torch.cat([target["boxes"] for target in targets])
    return boxes, torch.cat([target["labels"] for target in targets]).to(boxes.device)


def _valid(boxes: Tensor, labels: Tensor, num_classes: int) -> Tensor:
    """Mask of the boxes that are finite and have an area and a valid label: (n,) bool."""
    has_area = (boxes[:, :2] < boxes[:, 2:]).all(dim=1)
    return boxes.isfinite().all(dim=1) & has_area & (labels >= 0) & (labels < num_classes)


def _refuse(targets: Sequence[Target], num_classes: int) -> None:
    """Raise ValueError for the first invalid box."""
    for i, target in enumerate(targets):
        for row in (~_valid(*_all_boxes([target]), num_classes)).nonzero().flatten().tolist():
            box, label = target["boxes"][row].tolist(), int(target["labels"][row])
            if not 0 <= label < num_classes:
                raise ValueError(f'targets[{i}]["labels"][{row}] must be in 0..{num_classes - 1}, got {label}')
            raise ValueError(f'targets[{i}]["boxes"][{row}] must be finite, with x1 < x2 and y1 < y2, got {box}')


@torch.no_grad()
def assign(
    assigner: Assigner,
    anchors: Sequence[Tensor],
    targets: Sequence[Target],
    real: Sequence[Sequence[Tensor] | None] | None = None,
) -> Assigned:
    """Assign every anchor of every image. Anchors in the padding are ignored, and no box is matched to them; negatives
    that lie in a region to ignore by more than half of their area are ignored, too.

    Args: `anchors`, (A_l, 4) for each level, the same for all images; `targets`, one for each image, on the device of
        the anchors or in the memory of the host; `real`, for each image a mask of the anchors outside its padding,
        (A_l,) bool for each level, None for all.
    """
    flat = torch.cat(list(anchors))
    counts, real = [len(target["boxes"]) for target in targets], real or [None] * len(targets)
    boxes, labels = (queue_copy(x, flat.device) for x in _all_boxes(targets))
    boxes = boxes.to(flat.dtype)
    if all(keep is None for keep in real):
        matched = assigner(anchors, boxes, counts)
    else:
        matched = torch.stack(
            [_without_padding(assigner, anchors, boxes, counts, i, keep) for i, keep in enumerate(real)]
        )
    for row, target in zip(matched, targets, strict=True):
        if len(regions := target.get("ignored", ())):
            regions = queue_copy(regions, flat.device).to(flat.dtype)
            row.masked_fill_(_inside(flat, regions) & (row == NEGATIVE), IGNORED)
    image, anchor = (matched >= 0).nonzero(as_tuple=True)  # the host waits for the number of positives
    box = matched[image, anchor]
    anchor_labels = matched.index_put((image, anchor), labels[box])  # NEGATIVE and IGNORED are kept
    return Assigned(anchor_labels, flat[anchor], boxes[box])


def _inside(anchors: Tensor, regions: Tensor) -> Tensor:
    """Which anchors (A, 4) lie in one of the regions (R, 4) by more than half of their area: (A,) bool."""
    area, inside = (anchors[:, 2:] - anchors[:, :2]).prod(dim=1), torch.zeros_like(anchors[:, 0], dtype=torch.bool)
    for some in regions.split(max(1, PAIRS // len(anchors))):
        low = torch.maximum(some[:, None, :2], anchors[:, :2])
        high = torch.minimum(some[:, None, 2:], anchors[:, 2:])
        inside |= ((high - low).clamp(min=0).prod(dim=2) > area / 2).any(dim=0)
    return inside


def _without_padding(
    assigner: Assigner,
    anchors: Sequence[Tensor],
    boxes: Tensor,
    counts: Sequence[int],
    i: int,
    keep: Sequence[Tensor] | None,
) -> Tensor:
    """Assign image `i` alone, without the anchors in its padding, which are ignored: (A,)."""
    before = sum(counts[:i])
    keep = keep or [torch.ones(len(level), dtype=torch.bool, device=level.device) for level in anchors]
    kept = [level[mask] for level, mask in zip(anchors, keep, strict=True)]
    matched = assigner(kept, boxes[before : before + counts[i]])
    everywhere = torch.cat(list(keep))
    return matched.new_full(everywhere.shape, IGNORED).masked_scatter(
        everywhere, torch.where(matched >= 0, matched + before, matched)
    )
