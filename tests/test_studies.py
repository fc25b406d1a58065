"""The training studies of the figures: their criteria, and how results of several runs come together."""

from dataclasses import replace

import pytest
import torch

from alrp_ref import ap_loss, giou_error
from alrp_ref.detection.assigners import Assigned
from alrp_ref.detection.boxes import CODERS
from alrp_ref.detection.criteria import build_criterion
from figures import halves, runs
from figures.train import ALIKE, CRITERIA, FIGURE_4, LOSSES, SMOOTH_L1, TWO_BY_TWO, collect


def test_results_of_runs_that_lie_elsewhere_are_kept(tmp_path):
    """`collect` replaces the rows of the runs in its folder, adds new ones, and keeps all others, in one order."""
    columns = ("AP", "AP50", "AP75", "AP90", "oLRP", "oLRP_loc", "oLRP_fp", "oLRP_fn", "rho")

    def results_of(folder, ap):
        (tmp_path / folder).mkdir(parents=True)
        row = ",".join(["10", str(ap), *["0.5"] * (len(columns) - 1)])
        (tmp_path / folder / "evaluations.csv").write_text(f"step,{','.join(columns)}\n{row}\n")

    results = tmp_path / "results.csv"
    results_of("here/alrp_10_1", 0.25)
    results_of("there/alrp_10_0", 0.125)
    results_of("there/ap_10_0", 0.75)
    for folder in ("here", "there", "here"):
        collect(tmp_path / folder, results)
    rows = [(row["recipe"], row["seed"], row["AP"]) for row in runs.read_table(results)]
    assert rows == [("alrp", "0", "0.1250"), ("alrp", "1", "0.2500"), ("ap", "0", "0.7500")]


def gradients(criterion) -> tuple[torch.Tensor, torch.Tensor]:
    """Of logits and deltas, for one image with two positives of unlike errors, a negative and an ignored anchor."""
    anchors = torch.tensor([[0.0, 0, 40, 40], [20, 20, 60, 60]])
    boxes = anchors + torch.tensor([[1.0, 2, 3, 4], [5, 6, 7, 8]])
    logits = torch.tensor([[[2.0], [-2.0], [0.5], [0.0]]], requires_grad=True)
    deltas = torch.zeros(1, 4, 4, requires_grad=True)
    sum(criterion(logits, deltas, Assigned(torch.tensor([[0, 0, -1, -2]]), anchors, boxes)).values()).backward()
    return logits.grad, deltas.grad


@pytest.mark.parametrize("scores", ["alrp", "ap"])
def test_a_detector_can_pull_at_all_boxes_alike(scores: str):
    """Each error of a positive counts weight / |P|, whatever the rank, and the scores keep their loss."""
    of_scores, of_boxes = gradients(halves.alike(replace(LOSSES[scores], loc_weight=3.0), None))
    assert torch.equal(of_scores, gradients(build_criterion(LOSSES[scores]))[0])
    deltas = torch.zeros(2, 4, requires_grad=True)
    anchors = torch.tensor([[0.0, 0, 40, 40], [20, 20, 60, 60]])
    boxes = anchors + torch.tensor([[1.0, 2, 3, 4], [5, 6, 7, 8]])
    (3 * giou_error(CODERS["deltas"].decode(deltas, anchors), boxes).mean()).backward()
    assert torch.allclose(of_boxes[0, :2], deltas.grad)
    assert not of_boxes[0, 2:].any()


def test_the_losses_of_a_detector_that_pulls_at_all_boxes_alike():
    """The boxes' loss is the weight times the mean error; the scores' is that of AP Loss; smooth L1 is multiplied."""
    recipe = ALIKE["ap_alike_3"]
    anchors = torch.tensor([[0.0, 0, 40, 40], [20, 20, 60, 60]])
    boxes = anchors + torch.tensor([1.0, 2, 3, 4])
    logits, deltas = torch.tensor([[[2.0], [-2.0], [0.0]]]), torch.zeros(1, 3, 4)
    assigned = Assigned(torch.tensor([[0, 0, -1]]), anchors, boxes)
    losses = halves.alike(recipe, None)(logits, deltas, assigned)
    weighted = halves.weighted(recipe, None)(logits, deltas, assigned)
    assert weighted["loss_loc"] == 3 * build_criterion(recipe)(logits, deltas, assigned)["loss_loc"]
    assert torch.isclose(losses["loss_loc"], 3 * giou_error(anchors, boxes).mean())
    assert losses["loss_cls"] == ap_loss(logits.flatten(), torch.tensor([1, 1, 0]))


def test_a_detector_can_have_scores_of_ap_loss_and_boxes_of_alrp_loss():
    """Each half has the gradient that its loss gives alone, the self-balance included: it is renewed each epoch."""
    mixed = halves.ordered(TWO_BY_TWO["ap_ordered"], 2)
    ap, alrp = build_criterion(LOSSES["ap"]), build_criterion(LOSSES["alrp"], 2)
    for _ in range(3):
        of_scores, of_boxes = gradients(mixed)
        scores_of_alrp, boxes_of_alrp = gradients(alrp)
        assert torch.equal(of_scores, gradients(ap)[0])
        assert not torch.equal(of_scores, scores_of_alrp)
        assert torch.equal(of_boxes, boxes_of_alrp)
    assert mixed.self_balance.weight == alrp.self_balance.weight != LOSSES["alrp"].loc_weight


def test_smooth_l1_can_weigh_more():
    """The gradient on the boxes is multiplied by the weight, that on the scores is as it was."""
    of_scores, of_boxes = gradients(halves.weighted(SMOOTH_L1["ap_smooth_l1_3"], None))
    scores_of_ap, boxes_of_ap = gradients(build_criterion(LOSSES["ap"]))
    assert torch.equal(of_scores, scores_of_ap)
    assert torch.allclose(of_boxes, 3 * boxes_of_ap)


def test_every_criterion_of_the_studies_belongs_to_a_run():
    """A name that no run has would train with the recipe's own loss, in silence."""
    assert set(CRITERIA) <= set(ALIKE) | set(SMOOTH_L1) | set(TWO_BY_TWO) | set(FIGURE_4)
    assert set(ALIKE) | set(SMOOTH_L1) | set(TWO_BY_TWO) <= set(CRITERIA)
