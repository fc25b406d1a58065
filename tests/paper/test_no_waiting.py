"""Nothing in aLRP Loss reads a value on the host: it runs on tensors without values, and compiles to one graph."""

import pytest
import torch
from lists import assert_close
from torch._subclasses.fake_tensor import DataDependentOutputException, DynamicOutputShapeException, FakeTensorMode
from torch.profiler import ProfilerActivity, profile

from alrp_ref import ALRPLoss, alrp_loss, ap_loss, checks, giou_error, iou_error


@pytest.fixture
def fake(monkeypatch):
    """Tensors without values, as a GPU's are until the host has waited for them: a read of one fails."""
    monkeypatch.setattr(checks, "is_asynchronous", lambda tensor: True)
    with FakeTensorMode() as mode:
        yield mode


def batch(dtype=torch.float32):
    logits = torch.randn(2000, dtype=dtype, requires_grad=True)
    targets = torch.zeros(2000, dtype=torch.int64)
    targets[:20] = 1
    truth = torch.tensor([10.0, 10.0, 60.0, 40.0]).expand(20, 4)
    boxes = (truth + torch.randn(20, 4)).requires_grad_()
    return logits, targets, boxes, truth


@pytest.mark.parametrize("loc_step", ["hard", "smoothed"])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_alrp_loss_with_self_balance_reads_no_value(dtype, loc_step, fake):
    """Forward, backward and the step of the self-balance, from logits and boxes to their gradients."""
    logits, targets, boxes, truth = batch(dtype)
    out = ALRPLoss(period=1, loc_step=loc_step)(logits, targets, giou_error(boxes, truth))
    out.total.backward()
    assert logits.grad.shape == logits.shape and boxes.grad.shape == boxes.shape


def test_ap_loss_reads_one_value_the_number_of_positives(fake):
    """It is the only value that AP Loss waits for; with `num_positives` there is none."""
    logits, targets, *_ = batch()
    with pytest.raises(DynamicOutputShapeException, match="nonzero"):
        ap_loss(logits, targets)
    ap_loss(logits, targets, num_positives=20).backward()
    assert logits.grad.shape == logits.shape


def test_a_read_would_be_seen(fake):
    """With `validate=True` the checks of values read, and that fails here."""
    logits, targets, boxes, truth = batch()
    with pytest.raises(DataDependentOutputException):
        alrp_loss(logits, targets, giou_error(boxes, truth), validate=True)


@pytest.mark.filterwarnings("ignore:Guards may run slower")  # torch's own, on Python 3.13.0
def test_alrp_loss_with_self_balance_compiles_to_one_graph():
    """`torch.compile(fullgraph=True)` gives the same losses, gradients and weights, over the end of a window."""
    logits, targets, boxes, truth = batch()

    def step(criterion, logits, boxes):
        return criterion(1.5 * logits, targets, giou_error(boxes, truth)).total

    compiled, criteria = torch.compile(step, fullgraph=True, backend="aot_eager"), [ALRPLoss(2), ALRPLoss(2)]
    for _ in range(3):
        results = []
        for run, criterion in zip((compiled, step), criteria, strict=True):
            total = run(criterion, logits, boxes)
            gradients = torch.autograd.grad(total, (logits, boxes))
            results.append((total, *gradients, criterion.self_balance.weight.clone()))
        for of_compiled, of_eager in zip(*results, strict=True):
            assert_close(of_compiled, of_eager, 1e-6)


@pytest.mark.parametrize("error", [iou_error, giou_error])
def test_the_gradient_of_a_box_reads_no_value(error):
    """Some of PyTorch's backward passes look at values, that of `prod` for zeros. A GPU would be waited for."""
    *_, boxes, truth = batch()
    value = error(boxes, truth).sum()
    with profile(activities=[ProfilerActivity.CPU], acc_events=True) as record:
        value.backward()
    assert not [event.key for event in record.key_averages() if "_local_scalar_dense" in event.key]
