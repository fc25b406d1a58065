"""Localisation errors: against torchvision, at their landmarks, and for boxes that are hardly boxes."""

import pytest
import torch
from lists import assert_close
from torchvision.ops import box_iou, generalized_box_iou

from alrp_ref import giou_error, iou_error

BOTH = pytest.mark.parametrize("error", [iou_error, giou_error])


def random_boxes(n: int, seed: int = 0) -> torch.Tensor:
    rng = torch.Generator().manual_seed(seed)
    corners = 100 * torch.rand(n, 2, 2, generator=rng, dtype=torch.float64)
    return torch.cat([corners.amin(1), corners.amax(1) + 1], dim=1)


PRED, TARGET = random_boxes(200, seed=1), random_boxes(200, seed=2)


@pytest.mark.parametrize("tau", [0.0, 0.5, 0.7])
def test_errors_are_those_of_torchvisions_iou_and_giou(tau):
    """(1 - IoU) / (1 - tau) and (1 - GIoU) / 2 / (1 - tau), row by row."""
    iou, giou = box_iou(PRED, TARGET).diagonal(), generalized_box_iou(PRED, TARGET).diagonal()
    assert_close(iou_error(PRED, TARGET, tau=tau), (1 - iou) / (1 - tau))
    assert_close(giou_error(PRED, TARGET, tau=tau), (1 - giou) / 2 / (1 - tau))


@BOTH
def test_a_perfect_box_has_no_error(error):
    """0 where prediction and ground truth are one."""
    assert_close(error(TARGET, TARGET), torch.zeros(200, dtype=torch.float64))


def test_landmarks():
    """IoU 1/2 at tau = 1/2 is an error of 1, disjoint boxes of 2; GIoU halves the first and sees the gap."""
    target = torch.tensor([[0.0, 0, 2, 1], [0, 0, 1, 1]])
    pred = torch.tensor([[0.0, 0, 1, 1], [3, 0, 4, 1]])  # half of it; a gap of 2 in a hull of 4
    assert iou_error(pred, target).tolist() == [1, 2]
    assert giou_error(pred, target).tolist() == [0.5, 1.5]


@BOTH
def test_the_unit_and_the_origin_of_the_boxes_do_not_matter(error):
    """Scaling and shifting both boxes alike changes nothing: errors in pixels are errors in anchors."""
    assert_close(error(8 * PRED - 3, 8 * TARGET - 3), error(PRED, TARGET), 1e-11)


@BOTH
def test_errors_are_differentiable_in_the_prediction(error):
    """The gradient is the numerical one."""
    pred = PRED[:20].clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda p: error(p, TARGET[:20]), pred)


def test_only_giou_pulls_disjoint_boxes_together():
    """Without overlap IoU is constant; GIoU still has a gradient, towards the ground truth."""
    target = torch.tensor([[0.0, 0, 1, 1]])
    for error, expected in ((iou_error, False), (giou_error, True)):
        pred = torch.tensor([[3.0, 0, 4, 1]], requires_grad=True)
        error(pred, target).sum().backward()
        assert bool(pred.grad.any()) is expected
    assert pred.grad[0, 0] > 0


@BOTH
@pytest.mark.parametrize(
    "box",
    [[1.0, 1, 1, 1], [1.0, 1, 1, 5], [5.0, 5, 1, 1], [0.0, 0, 1e-19, 1e-19]],
    ids=["point", "line", "inside out", "speck"],
)
def test_boxes_without_area_have_finite_errors_and_gradients(error, box):
    """A prediction that has collapsed is wrong, not NaN, even if its ground truth has collapsed too."""
    for target in (torch.tensor([[0.0, 0, 4, 4]]), torch.tensor([box])):
        pred = torch.tensor([box], requires_grad=True)
        value = error(pred, target)
        value.sum().backward()
        assert value.isfinite().all() and (value >= 0).all()
        assert pred.grad.isfinite().all()


@BOTH
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_boxes_do_not_overflow(error, dtype):
    """Areas of 10^6 pixels do not fit into float16: the computation runs in float32, under autocast too."""
    pred, target = (
        torch.tensor([[0, 0, 1000, 1000]], dtype=dtype),
        torch.tensor([[0, 0, 1000, 500]], dtype=dtype),
    )
    expected = error(pred.float(), target.float())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        actual = error(pred, target)
    assert actual.dtype == torch.float32
    assert torch.equal(actual, expected)


@BOTH
def test_no_boxes_no_errors(error):
    """(0, 4) -> (0,), still connected."""
    pred = torch.zeros(0, 4, requires_grad=True)
    value = error(pred, torch.zeros(0, 4))
    assert value.shape == (0,) and value.requires_grad


GOOD = {"pred": torch.tensor([[0.0, 0, 1, 1]]), "target": torch.tensor([[0.0, 0, 1, 1]])}
BAD = [
    ("pred", [[0, 0, 1, 1]], "list"),
    ("pred", torch.zeros(4), r"\(4,\)"),
    ("pred", torch.zeros(1, 5), r"\(1, 5\)"),
    ("pred", torch.zeros(1, 4, dtype=torch.int64), "int64"),
    ("target", torch.zeros(2, 4), r"\(2, 4\)"),
    ("target", torch.zeros(1, 4, dtype=torch.int32), "int32"),
    ("tau", 1.0, "1.0"),
    ("tau", -0.1, "-0.1"),
    ("tau", float("nan"), "nan"),
]


@BOTH
@pytest.mark.parametrize("name, value, got", BAD, ids=[f"{name}: {got}" for name, _, got in BAD])
def test_bad_input_is_named(error, name, value, got):
    """A ValueError that starts with the name of the argument and says what it got."""
    with pytest.raises(ValueError, match=rf"^{name} must .*got .*{got}"):
        error(**{**GOOD, name: value})
