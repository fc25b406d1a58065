"""A few training steps of the released ATSS detector, followed step by step."""

import pytest
import torch
from detection import official
from torch import Tensor
from torch.testing import assert_close

from alrp_ref import ALRPLoss, giou_error
from alrp_ref.batch import ranking_targets
from alrp_ref.detection import build_detector, load_official_checkpoint
from alrp_ref.detection.assigners import Assigned
from alrp_ref.detection.boxes import CODERS, decode, encode
from alrp_ref.detection.criteria import ALRPCriterion, Losses

RECIPE = "alrp_retinanet_r50_atss_500"
PERIOD = 3


class ReleaseCriterion(ALRPCriterion):
    """Ours, with what the release adds to the areas of GIoU put back: 1e-6, where the anchor is the unit box."""

    def forward(self, logits: Tensor, deltas: Tensor, assigned: Assigned) -> Losses:
        targets = ranking_targets(logits, assigned.labels)
        unit = assigned.anchors.new_tensor([-0.5, -0.5, 0.5, 0.5]).expand_as(assigned.anchors)
        pred = decode(deltas[assigned.labels >= 0], unit)
        truth = decode(encode(assigned.boxes, assigned.anchors), unit)
        out = self.loss(logits.flatten(), targets.flatten(), 1 - release_giou(pred, truth))
        return {"loss_cls": out.cls, "loss_loc": out.loc_weight * out.loc}


def release_giou(pred: Tensor, truth: Tensor, epsilon: float = 1e-6) -> Tensor:
    low, high = torch.minimum(pred, truth), torch.maximum(pred, truth)
    intersection = area(high[:, :2], low[:, 2:])
    union = area(pred[:, :2], pred[:, 2:]) + area(truth[:, :2], truth[:, 2:]) - intersection + epsilon
    hull = area(low[:, :2], high[:, 2:]) + epsilon
    return intersection / union - (hull - union) / hull


def area(low: Tensor, high: Tensor) -> Tensor:
    return (high - low).clamp(min=0).prod(dim=1)


@pytest.mark.parametrize(
    "criterion, steps, tolerance",
    [
        # A difference of 1e-6 in the localisation error grows from step to step, as any does in training.
        pytest.param(ALRPCriterion, 3, 1e-5, id="ours"),
        pytest.param(ReleaseCriterion, 8, 1e-9, id="with the release's constant", marks=pytest.mark.slow),
    ],
)
def test_official_trajectory(criterion: type[ALRPCriterion], steps: int, tolerance: float):
    """SGD steps follow the release's losses and self-balance weights: ours while its constant does not matter,
    and with that constant to the end."""
    expected = official.expected("trajectory")
    assert expected["self_balance_period"] == PERIOD
    model = build_detector(RECIPE)
    model.criterion = criterion(ALRPLoss(PERIOD), CODERS["deltas"], giou_error)
    model.double().train()
    load_official_checkpoint(model, official.state_dict(official.expected(RECIPE)["shapes"]))
    optimizer = torch.optim.SGD(
        [p for p in model.parameters() if p.requires_grad],
        expected["lr"],
        momentum=expected["momentum"],
        weight_decay=expected["weight_decay"],
    )
    images, targets = official.images(), official.targets()
    for wanted in expected["loss_cls_loss_loc_weight_after"][:steps]:
        losses = model(images, targets)
        optimizer.zero_grad()
        sum(losses.values()).backward()
        optimizer.step()
        got = [losses["loss_cls"].item(), losses["loss_loc"].item(), model.self_balance.weight.item()]
        assert_close(got, wanted, rtol=tolerance, atol=0)
