"""The released detectors' numbers, on released-format checkpoints made again from their names."""

from typing import Any, NamedTuple

import pytest
from detection import official
from torch import Tensor
from torch.testing import assert_close

from alrp_ref.detection import build_detector, load_official_checkpoint
from alrp_ref.detection.official_weights import our_name
from alrp_ref.detection.retinanet import RetinaNet

RECIPES = (
    "alrp_retinanet_r50_500",
    "alrp_retinanet_r50_atss_500",
    "ap_retinanet_r50_500",
    "alrp_retinanet_r101_atss_500",
    "alrp_retinanet_r101_atss_800",
    "alrp_foveabox_r50_500",
    "ap_foveabox_r50_500",
    "focal_foveabox_r50_500",
)
LONG = (
    "alrp_retinanet_r50_500",
    "alrp_retinanet_r101_atss_500",
    "alrp_retinanet_r101_atss_800",
    "ap_foveabox_r50_500",
    "focal_foveabox_r50_500",
)
"""One with each assigner and each loss is enough for every day; the long tests run all."""

LARGE = (
    "alrp_retinanet_x101_64x4d_atss_500",
    "alrp_retinanet_x101_64x4d_atss_800",
    "alrp_retinanet_x101_64x4d_dcn_atss_800",
)
"""Their backward pass takes a minute and more."""


class Run(NamedTuple):
    """One training step and one detection of a detector, and what the release printed for it."""

    expected: dict[str, Any]
    losses: dict[str, Tensor]
    grad_norms: dict[str, Tensor]
    levels: list[Tensor]
    logits: list[Tensor]
    deltas: list[Tensor]
    detections: list[dict[str, Tensor]]


def released(recipe: str) -> RetinaNet:
    """The detector of a recipe with the weights that the release's was run with."""
    model = build_detector(recipe).double()
    load_official_checkpoint(model, official.state_dict(official.expected(recipe)["shapes"]))
    return model


@pytest.fixture(
    scope="module",
    params=[pytest.param(name, marks=[pytest.mark.slow] * (name in LONG + LARGE)) for name in RECIPES + LARGE],
)
def run(request) -> Run:
    expected, model = official.expected(request.param), released(request.param).train()
    seen = {}
    model.fpn.register_forward_hook(lambda module, args, output: seen.update(levels=list(output.values())))
    model.head.register_forward_hook(lambda module, args, output: seen.update(logits=output[0], deltas=output[1]))
    losses = model(official.images(), official.targets())
    sum(losses.values()).backward()
    grad_norms = {name: p.grad.norm() for name, p in model.named_parameters() if p.grad is not None}
    seen = {name: [x.detach() for x in levels] for name, levels in seen.items()}
    detections = model.eval()(official.images())
    return Run(expected, losses, grad_norms, **seen, detections=detections)


def test_official_losses(run: Run):
    """Both losses are the release's; the GIoU's is off by the 1e-6 that the release adds to areas."""
    assert_close(run.losses["loss_cls"].item(), run.expected["losses"]["loss_cls"], rtol=1e-9, atol=0)
    assert_close(run.losses["loss_loc"].item(), run.expected["losses"]["loss_bbox"], rtol=2e-6, atol=0)


def test_official_gradient_norms(run: Run):
    """The same parameters learn as in the release, and each one's gradient has the release's norm."""
    expected = {our_name(name): norm for name, norm in run.expected["grad_norms"].items()}
    assert run.grad_norms.keys() == expected.keys()
    for name, norm in expected.items():
        assert_close(run.grad_norms[name].item(), norm, rtol=1e-5, atol=0, msg=lambda text, n=name: f"{n}: {text}")


@pytest.mark.parametrize("ours, theirs", [("levels", "feat_norms"), ("logits", "cls_norms"), ("deltas", "bbox_norms")])
def test_official_feature_and_head_norms(run: Run, ours: str, theirs: str):
    """Every level of the pyramid, and of both outputs of the head, has the release's norm."""
    norms = [level.norm().item() for level in getattr(run, ours)]
    assert_close(norms, run.expected[theirs], rtol=1e-9, atol=0)


@pytest.mark.parametrize("ours, theirs", [("logits", "cls_head"), ("deltas", "bbox_head")])
def test_official_head_outputs(run: Run, ours: str, theirs: str):
    """The first 64 outputs of the head on every level are the release's, in the same order."""
    for level, expected in zip(getattr(run, ours), run.expected[theirs], strict=True):
        assert_close(level.flatten()[: len(expected)].tolist(), expected, rtol=1e-9, atol=1e-12)


def test_official_detections(run: Run, request):
    """Boxes, scores, labels and order of the detections of both images are the release's."""
    recipe = request.node.callspec.params["run"]
    for found, wanted in zip(run.detections, official.expected_detections(recipe), strict=True):
        assert_close(found, wanted, rtol=1e-9, atol=1e-9)
