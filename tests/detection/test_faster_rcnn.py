"""What the two-stage detector has of its own."""

import pytest
import torch
from detection.small import SMALL, batch
from torch.testing import assert_close
from torchvision.ops import box_iou

from alrp_ref.detection import build_detector
from alrp_ref.detection.faster_rcnn import RPN_WEIGHT, pool

STRIDES = (4, 8, 16, 32)


@pytest.mark.parametrize("side, level", [(10, 0), (56, 0), (111, 0), (112, 1), (223, 1), (224, 2), (448, 3), (900, 3)])
def test_proposals_look_at_the_level_of_their_size(side: float, level: int):
    """From 112 pixels on a proposal looks at P3, from 224 on at P4, from 448 on at P5."""
    levels = [torch.full((1, 1, 1024 // stride, 1024 // stride), float(i)) for i, stride in enumerate(STRIDES)]
    box = torch.tensor([[8.0, 8.0, 8.0 + side, 8.0 + side]])
    assert_close(pool(levels, [box], STRIDES), torch.full((1, 1, 7, 7), float(level)))


def test_pooling_has_no_offset():
    """Of a ramp along x, a proposal sees its own coordinates: the bins' centres, less half a cell."""
    ramp = (torch.arange(64.0) * 4 + 2).expand(1, 1, 64, 64)  # at each cell's centre its x in pixels
    (seen,) = pool([ramp], [torch.tensor([[40.0, 40.0, 96.0, 96.0]])], (4,))[0]
    assert_close(seen[0], 44 + 8 * torch.arange(7.0))


def test_no_proposal_is_pooled_to_nothing():
    """Images without any proposal give features of no box."""
    levels = [torch.zeros(2, 5, 64 // stride, 64 // stride) for stride in STRIDES]
    assert pool(levels, [torch.zeros(0, 4)] * 2, STRIDES).shape == (0, 5, 7, 7)


def test_alrp_ranks_everything_and_the_baselines_draw():
    """With aLRP Loss two steps on one batch have the same losses; the baselines learn from samples, which differ."""
    for name in ("alrp_faster", "ce_faster"):
        model, (images, targets) = build_detector(SMALL[name], num_classes=2).double().eval(), batch()
        model.training = True
        one, other = (model(images.double(), targets) for _ in range(2))
        assert (one["loss_rpn_cls"] == other["loss_rpn_cls"]) == (name == "alrp_faster")


def test_each_stage_has_its_own_self_balance():
    """Both start at 50, count the same steps, and take their own weights; the first stage's parts weigh a fifth."""
    model, (images, targets) = build_detector(SMALL["alrp_faster"], 2, self_balance_period=1), batch()
    model.criterion.loss.self_balance.period = None  # keeps the initial weight
    losses = model(images, targets)
    weight = model.criteria["rpn_"].self_balance.weight
    assert model.self_balance.weight == 50 != weight
    cls, loc = losses["loss_rpn_cls"] / RPN_WEIGHT, losses["loss_rpn_loc"] / RPN_WEIGHT / weight
    assert_close(weight.float(), (cls + loc) / loc, rtol=1e-5, atol=0)


def test_baselines_learn_from_the_ground_truth_too():
    """Before any training the aLRP detector's second stage may find no positive; a baseline's always has the boxes."""
    model, (images, targets) = build_detector(SMALL["ce_faster"], num_classes=2), batch()
    assert all(model(images, targets)["loss_loc"] > 0 for _ in range(3))


def test_proposals_do_not_overlap_on_their_level():
    """At most 1000 come out, best first, and those of one level overlap by no more than 0.7."""
    model, (images, _) = build_detector(SMALL["alrp_faster"], num_classes=2).eval(), batch()
    with torch.no_grad():
        levels = [model.features(images)[2]]
        model.strides = model.strides[2:3]
        logits, deltas = model.rpn(levels)
        for proposals in model.proposals(levels, logits, deltas, [(96, 96)] * 2):
            assert 1 < len(proposals) <= 36 * 3
            assert box_iou(proposals, proposals).fill_diagonal_(0).max() <= 0.7
