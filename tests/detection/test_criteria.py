"""What a recipe says about its loss is what the detector is trained with."""

from dataclasses import replace

import pytest
import torch

from alrp_ref import alrp_loss, ap_loss, giou_error, iou_error
from alrp_ref.detection import RECIPES
from alrp_ref.detection.assigners import Assigned
from alrp_ref.detection.boxes import CODERS
from alrp_ref.detection.criteria import build_criterion, ranking_targets
from alrp_ref.detection.recipes import get_recipe

RECIPE = RECIPES["alrp_tiny"]
DECODE = CODERS["deltas"].decode


@pytest.fixture
def batch():
    """Logits and deltas of three images, eight anchors and four classes; the last image has no positive."""
    labels = torch.full((3, 8), -1)
    labels[0, [1, 4, 6]], labels[1, 2], labels[1, 5] = torch.tensor([0, 3, 2]), 1, -2
    corners = 20 * torch.rand(4, 2, dtype=torch.float64)
    anchors = torch.cat([corners, corners + 20], dim=1)
    assigned = Assigned(labels, anchors, anchors + torch.randn(4, 4, dtype=torch.float64))
    return torch.randn(3, 8, 4, dtype=torch.float64), torch.randn(3, 8, 4, dtype=torch.float64) / 10, assigned


def errors(batch, loc_error):
    _, deltas, assigned = batch
    return loc_error(DECODE(deltas[assigned.labels >= 0], assigned.anchors), assigned.boxes)


@pytest.mark.parametrize(
    "changes, loc_error, options",
    [
        ({}, giou_error, {}),
        ({"loc_error": "iou"}, iou_error, {}),
        ({"loc_step": "smoothed"}, giou_error, {"loc_step": "smoothed"}),
        ({"delta": 0.5}, giou_error, {"delta": 0.5}),
    ],
)
def test_the_options_of_alrp_loss(batch, changes, loc_error, options):
    """The criterion is `alrp_loss` over all logits of the batch, with the recipe's error of the boxes, delta and step;
    the boxes' part holds the initial weight, 50."""
    losses = build_criterion(replace(RECIPE, **changes), self_balance_period=4)(*batch)
    logits, _, assigned = batch
    expected = alrp_loss(
        logits.flatten(), ranking_targets(assigned.labels, 4).flatten(), errors(batch, loc_error), **options
    )
    assert torch.equal(losses["loss_cls"], expected.cls)
    assert torch.allclose(losses["loss_loc"], 50 * expected.loc, rtol=1e-12)


def test_without_a_period_the_weight_stays(batch):
    """After any number of epochs it is the recipe's; with a period it is renewed."""
    for period in (2, None):
        criterion = build_criterion(replace(RECIPE, loc_weight=3.0), self_balance_period=period)
        for _ in range(5):
            criterion(*batch)
        assert (float(criterion.self_balance.weight) == 3.0) is (period is None)


def test_ranking_each_image_for_itself(batch):
    """`rank_scope="image"` is the mean of `alrp_loss` over the images that have a positive; the third has none."""
    losses = build_criterion(replace(RECIPE, rank_scope="image", loc_weight=1.0))(*batch)
    logits, _, assigned = batch
    targets, found = ranking_targets(assigned.labels, 4), errors(batch, giou_error)
    first = alrp_loss(logits[0].flatten(), targets[0].flatten(), found[:3])
    second = alrp_loss(logits[1].flatten(), targets[1].flatten(), found[3:])
    assert torch.allclose(losses["loss_cls"], (first.cls + second.cls) / 2, rtol=1e-12)
    assert torch.allclose(losses["loss_loc"], (first.loc + second.loc) / 2, rtol=1e-12)


def test_a_batch_without_positives_ranked_by_image(batch):
    """Its losses are 0 and have a gradient, which is 0, too."""
    logits, deltas, assigned = batch
    empty = Assigned(torch.full_like(assigned.labels, -1), assigned.anchors[:0], assigned.boxes[:0])
    losses = build_criterion(replace(RECIPE, rank_scope="image"))(logits.requires_grad_(), deltas, empty)
    sum(losses.values()).backward()
    assert sum(losses.values()) == 0 and not logits.grad.any()


def test_ap_loss_takes_delta(batch):
    """A wider step, the loss of the wider step."""
    logits, _, assigned = batch
    losses = build_criterion(replace(RECIPE, loss="ap", delta=2.0))(*batch)
    assert losses["loss_cls"] == ap_loss(logits.flatten(), ranking_targets(assigned.labels, 4).flatten(), delta=2.0)


def test_a_variant_is_a_recipe_by_another_name():
    """NAME:FIELD=VALUE:FIELD=VALUE, and all else stays."""
    variant = get_recipe("alrp_tiny:assigner=iou:loc_weight=1")
    assert variant == replace(RECIPE, assigner="iou", loc_weight=1, name="alrp_tiny:assigner=iou:loc_weight=1")


@pytest.mark.parametrize(
    "text, complaint",
    [
        ("alrp_tiny:delta", "FIELD=VALUE, got 'delta'"),
        ("alrp_tiny:epsilon=1", "FIELD=VALUE, got 'epsilon=1'"),
        ("alrp_tiny:delta=wide", "delta must be a finite number, got 'wide'"),
        ("alrp:delta=1", "got 'alrp'"),
    ],
)
def test_a_variant_that_cannot_be_is_refused(text, complaint):
    """The error names the part that is wrong."""
    with pytest.raises(ValueError, match=complaint):
        get_recipe(text)


@pytest.mark.parametrize(
    "changes, complaint",
    [({"loc_error": "l1"}, "loc_error must be one of giou, iou"), ({"loss": "hinge"}, "loss must be one of")],
)
def test_an_unknown_choice_is_refused(changes, complaint):
    """The error lists what there is."""
    with pytest.raises(ValueError, match=complaint):
        build_criterion(replace(RECIPE, **changes))
