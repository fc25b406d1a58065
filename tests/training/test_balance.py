"""Theorem 2, watched while detectors train."""

import math

import pytest
import torch
from detection.small import EMPTY, SMALL, batch

from alrp_ref.detection import build_detector
from alrp_ref.detection.recipe_losses import ALRP, AP, RankSort
from alrp_ref.training.gradient_balance import GradientBalance


@pytest.mark.parametrize("name", SMALL)
def test_negatives_and_positives_of_a_ranking_push_equally(name: str):
    """With a ranking-based loss the ratio is 1 in every stage that has positives; with focal loss or cross entropy not.

    That of RS Loss is 1 as long as each positive is lifted more by negatives than it is pushed by other positives.
    """
    model = build_detector(SMALL[name], num_classes=2).double()
    balances = {prefix: GradientBalance(criterion) for prefix, criterion in model.criteria.items()}
    assert all(math.isnan(balance.ratio) for balance in balances.values())
    images, targets = batch()
    sum(model(images.double(), targets).values()).backward()
    ratio = float(balances["rpn_" if name.endswith("faster") else ""].ratio)
    assert (abs(ratio - 1) < 1e-9) == (isinstance(SMALL[name].loss, ALRP | AP | RankSort))


def test_without_positives_there_is_no_ratio():
    """It is NaN, for a batch without boxes."""
    model = build_detector(SMALL["alrp_tiny"], num_classes=2)
    balance = GradientBalance(model.criterion)
    sum(model(batch()[0], [EMPTY, EMPTY]).values()).backward()
    assert math.isnan(balance.ratio)


def test_micro_batches_are_measured_together():
    """The ratio is that of all backward passes since the last reset: of sums, not a mean of ratios."""
    model = build_detector(SMALL["focal_tiny"], num_classes=2).double()
    balance, (images, targets) = GradientBalance(model.criterion), batch()
    magnitudes = []
    for one in (slice(0, 1), slice(1, 2)):
        balance.reset()
        sum(model(images[one].double(), targets[one]).values()).backward()
        magnitudes.append(balance.magnitudes)
    balance.reset()
    for one in (slice(0, 1), slice(1, 2)):
        sum(model(images[one].double(), targets[one]).values()).backward()
    negatives, positives = sum(magnitudes)
    assert magnitudes[0][0] / magnitudes[0][1] != balance.ratio == negatives / positives


def test_watching_changes_nothing():
    """Gradients are the same with and without it."""
    images, targets = batch()
    gradients = []
    for watched in (False, True):
        torch.manual_seed(0)
        model = build_detector(SMALL["alrp_tiny"], num_classes=2)
        if watched:
            GradientBalance(model.criterion)
        sum(model(images, targets).values()).backward()
        gradients.append(model.head.cls_logits.weight.grad)
    assert torch.equal(*gradients)
