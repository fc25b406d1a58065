r"""From a detector's batch to the one list that the losses rank.

==============  =========================================================================  ============
`logits`        one sigmoid logit for each image, anchor and class                         (B, N, C)
`labels`        what each anchor is: a class, `NEGATIVE` or `IGNORED`                      (B, N)
`positives`     where ``labels >= 0``; row by row this is the order of the list            (B, N)
==============  =========================================================================  ============

An anchor here is whatever the detector classifies: an anchor, a point, a query, a proposal.
"""

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from alrp_ref import checks
from alrp_ref.paper.localisation import giou_error

NEGATIVE, IGNORED = -1, -2
"""Labels of anchors without a class. torchvision's matchers use the same two numbers."""

Boxes = Tensor | Callable[[Tensor], Tensor]
BoxFormat = Literal["xyxy", "cxcywh"]


class FlatBatch(NamedTuple):
    """What `alrp_loss`, `ALRPLoss` and `pairwise.alrp_loss` take, in their order."""

    logits: Tensor
    targets: Tensor
    loc_errors: Tensor


def flatten_batch(
    logits: Tensor,
    labels: Tensor,
    boxes: Boxes,
    target_boxes: Boxes,
    *,
    box_format: BoxFormat = "xyxy",
    loc_error: Callable[[Tensor, Tensor], Tensor] = giou_error,
) -> FlatBatch:
    r"""A detector's batch as one list: targets, their order and the localisation errors are made in here.

    .. math:: t_{bnc} = \begin{cases} -1 & \text{labels}_{bn} \text{ is IGNORED} \\
              1 & \text{labels}_{bn} = c \\ 0 & \text{otherwise} \end{cases}, \qquad
              \mathcal E_{loc}(k) = \text{loc\_error}(\text{box of } k, \text{target box of } k)

    A positive anchor is thus positive for its own class and negative for the others. ::

        out = criterion(*flatten_batch(logits, labels, boxes, target_boxes))    # criterion = ALRPLoss(period)
        out.total.backward()

    Args:
        logits: scores before the sigmoid, without a background class. They may be -inf where the label is `IGNORED`.
        labels: integers, 0 to C - 1 for a positive, `NEGATIVE` (-1) or `IGNORED` (-2).
        boxes: decoded boxes, one for each anchor, or for each positive in the order of ``boxes[labels >= 0]``, or a
            function that is given the mask ``labels >= 0`` and returns those of the positives.
        target_boxes: the ground truth that each positive belongs to, in any of these three forms. Where there is one
            for each anchor, those of other anchors are not read.
        box_format: of both, `"xyxy"` for corners, `"cxcywh"` for centre and size. The unit does not matter.
        loc_error: `giou_error`, `iou_error`, or any function of (|P|, 4) and (|P|, 4) to (|P|,).

    Shape: `logits` (B, N, C), `labels` (B, N), both boxes (B, N, 4) or (|P|, 4) -> `logits`, `targets` (B N C,),
        `loc_errors` (|P|,). Targets are int8.
    Raises: ValueError, naming the argument, for wrong shapes, dtypes, labels, `box_format`, and for a target box with
        a negative side, which is what corners read as centre and size, or the reverse, look like. On a GPU, where
        values are not waited for, a wrong label or target box makes the loss NaN.
    Warns: UserWarning if all logits lie in [0, 1] and far apart, as probabilities do; or if every anchor is positive,
        as where 0 is the background. Not on a GPU. A GPU is waited for once if boxes of all anchors are given, to count
        the positives; not if those of positives are.
    Source: Section 4 of the paper ranks all logits of a batch in one list; errors, Section 2.2.
    """
    if box_format not in ("xyxy", "cxcywh"):
        raise ValueError(f'box_format must be "xyxy" or "cxcywh", got {box_format!r}')
    targets, positives = ranking_targets(logits, labels), labels >= 0
    boxes = _of_positives("boxes", boxes, positives)
    target_boxes = _of_positives("target_boxes", target_boxes, positives)
    is_wrong = checks.target_boxes(target_boxes, box_format)
    if box_format == "cxcywh":
        boxes, target_boxes = _corners(boxes), _corners(target_boxes)
    errors = loc_error(boxes, target_boxes)
    if is_wrong is not None:
        errors = torch.where(is_wrong, torch.nan, errors)
    return FlatBatch(logits.flatten(), targets.flatten(), errors)


def flatten_levels(levels: Sequence[Tensor], values: int) -> Tensor:
    """The outputs of a convolutional head on several levels as one tensor, the values of an anchor side by side.

    Args: `levels`, the output of the head on each; `values` of an anchor: C for logits, 4 for boxes. Anchors are in the
        order of levels, rows, columns, and those of a place.
    Shape: (B, A `values`, H, W) each -> (B, N, `values`), with N the sum of H W A.
    Raises: ValueError for another shape, or a number of channels that `values` does not divide.
    """
    for number, x in enumerate(levels):
        if x.ndim != 4 or x.shape[1] % values:
            raise ValueError(f"level {number} must be (B, A * {values}, H, W), got {tuple(x.shape)}")
    return torch.cat([flatten_anchors(x, values) for x in levels], dim=1)


def flatten_anchors(output: Tensor, values: int) -> Tensor:
    """(B, A * values, H, W) -> (B, H * W * A, values): the values of one anchor side by side."""
    batch = output.shape[0]
    return output.permute(0, 2, 3, 1).reshape(batch, -1, values)


def ranking_targets(logits: Tensor, labels: Tensor) -> Tensor:
    """The target of each logit: 1 positive, 0 negative, -1 ignored. For AP Loss this is all that is needed.

    Shape: `logits` (B, N, C), `labels` (B, N) -> (B, N, C), int8.
    Raises: as `flatten_batch`.
    Source: Section 2.1, the sets P and N.
    """
    checks.labelled_batch(logits, labels)
    num_classes = logits.shape[-1]
    is_class = labels[..., None] == torch.arange(num_classes, device=labels.device)
    targets = torch.where(labels[..., None] == IGNORED, -1, is_class.to(torch.int8))
    # A label that does not exist is a target that does not exist: it reaches the checks of the loss, on a GPU too.
    is_label = (labels >= IGNORED) & (labels < num_classes)
    return torch.where(is_label[..., None], targets, 2)


def _of_positives(name: str, boxes: Boxes, positives: Tensor) -> Tensor:
    if callable(boxes):
        boxes = boxes(positives)
    checks.tensor(name, boxes)
    if boxes.ndim == 3:
        if boxes.shape[:2] != positives.shape:
            raise ValueError(f"{name} must be (B, N, 4) with the B, N of labels, got {tuple(boxes.shape)}")
        boxes = boxes[positives]
    checks.boxes(name, boxes)
    return boxes


def _corners(boxes: Tensor) -> Tensor:
    centre, size = boxes.chunk(2, dim=1)
    return torch.cat([centre - size / 2, centre + size / 2], dim=1)
