"""The options of a loss are what a detector is trained with."""

import pytest
import torch
from torch.nn import functional as F
from torchvision.ops import sigmoid_focal_loss

from alrp_ref import alrp_loss, ap_loss, giou_error, iou_error, rank_sort_loss
from alrp_ref.batch import IGNORED, ranking_targets
from alrp_ref.detection.assigners import Assigned
from alrp_ref.detection.boxes import CODERS
from alrp_ref.detection.recipe_losses import ALRP, AP, Focal, MeanGIoU, RankSort, ScoredGIoU, Separate, SmoothL1

CODER = CODERS["deltas"]
DECODE = CODER.decode


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
    """The criterion is `alrp_loss` over all logits of the batch, with the error of the boxes, delta and step that the
    loss names; the boxes' part holds the first weight, 50."""
    losses = ALRP(**changes).build(CODER, 4)(*batch)
    logits, _, assigned = batch
    expected = alrp_loss(
        logits.flatten(), ranking_targets(logits, assigned.labels).flatten(), errors(batch, loc_error), **options
    )
    assert torch.equal(losses["loss_cls"], expected.cls)
    assert torch.allclose(losses["loss_loc"], 50 * expected.loc, rtol=1e-12)


def test_without_a_period_the_first_weight_stays(batch):
    """After any number of epochs it is the loss's; with a period it is renewed."""
    for period in (2, None):
        criterion = ALRP(first_weight=3.0).build(CODER, period)
        for _ in range(5):
            criterion(*batch)
        assert (float(criterion.self_balance.weight) == 3.0) is (period is None)


@pytest.mark.parametrize(("epochs", "period"), [(1.0, 25), (0.5, 13), (2, 50), (0, None)])
def test_the_self_balance_is_renewed_after_so_many_epochs(epochs, period):
    """Of 25 steps an epoch; with 0 it is never renewed, and then no note says that the total may rise."""
    loss = ALRP(self_balance_epochs=epochs)
    assert loss.self_balance_period(25) == period == Separate(scores=AP(), boxes=loss).self_balance_period(25)
    assert Separate(scores=loss, boxes=MeanGIoU()).self_balance_period(25) is None
    assert ("the total may rise" in loss.note) is bool(epochs)


def test_ap_loss_takes_delta_and_beta(batch):
    """A wider step is the loss of the wider step; beta is the bend of smooth L1, the mean over all numbers."""
    logits, deltas, assigned = batch
    losses = AP(delta=2.0, beta=0.5).build(CODER)(*batch)
    targets = ranking_targets(logits, assigned.labels).flatten()
    assert losses["loss_cls"] == ap_loss(logits.flatten(), targets, delta=2.0)
    predicted, truth = deltas[assigned.labels >= 0], CODER.encode(assigned.boxes, assigned.anchors)
    assert torch.isclose(losses["loss_loc"], F.smooth_l1_loss(predicted, truth, beta=0.5), rtol=1e-12)


@pytest.mark.parametrize(
    ("options", "alpha", "gamma", "divisor"),
    [({}, 0.25, 2.0, 4), ({"alpha": None, "gamma": 0.0}, -1, 0.0, 4), ({"count_images": True}, 0.25, 2.0, 4 + 3)],
)
def test_the_options_of_focal_loss(batch, options, alpha, gamma, divisor):
    """Its sum over all logits but the ignored is divided by the four positives, or by them and the three images;
    alpha=None, gamma=0 is cross entropy."""
    logits, _, assigned = batch
    targets, is_used = ranking_targets(logits, assigned.labels), assigned.labels != IGNORED
    expected = sigmoid_focal_loss(logits[is_used], targets[is_used].double(), alpha, gamma, reduction="sum") / divisor
    losses = Focal(**options).build(CODER)(*batch)
    assert torch.isclose(losses["loss_cls"], expected, rtol=1e-12)
    if alpha == -1:
        by_hand = F.binary_cross_entropy_with_logits(logits[is_used], targets[is_used].double(), reduction="sum")
        assert torch.isclose(losses["loss_cls"], by_hand / divisor, rtol=1e-12)


def gradients(loss, batch, criterion=None) -> tuple[torch.Tensor, torch.Tensor]:
    """Of logits and deltas."""
    logits, deltas, assigned = batch
    logits, deltas = logits.clone().requires_grad_(), deltas.clone().requires_grad_()
    sum((criterion or loss.build(CODER))(logits, deltas, assigned).values()).backward()
    return logits.grad, deltas.grad


@pytest.mark.parametrize("scores", [ALRP(), AP(), Focal()])
def test_each_error_of_a_mean_counts_alike_and_the_scores_keep_their_loss(batch, scores):
    """The gradient of weight / |P| times the sum of the GIoU errors, whatever the rank."""
    of_scores, of_boxes = gradients(Separate(scores=scores, boxes=MeanGIoU(), weight=3.0), batch)
    assert torch.equal(of_scores, gradients(scores, batch)[0])
    _, deltas, assigned = batch
    deltas = deltas.clone().requires_grad_()
    (3 * errors((None, deltas, assigned), giou_error).mean()).backward()
    assert torch.allclose(of_boxes, deltas.grad, rtol=1e-12)


def test_scores_of_ap_loss_and_boxes_of_alrp_loss(batch):
    """Each part has the gradient that its loss gives alone, the self-balance included: it is renewed each epoch."""
    criterion, ap, alrp = (loss.build(CODER, 2) for loss in (Separate(scores=AP(), boxes=ALRP()), AP(), ALRP()))
    for _ in range(3):
        of_scores, of_boxes = gradients(None, batch, criterion)
        scores_of_alrp, boxes_of_alrp = gradients(None, batch, alrp)
        assert torch.equal(of_scores, gradients(None, batch, ap)[0])
        assert not torch.equal(of_scores, scores_of_alrp)
        assert torch.equal(of_boxes, boxes_of_alrp)
    assert criterion.self_balance.weight == alrp.self_balance.weight != 50


def test_smooth_l1_can_weigh_more(batch):
    """The gradient on the boxes is that of AP Loss's smooth L1 times the weight, that on the scores is as it was."""
    of_scores, of_boxes = gradients(Separate(scores=AP(), boxes=SmoothL1(), weight=3.0), batch)
    scores_of_ap, boxes_of_ap = gradients(AP(), batch)
    assert torch.equal(of_scores, scores_of_ap)
    assert torch.allclose(of_boxes, 3 * boxes_of_ap, rtol=1e-12)


def test_a_batch_without_positives_has_a_loss_of_boxes_of_zero(batch):
    """Of every loss for boxes, with a gradient, which is zero, too."""
    logits, deltas, assigned = batch
    empty = Assigned(torch.full_like(assigned.labels, -1), assigned.anchors[:0], assigned.boxes[:0])
    for loss in (ALRP(), AP(), Focal(), Separate(scores=AP(), boxes=MeanGIoU()), SmoothL1()):
        deltas = deltas.detach().requires_grad_()
        losses = loss.build(CODER)(logits.clone().requires_grad_(), deltas, empty)
        losses["loss_loc"].backward()
        assert losses["loss_loc"] == 0 and (deltas.grad is None or not deltas.grad.any())


def test_a_label_that_does_not_exist_is_refused(batch):
    """As by `flatten_batch`, which is the way into the loss: class 4 of four classes is no negative."""
    logits, deltas, assigned = batch
    wrong = assigned._replace(labels=torch.where(assigned.labels == 3, 4, assigned.labels))
    for loss in (ALRP(), AP(), Focal()):
        with pytest.raises(ValueError, match="labels must be 0 to 3"):
            loss.build(CODER)(logits, deltas, wrong)


def test_rank_sort_loss_balances_its_parts_in_each_step(batch):
    """The scores by `rank_sort_loss` of the decoded boxes; the boxes by 1 - GIoU, weighted by the largest score of the
    anchor; and as much of the one as of the other, or a constant."""
    logits, deltas, assigned = batch
    ious = 1 - iou_error(DECODE(deltas[assigned.labels >= 0], assigned.anchors), assigned.boxes, tau=0.0)
    out = rank_sort_loss(logits.flatten(), ranking_targets(logits, assigned.labels).flatten(), ious, delta=0.3)
    scores = logits[assigned.labels >= 0].sigmoid().amax(1)
    boxes = (scores * errors(batch, giou_error)).sum() / scores.sum()
    balanced = RankSort(delta=0.3).build(CODER)(*batch)
    constant = RankSort(delta=0.3, weight=2.0).build(CODER)(*batch)
    assert balanced["loss_cls"] == constant["loss_cls"] == out.total
    assert torch.isclose(balanced["loss_loc"], out.total, rtol=1e-12)
    assert torch.isclose(constant["loss_loc"], 2 * boxes, rtol=1e-12)
    mixed = Separate(scores=AP(), boxes=ScoredGIoU(), weight=2.0).build(CODER)(*batch)
    assert torch.isclose(mixed["loss_loc"], 2 * boxes, rtol=1e-12)


def test_the_boxes_of_rank_sort_loss_do_not_move_the_scores(batch):
    """Their weights are the scores without a gradient; and the IoUs by which it sorts do not move the boxes."""
    logits, deltas, assigned = batch
    logits.requires_grad_(), deltas.requires_grad_()
    losses = RankSort().build(CODER)(logits, deltas, assigned)
    assert torch.autograd.grad(losses["loss_loc"], logits, retain_graph=True, allow_unused=True) == (None,)
    assert torch.autograd.grad(losses["loss_cls"], deltas, allow_unused=True) == (None,)
