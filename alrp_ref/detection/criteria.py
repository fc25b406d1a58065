"""Criteria: the losses of a detector from its logits, its deltas and the assigned anchors."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.ops import sigmoid_focal_loss

from alrp_ref.detection.assigners import IGNORED, Assigned
from alrp_ref.detection.boxes import CODERS, BoxCoder
from alrp_ref.detection.recipes import Recipe
from alrp_ref.losses import ALRP, ALRPLoss, APLoss, alrp_loss
from alrp_ref.paper.localisation import giou_error, iou_error
from alrp_ref.paper.self_balance import SelfBalance

Losses = dict[str, Tensor]


def ranking_targets(labels: Tensor, num_classes: int) -> Tensor:
    """The target of each logit: 1 positive, 0 negative, -1 ignored.

    A positive anchor is positive for its own class and negative for the others. An ignored anchor is ignored for all.

    Shape: (B, N) -> (B, N, num_classes), int8.
    """
    labels = labels[..., None]
    is_class = labels == torch.arange(num_classes, device=labels.device)
    return torch.where(labels == IGNORED, -1, is_class.to(torch.int8))


LOC_ERRORS = {"giou": giou_error, "iou": iou_error}


class ALRPCriterion(nn.Module):
    """aLRP Loss over one list of all images, levels, anchors and classes of the batch.

    The localisation error of a positive is computed from its decoded box. `loss_loc` is already multiplied by the
    weight of the self-balance.

    Args: `recipe`, for the options of aLRP Loss; `coder`, how the detector writes boxes; `self_balance_period`, the
        steps of an epoch, None to keep the initial weight; `tau` of the localisation error.
    Raises: ValueError for an unknown option.
    """

    def __init__(self, recipe: Recipe, coder: BoxCoder, self_balance_period: int | None = None, *, tau: float = 0.5):
        super().__init__()
        if recipe.loc_error not in LOC_ERRORS:
            raise ValueError(f"loc_error must be one of {', '.join(LOC_ERRORS)}, got {recipe.loc_error!r}")
        self.coder, self.tau, self.loc_error = coder, tau, LOC_ERRORS[recipe.loc_error]
        self.ranks_images = recipe.rank_scope == "image"
        self.loss = ALRPLoss(
            self_balance_period,
            initial_weight=recipe.loc_weight,
            delta=recipe.delta,
            loc_step=recipe.loc_step,
            rank_scope="process" if self.ranks_images else recipe.rank_scope,
        )

    @property
    def self_balance(self) -> SelfBalance:
        return self.loss.self_balance

    def forward(self, logits: Tensor, deltas: Tensor, assigned: Assigned) -> Losses:
        targets = ranking_targets(assigned.labels, logits.shape[-1])
        predicted = self.coder.decode(deltas[assigned.positives], assigned.anchors)
        loc_errors = self.loc_error(predicted, assigned.boxes, tau=self.tau)
        if self.ranks_images:
            out = self.loss.balanced(self._mean_over_images(logits, targets, loc_errors))
        else:
            out = self.loss(logits.flatten(), targets.flatten(), loc_errors)
        return {"loss_cls": out.cls, "loss_loc": out.loc_weight * out.loc}  # weighted, as in the release

    def _mean_over_images(self, logits: Tensor, targets: Tensor, loc_errors: Tensor) -> ALRP:
        """aLRP Loss of each image separately, mean over the images with a positive."""
        counts = (targets == 1).flatten(1).sum(dim=1).tolist()
        losses = [
            alrp_loss(s.flatten(), target.flatten(), errors, delta=self.loss.delta, loc_step=self.loss.loc_step)
            for s, target, errors in zip(logits, targets, loc_errors.split(counts), strict=True)
        ]
        cls, loc, ranks = zip(*losses, strict=True)
        num_images = max(1, sum(count > 0 for count in counts))
        return ALRP(sum(cls) / num_images, sum(loc) / num_images, torch.cat(ranks))


class APCriterion(nn.Module):
    r"""AP Loss for the scores; smooth L1 for the boxes, mean over the 4 |P| numbers of the positives.

    Args: `recipe`, for the options of AP Loss; `coder`, how the detector writes boxes; `beta` of smooth L1.
    """

    self_balance = None

    def __init__(self, recipe: Recipe, coder: BoxCoder, *, beta: float):
        super().__init__()
        self.coder, self.beta, self.loss = coder, beta, APLoss(delta=recipe.delta, rank_scope=recipe.rank_scope)

    def forward(self, logits: Tensor, deltas: Tensor, assigned: Assigned) -> Losses:
        targets = ranking_targets(assigned.labels, logits.shape[-1])
        predicted = deltas[assigned.positives]
        truth = self.coder.encode(assigned.boxes, assigned.anchors)
        total = F.smooth_l1_loss(predicted, truth, beta=self.beta, reduction="sum")
        return {
            "loss_cls": self.loss(logits.flatten(), targets.flatten()),
            "loss_loc": total / max(1, predicted.numel()),
        }


class FocalCriterion(nn.Module):
    r"""The usual one-stage baseline: sums of focal loss and of smooth L1, divided by |P|.

    For a batch without positives the divisor is 1; its loss is that of the negatives.

    Args: `alpha`, `gamma` of the focal loss; `beta` of smooth L1; `count_images`, to divide the focal
        loss by |P| plus the number of images.
    """

    self_balance = None

    def __init__(self, coder: BoxCoder, *, alpha: float, gamma: float, beta: float, count_images: bool):
        super().__init__()
        self.coder, self.alpha, self.gamma, self.beta = coder, alpha, gamma, beta
        self.count_images = count_images

    def forward(self, logits: Tensor, deltas: Tensor, assigned: Assigned) -> Losses:
        targets = ranking_targets(assigned.labels, logits.shape[-1])
        is_used = assigned.labels != IGNORED
        predicted = deltas[assigned.positives]
        num_positives = max(1, len(predicted))
        focal = sigmoid_focal_loss(
            logits[is_used], targets[is_used].to(logits.dtype), alpha=self.alpha, gamma=self.gamma, reduction="sum"
        )
        truth = self.coder.encode(assigned.boxes, assigned.anchors)
        smooth_l1 = F.smooth_l1_loss(predicted, truth, beta=self.beta, reduction="sum")
        cls_normaliser = len(predicted) + len(logits) if self.count_images else num_positives
        return {"loss_cls": focal / cls_normaliser, "loss_loc": smooth_l1 / num_positives}


class CrossEntropyCriterion(nn.Module):
    """The usual two-stage baseline: cross entropy, and L1 or GIoU for boxes, both means over the sampled anchors.

    Args: `coder`, how the detector writes boxes; `loss`, "ce" for L1 on the four numbers, "ce_giou" for 10 (1 - GIoU).
    Shape: as for the other criteria, but with C + 1 logits, the last for background. One logit alone means sigmoid.
    """

    self_balance = None
    giou_weight = 10.0

    def __init__(self, coder: BoxCoder, loss: str):
        super().__init__()
        if loss not in ("ce", "ce_giou"):
            raise ValueError(f'loss must be one of "alrp", "ce", "ce_giou", got {loss!r}')
        self.coder, self.has_giou = coder, loss == "ce_giou"

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


def build_criterion(recipe: Recipe, self_balance_period: int | None = None) -> nn.Module:
    """The criterion of a one-stage detector: aLRP Loss, AP Loss or focal loss.

    The baselines have two sets of constants: RetinaNet's for the coder "deltas", FoveaBox's for "distances".

    Raises: ValueError for another loss.
    """
    is_fovea, boxes = recipe.coder == "distances", CODERS[recipe.coder]
    if recipe.loss == "alrp":
        return ALRPCriterion(recipe, boxes, self_balance_period)
    if recipe.loss == "ap":
        return APCriterion(recipe, boxes, beta=0.11 if is_fovea else 1.0)
    if recipe.loss == "focal" and is_fovea:
        return FocalCriterion(boxes, alpha=0.4, gamma=1.5, beta=0.11, count_images=True)
    if recipe.loss == "focal":
        return FocalCriterion(boxes, alpha=0.25, gamma=2.0, beta=1 / 9, count_images=False)
    raise ValueError(f'loss must be one of "alrp", "ap", "focal", got {recipe.loss!r}')
