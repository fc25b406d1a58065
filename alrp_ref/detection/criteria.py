"""Criteria: the losses of a detector from its logits, its deltas and the assigned anchors.

Each is built by a loss of `recipe_losses`, which has its options. A criterion of your own is any module that is called
like these and returns `loss_cls` and `loss_loc`.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.ops import sigmoid_focal_loss

from alrp_ref.batch import IGNORED, flatten_batch, ranking_targets
from alrp_ref.detection.assigners import Assigned
from alrp_ref.detection.boxes import BoxCoder
from alrp_ref.losses import ALRPLoss, APLoss, RankSortLoss
from alrp_ref.paper.localisation import giou_error, iou_error
from alrp_ref.paper.self_balance import SelfBalance
from alrp_ref.rank_sort import paired_ious

Losses = dict[str, Tensor]

LOC_ERRORS = {"giou": giou_error, "iou": iou_error}


def self_balance_of(criterion: nn.Module) -> SelfBalance | None:
    """The self-balance of a criterion, if it has one."""
    return getattr(criterion, "self_balance", None)


def decoded(deltas: Tensor, assigned: Assigned, coder: BoxCoder) -> Tensor:
    """The predicted boxes of the positives, in their order. Shape: `deltas` (B, N, 4) -> (|P|, 4)."""
    return coder.decode(deltas[assigned.positives], assigned.anchors)


class ALRPCriterion(nn.Module):
    """aLRP Loss over one list of all images, levels, anchors and classes of the batch.

    The localisation error of a positive is computed from its decoded box. `loss_loc` is already multiplied by the
    weight of the self-balance.

    Args: `loss`, with its options; `coder`, how the detector writes boxes; `loc_error`, the localisation error of
        predicted and of true boxes, (|P|, 4) and (|P|, 4) -> (|P|,).
    """

    def __init__(self, loss: ALRPLoss, coder: BoxCoder, loc_error: Callable[[Tensor, Tensor], Tensor]):
        super().__init__()
        self.loss, self.coder, self.loc_error = loss, coder, loc_error

    @property
    def self_balance(self) -> SelfBalance:
        return self.loss.self_balance

    def forward(self, logits: Tensor, deltas: Tensor, assigned: Assigned) -> Losses:
        predicted = decoded(deltas, assigned, self.coder)
        out = self.loss(*flatten_batch(logits, assigned.labels, predicted, assigned.boxes, loc_error=self.loc_error))
        return {"loss_cls": out.cls, "loss_loc": out.loc_weight * out.loc}  # weighted, as in the release


class APCriterion(nn.Module):
    """AP Loss for the scores; smooth L1 for the boxes.

    Args: `loss`, with its options; `coder`, how the detector writes boxes; `beta` of smooth L1.
    """

    def __init__(self, loss: APLoss, coder: BoxCoder, *, beta: float):
        super().__init__()
        self.loss, self.boxes = loss, SmoothL1Criterion(coder, beta=beta)

    def forward(self, logits: Tensor, deltas: Tensor, assigned: Assigned) -> Losses:
        targets = ranking_targets(logits, assigned.labels)
        loss_cls = self.loss(logits.flatten(), targets.flatten(), num_positives=len(assigned.boxes))
        return {"loss_cls": loss_cls} | self.boxes(logits, deltas, assigned)


class SmoothL1Criterion(nn.Module):
    """Smooth L1 of the deltas, mean over the 4 |P| numbers of the positives: no loss for scores.

    Args: `coder`, how the detector writes boxes; `beta`, the bend.
    """

    def __init__(self, coder: BoxCoder, *, beta: float):
        super().__init__()
        self.coder, self.beta = coder, beta

    def forward(self, logits: Tensor, deltas: Tensor, assigned: Assigned) -> Losses:
        predicted = deltas[assigned.positives]
        total = smooth_l1(predicted, assigned, self.coder, self.beta)
        return {"loss_loc": total / max(1, predicted.numel())}


def smooth_l1(predicted: Tensor, assigned: Assigned, coder: BoxCoder, beta: float) -> Tensor:
    """The sum of smooth L1 over the deltas of the positives. Shape: `predicted` (|P|, 4) -> scalar."""
    truth = coder.encode(assigned.boxes, assigned.anchors)
    return F.smooth_l1_loss(predicted, truth, beta=beta, reduction="sum")


class MeanGIoUCriterion(nn.Module):
    """The mean over the positives of 1 - GIoU: no loss for scores. Args: `coder`, how the detector writes boxes."""

    def __init__(self, coder: BoxCoder):
        super().__init__()
        self.coder = coder

    def forward(self, logits: Tensor, deltas: Tensor, assigned: Assigned) -> Losses:
        errors = giou_error(decoded(deltas, assigned, self.coder), assigned.boxes)
        return {"loss_loc": errors.sum() / max(1, len(errors))}


class ScoredGIoUCriterion(nn.Module):
    r"""1 - GIoU of the positives, weighted by their scores, which get no gradient: no loss for scores.

    .. math:: \frac{\sum_{i \in \mathcal P} \sigma_i\, (1 - \mathrm{GIoU}_i)}{\sum_{i \in \mathcal P} \sigma_i}, \qquad
              \sigma_i \text{ the largest class score of the anchor}

    Args: `coder`, how the detector writes boxes. Source: the release of RS Loss (ICCV 2021).
    """

    def __init__(self, coder: BoxCoder):
        super().__init__()
        self.coder = coder

    def forward(self, logits: Tensor, deltas: Tensor, assigned: Assigned) -> Losses:
        errors = giou_error(decoded(deltas, assigned, self.coder), assigned.boxes)
        scores = logits[assigned.positives].detach().amax(dim=-1).sigmoid()
        return {"loss_loc": (scores * errors).sum() / scores.sum().clamp(min=torch.finfo(scores.dtype).tiny)}


class RankSortCriterion(nn.Module):
    """RS Loss over one list of all images, levels, anchors and classes; the boxes by `ScoredGIoUCriterion`.

    Args: `loss`, with its options; `coder`, how the detector writes boxes; `weight` of the boxes, None for the ratio of
        the two losses in each step, without a gradient.
    Source: RS Loss (ICCV 2021) and its release.
    """

    def __init__(self, loss: RankSortLoss, coder: BoxCoder, *, weight: float | None):
        super().__init__()
        self.loss, self.coder, self.boxes, self.weight = loss, coder, ScoredGIoUCriterion(coder), weight

    def forward(self, logits: Tensor, deltas: Tensor, assigned: Assigned) -> Losses:
        predicted = decoded(deltas.detach(), assigned, self.coder)
        out = self.loss(*flatten_batch(logits, assigned.labels, predicted, assigned.boxes, loc_error=paired_ious))
        boxes = self.boxes(logits, deltas, assigned)["loss_loc"]
        weight = self.weight
        if weight is None:
            weight = torch.where(boxes > 0, out.total / boxes, 1).detach()
        return {"loss_cls": out.total, "loss_loc": weight * boxes}


class SeparateCriterion(nn.Module):
    """`loss_cls` of one criterion, and `loss_loc` of another, times a constant."""

    def __init__(self, scores: nn.Module, boxes: nn.Module, *, weight: float = 1.0):
        super().__init__()
        self.scores, self.boxes, self.weight = scores, boxes, weight

    @property
    def self_balance(self) -> SelfBalance | None:
        return self_balance_of(self.boxes)

    def forward(self, logits: Tensor, deltas: Tensor, assigned: Assigned) -> Losses:
        of_scores, of_boxes = (part(logits, deltas, assigned) for part in (self.scores, self.boxes))
        return {"loss_cls": of_scores["loss_cls"], "loss_loc": self.weight * of_boxes["loss_loc"]}


class FocalCriterion(nn.Module):
    r"""The usual one-stage baseline: sums of focal loss and of smooth L1, divided by |P|.

    For a batch without positives the divisor is 1; its loss is that of the negatives.

    Args: `coder`, how the detector writes boxes; `alpha` and `gamma` of focal loss, None and 0 for cross entropy;
        `beta` of smooth L1; `count_images`, to divide focal loss by |P| plus the number of images.
    """

    def __init__(self, coder: BoxCoder, *, alpha: float | None, gamma: float, beta: float, count_images: bool):
        super().__init__()
        self.coder, self.alpha, self.gamma, self.beta = coder, alpha, gamma, beta
        self.count_images = count_images

    def forward(self, logits: Tensor, deltas: Tensor, assigned: Assigned) -> Losses:
        targets = ranking_targets(logits, assigned.labels)
        is_used = assigned.labels != IGNORED
        predicted = deltas[assigned.positives]
        num_positives = max(1, len(predicted))
        focal = sigmoid_focal_loss(
            logits[is_used],
            targets[is_used].to(logits.dtype),
            alpha=-1 if self.alpha is None else self.alpha,
            gamma=self.gamma,
            reduction="sum",
        )
        boxes = smooth_l1(predicted, assigned, self.coder, self.beta)
        cls_normaliser = len(predicted) + len(logits) if self.count_images else num_positives
        return {"loss_cls": focal / cls_normaliser, "loss_loc": boxes / num_positives}


class CrossEntropyCriterion(nn.Module):
    """The usual two-stage baseline: cross entropy, and L1 or GIoU for boxes, both means over the sampled anchors.

    Args: `coder`, how the detector writes boxes; `has_giou`, for 10 (1 - GIoU) instead of L1 on the four numbers.
    Shape: as for the other criteria, but with C + 1 logits, the last for background. One logit alone means sigmoid.
    """

    giou_weight = 10.0

    def __init__(self, coder: BoxCoder, *, has_giou: bool):
        super().__init__()
        self.coder, self.has_giou = coder, has_giou

    def forward(self, logits: Tensor, deltas: Tensor, assigned: Assigned) -> Losses:
        is_sampled, predicted = assigned.labels != IGNORED, deltas[assigned.positives]
        if logits.shape[-1] == 1:
            logits = F.pad(logits, (0, 1))  # sigmoid(x) = softmax((x, 0)), so background has the logit 0
        background = logits.shape[-1] - 1
        target_class = torch.where(assigned.labels < 0, background, assigned.labels)
        if self.has_giou:
            errors = giou_error(self.coder.decode(predicted, assigned.anchors), assigned.boxes)
            box_loss = self.giou_weight * errors.sum()
        else:
            box_loss = F.l1_loss(predicted, self.coder.encode(assigned.boxes, assigned.anchors), reduction="sum")
        num_sampled = is_sampled.sum().clamp(min=1)
        return {
            "loss_cls": F.cross_entropy(logits[is_sampled], target_class[is_sampled], reduction="sum") / num_sampled,
            "loss_loc": box_loss / num_sampled,
        }


class UnknownCriterion(nn.Module):
    """In place of a criterion of somebody's own, which a checkpoint names and does not hold.

    Args: `name` of its class. Raises: ValueError when it should compute losses.
    """

    def __init__(self, name: str):
        super().__init__()
        self.name = name

    def forward(self, logits: Tensor, deltas: Tensor, assigned: Assigned) -> Losses:
        raise ValueError(
            f"this detector was trained with the criterion {self.name}, which its checkpoint does not hold: to train "
            "it further, set `model.criterion` to such a module"
        )
