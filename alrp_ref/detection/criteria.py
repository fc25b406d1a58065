"""What a detector is trained with: a ranking of all its scores, or the usual baseline."""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.ops import sigmoid_focal_loss

from alrp_ref import ALRPLoss, SelfBalance, ap_loss, giou_error
from alrp_ref.detection.assigners import IGNORED
from alrp_ref.detection.boxes import decode, encode


class Assigned(NamedTuple):
    """The anchors of a batch and what each is to become.

    - `labels` (B, N): class of a positive anchor, `NEGATIVE` or `IGNORED`;
    - `anchors` (P, 4): those of the positives, image by image;
    - `boxes` (P, 4): their ground-truth boxes.
    """

    labels: Tensor
    anchors: Tensor
    boxes: Tensor


Losses = dict[str, Tensor]


def ranking_targets(labels: Tensor, num_classes: int) -> Tensor:
    """One entry for each logit: 1 positive, 0 negative, -1 ignored.

    The other classes of a positive anchor are negatives; all classes of an ignored anchor are ignored.

    Shape: (B, N) -> (B, N, num_classes), int8.
    """
    targets = labels.new_zeros((*labels.shape, num_classes), dtype=torch.int8)
    targets[labels == IGNORED] = -1
    image, anchor = (labels >= 0).nonzero(as_tuple=True)
    targets[image, anchor, labels[image, anchor]] = 1
    return targets


class ALRPCriterion(nn.Module):
    """aLRP Loss over one list of all images, levels, anchors and classes of the batch.

    The localisation error of a positive is `giou_error` of its decoded box. `loss_loc` already holds the weight of
    the self-balance.

    Args: `self_balance_period`, the steps of an epoch, None to keep the initial weight.
    """

    def __init__(self, self_balance_period: int | None = None):
        super().__init__()
        self.loss = ALRPLoss(self_balance_period)

    @property
    def self_balance(self) -> SelfBalance:
        return self.loss.self_balance

    def forward(self, logits: Tensor, deltas: Tensor, assigned: Assigned) -> Losses:
        targets = ranking_targets(assigned.labels, logits.shape[-1])
        predicted = decode(deltas[assigned.labels >= 0], assigned.anchors)
        out = self.loss(logits.flatten(), targets.flatten(), giou_error(predicted, assigned.boxes))
        return {"loss_cls": out.cls, "loss_loc": out.loc}


class APCriterion(nn.Module):
    r"""AP Loss for the scores, and smooth L1 (beta 1) on the deltas of the positives, mean over the 4 |P| numbers."""

    self_balance = None

    def forward(self, logits: Tensor, deltas: Tensor, assigned: Assigned) -> Losses:
        targets = ranking_targets(assigned.labels, logits.shape[-1])
        predicted = deltas[assigned.labels >= 0]
        total = F.smooth_l1_loss(predicted, encode(assigned.boxes, assigned.anchors), reduction="sum")
        return {
            "loss_cls": ap_loss(logits.flatten(), targets.flatten()),
            "loss_loc": total / max(1, predicted.numel()),
        }


class FocalCriterion(nn.Module):
    r"""The usual baseline: focal loss (gamma 2, alpha 0.25) and smooth L1 (beta 1/9), summed, divided by |P|.

    A batch without positives still has a classification loss: that of its negatives, divided by 1.
    """

    self_balance = None

    def forward(self, logits: Tensor, deltas: Tensor, assigned: Assigned) -> Losses:
        targets = ranking_targets(assigned.labels, logits.shape[-1])
        counted = assigned.labels != IGNORED
        predicted = deltas[assigned.labels >= 0]
        num_positives = max(1, len(predicted))
        focal = sigmoid_focal_loss(
            logits[counted], targets[counted].to(logits.dtype), alpha=0.25, gamma=2.0, reduction="sum"
        )
        smooth_l1 = F.smooth_l1_loss(predicted, encode(assigned.boxes, assigned.anchors), beta=1 / 9, reduction="sum")
        return {"loss_cls": focal / num_positives, "loss_loc": smooth_l1 / num_positives}


def build_criterion(name: str, self_balance_period: int | None = None) -> nn.Module:
    """The criterion "alrp", "ap" or "focal". Raises: ValueError for another name."""
    if name == "alrp":
        return ALRPCriterion(self_balance_period)
    if name == "ap":
        return APCriterion()
    if name == "focal":
        return FocalCriterion()
    raise ValueError(f'loss must be one of "alrp", "ap", "focal", got {name!r}')
