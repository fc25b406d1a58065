"""The released two-stage detectors' numbers, on released-format checkpoints made again from their names."""

from typing import Any, NamedTuple

import pytest
import torch
from detection import official
from torch import Tensor
from torch.testing import assert_close

from alrp_ref.detection import build_detector, load_official_checkpoint
from alrp_ref.detection.detector import sizes_of
from alrp_ref.detection.official_weights import our_name

BASELINES = ("ce_faster_rcnn_r50_500", "ce_giou_faster_rcnn_r50_500")
RECIPES = ("alrp_faster_rcnn_r50_500", *BASELINES)
NAMES = {
    "loss_rpn_cls": "loss_rpn_cls",
    "loss_rpn_loc": "loss_rpn_bbox",
    "loss_cls": "loss_cls",
    "loss_loc": "loss_bbox",
}


class Run(NamedTuple):
    """One training step and one detection of a detector, and what the release printed for it."""

    recipe: str
    expected: dict[str, Any]
    losses: dict[str, Tensor]
    draws: dict[str, Tensor]
    grad_norms: dict[str, Tensor]
    levels: list[Tensor]
    proposals: list[Tensor]
    detections: list[dict[str, Tensor]]


@pytest.fixture(
    scope="module", params=[pytest.param(name, marks=[pytest.mark.slow] * (name in BASELINES)) for name in RECIPES]
)
def run(request) -> Run:
    expected, model = official.expected(request.param), build_detector(request.param).double().train()
    load_official_checkpoint(model, official.state_dict(expected["shapes"]))
    images, targets = official.images(), official.targets()
    losses = model(images, targets)
    sum(losses.values()).backward()
    grad_norms = {name: p.grad.norm() for name, p in model.named_parameters() if p.grad is not None}
    sizes = [(official.HEIGHT, official.WIDTH)] * 2
    torch.manual_seed(0)
    with torch.no_grad():
        levels, draws = model.features(images), {name: [] for name in losses}
        for _ in range(12 if request.param in BASELINES else 0):
            assigned = model.assigned(sizes_of(levels), targets, sizes, levels[0])
            for name, loss in model.losses(levels, targets, sizes, assigned).items():
                draws[name].append(loss)
        draws = {name: torch.stack(values) for name, values in draws.items() if values}
        model.eval()
        proposals = model.proposals(levels, *model.rpn(levels), sizes)
    return Run(request.param, expected, losses, draws, grad_norms, levels, proposals, model(images))


def test_official_losses(run: Run):
    """Both stages' losses are the release's; where sampling draws negatives, its value is one such draw."""
    for ours, theirs in NAMES.items():
        expected = run.expected["losses"][theirs]
        if run.recipe in BASELINES and ours.endswith("cls"):
            mean, std = run.draws[ours].mean().item(), run.draws[ours].std().item()
            assert abs(expected - mean) < 4 * std, f"{ours}: {expected} is no draw of {mean} +- {std}"
            assert std < 0.1 * mean
        else:
            rtol = 1e-9 if ours.endswith("cls") else 2e-6
            assert_close(run.losses[ours].item(), expected, rtol=rtol, atol=0, msg=lambda text, n=ours: f"{n}: {text}")


def test_official_gradient_norms(run: Run):
    """The same parameters learn as in the release, and each one's gradient has the release's norm.

    A baseline's classification hangs on its draw: of its norms, those of the layers that write boxes are compared.
    """
    expected = {our_name(name, laterals=4): norm for name, norm in run.expected["grad_norms"].items()}
    assert run.grad_norms.keys() == expected.keys()
    drawn = run.recipe in BASELINES
    compared = [name for name in expected if not drawn or name.startswith(("rpn_head.bbox_pred", "box_deltas"))]
    assert len(compared) == (4 if drawn else len(expected))
    for name in compared:
        norm = run.grad_norms[name].item()
        assert_close(norm, expected[name], rtol=1e-5, atol=0, msg=lambda text, n=name: f"{n}: {text}")


def test_official_feature_norms(run: Run):
    """Every level of the pyramid, P2 to P6, has the release's norm."""
    assert_close([level.norm().item() for level in run.levels], run.expected["feat_norms"], rtol=1e-9, atol=0)


def test_official_proposals(run: Run):
    """The first stage proposes as many boxes as the release's, of the same norm, to which it adds scores up to 1."""
    assert [len(boxes) for boxes in run.proposals] == run.expected["num_proposals"]
    for boxes, norm in zip(run.proposals, run.expected["proposal_norms"], strict=True):
        assert 0 < norm**2 - boxes.norm().item() ** 2 < len(boxes)


def test_official_detections(run: Run):
    """Boxes, scores, labels and order of the detections of both images are the release's."""
    for found, wanted in zip(run.detections, official.expected_detections(run.recipe), strict=True):
        assert_close(found, wanted, rtol=1e-9, atol=1e-9)
