"""Criteria that no recipe has: the loss of the scores and the loss of the boxes are chosen separately.

With them one thing at a time can change: who trains the scores, who trains the boxes, and with which weight.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from unittest import mock

from torch import Tensor, nn

from alrp_ref import SelfBalance, giou_error
from alrp_ref.detection import retinanet
from alrp_ref.detection.assigners import Assigned
from alrp_ref.detection.boxes import CODERS, BoxCoder
from alrp_ref.detection.criteria import FocalCriterion, Losses, build_criterion
from alrp_ref.detection.recipes import Recipe

Build = Callable[[Recipe, int | None], nn.Module]
"""Makes a criterion, as `build_criterion` does: from a recipe and the period of the self-balance."""


class Halves(nn.Module):
    """`loss_cls` of one criterion, and `loss_loc` of another, times a constant."""

    def __init__(self, scores: nn.Module, boxes: nn.Module, weight: float = 1.0):
        super().__init__()
        self.scores, self.boxes, self.weight = scores, boxes, weight

    @property
    def self_balance(self) -> SelfBalance | None:
        return self.boxes.self_balance

    def forward(self, logits: Tensor, deltas: Tensor, assigned: Assigned) -> Losses:
        of_scores = self.scores(logits, deltas, assigned)
        of_boxes = of_scores if self.boxes is self.scores else self.boxes(logits, deltas, assigned)
        return {"loss_cls": of_scores["loss_cls"], "loss_loc": self.weight * of_boxes["loss_loc"]}


class MeanGIoU(nn.Module):
    """A pull at all boxes alike: the mean of the errors that aLRP Loss ranks. It has no loss for scores."""

    self_balance = None

    def __init__(self, coder: BoxCoder):
        super().__init__()
        self.coder = coder

    def forward(self, logits: Tensor, deltas: Tensor, assigned: Assigned) -> Losses:
        errors = giou_error(self.coder.decode(deltas[assigned.positives], assigned.anchors), assigned.boxes)
        return {"loss_loc": errors.sum() / max(1, len(errors))}


@contextmanager
def built_by(build: Build | None) -> Iterator[None]:
    """Inside, one-stage detectors have the criterion that `build` makes; with None that of their recipe."""
    with mock.patch.object(retinanet, "build_criterion", build or build_criterion):
        yield


def of_boxes(criterion: nn.Module) -> nn.Module:
    """What trains the boxes of a detector with this criterion."""
    return criterion.boxes if isinstance(criterion, Halves) else criterion


def weighted(recipe: Recipe, period: int | None) -> Halves:
    """AP Loss and smooth L1, which is multiplied by the recipe's `loc_weight`."""
    criterion = build_criterion(recipe, period)
    return Halves(criterion, criterion, recipe.loc_weight)


def alike(recipe: Recipe, period: int | None) -> Halves:
    """The scores by the recipe's loss, the boxes by the mean of the GIoU errors, times the recipe's `loc_weight`."""
    return Halves(build_criterion(recipe, period), MeanGIoU(CODERS[recipe.coder]), recipe.loc_weight)


def ordered(recipe: Recipe, period: int | None) -> Halves:
    """The scores by the recipe's loss, the boxes by aLRP Loss with its self-balance: in the order of the scores."""
    return Halves(build_criterion(recipe, period), build_criterion(replace(recipe, loss="alrp"), period))


def cross_entropy(recipe: Recipe, period: int | None) -> FocalCriterion:
    """Focal loss without its two parameters."""
    return FocalCriterion(CODERS[recipe.coder], alpha=-1, gamma=0, beta=1 / 9, count_images=False)
