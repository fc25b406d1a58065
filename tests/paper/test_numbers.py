"""Numbers that a long training run meets some day: huge and tiny, all equal, all of one kind.

The fuzz tests draw 500 examples each; HYPOTHESIS_PROFILE=long, 100,000.
"""

import pytest
import torch
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from lists import assert_close, compute_in, make

from alrp_ref import ALRPLoss, alrp_loss, ap_loss, giou_error, iou_error, pairwise
from alrp_ref.detection.boxes import CODERS

FUZZ = settings(max_examples=10 * settings.default.max_examples)
APART = st.sampled_from([0.0, 1e-8, -1e-8, 1.0, 1e4, -1e4]) | st.floats(-1e4, 1e4)


@st.composite
def hostile(draw):
    """Short lists whose scores lie 1e-8 or 1e4 apart, in float64, with any labels, and a delta from 1e-6 to 1e3."""
    labels = draw(st.lists(st.sampled_from([1, 1, 0, 0, 0, -1]), min_size=1, max_size=24))
    logits = draw(st.lists(st.builds(float.__add__, APART, APART), min_size=len(labels), max_size=len(labels)))
    errors = draw(st.lists(st.floats(0, 2), min_size=labels.count(1), max_size=labels.count(1)))
    return make(logits, torch.tensor(labels), errors, 10 ** draw(st.floats(-6, 3)))


@FUZZ
@given(hostile(), st.sampled_from(["hard", "smoothed"]))
def test_any_list_is_ranked_as_its_pairs_are(ex, loc_step):
    """Losses and gradients are finite, those of the matrices to 1e-9, and balanced, however far apart scores are.

    With a delta of 1e-6 and scores of 1e4, a difference of two scores is known to 1e-6 of delta only.
    """
    options = {"delta": ex.delta, "loc_step": loc_step}
    found, grads = [], []
    for function in (alrp_loss, pairwise.alrp_loss):
        logits = ex.logits.clone().requires_grad_()
        out = function(logits, ex.targets, ex.loc_errors, **options)
        (out.cls + out.loc).backward()
        found.append(torch.stack([out.cls, out.loc]).detach())
        grads.append(logits.grad)
    slack = 1e-9 + 1e-11 / ex.delta
    assert torch.isfinite(found[0]).all() and torch.isfinite(grads[0]).all()
    assert torch.allclose(*found, rtol=0, atol=slack)
    assert torch.allclose(*grads, rtol=0, atol=slack)
    assert abs(grads[0].sum()) < 1e-12


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_a_million_ties(dtype):
    """Of P positives and N negatives with one score, each sees half of the others above it: every number is known in
    closed form, and each positive's gradient is the same."""
    num_pos, num_neg, error = 1000, 999_000, 0.25
    targets = torch.cat([torch.ones(num_pos, dtype=torch.int8), torch.zeros(num_neg, dtype=torch.int8)])
    logits = torch.full((num_pos + num_neg,), 2.5, dtype=dtype, requires_grad=True)
    out = alrp_loss(logits, targets, torch.full((num_pos,), error, dtype=dtype))
    rank_pos, rank = 1 + (num_pos - 1) / 2, 1 + (num_pos - 1) / 2 + num_neg / 2
    tolerance = 1e-12 if dtype == torch.float64 else 1e-5
    assert_close(out.cls.double(), num_neg / 2 / rank, tolerance)
    assert_close(out.loc.double(), error * rank_pos / rank, tolerance)
    (out.cls + out.loc).backward()
    lift, push = logits.grad[:num_pos].double(), logits.grad[num_pos:].double()
    assert (lift == lift[0]).all() and (push == push[0]).all() and lift[0] < 0
    if dtype in (torch.float64, torch.float32):  # half precision has no number as small as one negative's share
        assert_close(push.sum(), -lift.sum(), 1e-4 if dtype == torch.float32 else 1e-12)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_the_same_list_rounded(dtype):
    """Of 100,000 logits in 16 bits the loss is that of the same numbers in 64, and the pulls, each rounded to 16 bits,
    are balanced to half a percent."""
    torch.manual_seed(0)
    targets = (torch.arange(100_000) < 100).long()
    logits = (2 * torch.randn(100_000)).to(dtype).requires_grad_()
    errors = torch.rand(100).to(dtype)
    out = alrp_loss(logits, targets, errors)
    exact = alrp_loss(logits.double(), targets, errors.double())
    assert_close(out.cls.double(), exact.cls, 1e-5)
    assert_close(out.loc.double(), exact.loc, 1e-5)
    (out.cls + out.loc).backward()
    lift, push = logits.grad[:100].double().sum(), logits.grad[100:].double().sum()
    assert lift < 0 < push and abs(lift + push) < 5e-3


def test_all_positives():
    """Without a negative there is nothing to rank: AP Loss is 0, aLRP Loss only localisation, and no score moves."""
    logits = torch.linspace(-1e4, 1e4, 50, dtype=torch.float64, requires_grad=True)
    targets, errors = torch.ones(50, dtype=torch.int64), torch.full((50,), 0.5, dtype=torch.float64)
    out = alrp_loss(logits, targets, errors)
    assert out.cls == 0 == ap_loss(logits, targets)
    assert_close(out.loc, 0.5)
    (out.cls + out.loc).backward()
    assert not logits.grad.any()


def test_a_thousand_steps_without_a_positive():
    """The losses are 0 at each of them and the self-balance waits: afterwards it closes its window, and renews its
    weight, after as many steps with positives as ever."""
    loss, logits = ALRPLoss(10), torch.randn(40, dtype=torch.float64)
    for _ in range(1000):
        out = loss(logits, torch.zeros(40, dtype=torch.int64), logits[:0])
        assert out.cls == 0 == out.loc
    targets, errors = (torch.arange(40) < 5).long(), torch.full((5,), 0.5, dtype=torch.float64)
    weights = []
    for _ in range(10):
        out = loss(logits, targets, errors)
        weights.append(float(loss.self_balance.weight))
    assert weights[:9] == [50.0] * 9 and 1 < weights[9] < 50
    assert_close(weights[9] * out.loc, out.cls + out.loc, 1e-6)  # as large as the whole, once weighted


boxes = st.tuples(*[st.floats(-1e4, 1e4)] * 2, *[st.floats(0, 1e4)] * 2).map(
    lambda b: (b[0], b[1], b[0] + b[2], b[1] + b[3])
)


@FUZZ
@given(boxes, boxes)
@example((0.0, 0.0, 0.0, 0.0), (0.0, 0.0, 0.0, 0.0))
@example((0.0, 0.0, 1e-300, 1.0), (0.0, 0.0, 1.0, 1e-300))
@example((0.0, 0.0, 0.0, 0.0), (0.0, 0.0, 4.0, 2e-311))  # found by the fuzz test: an area with no finite inverse
@example((0.0, 0.0, 1e4, 0.0), (0.0, 0.0, 1e4, 0.0))
def test_errors_of_any_two_boxes_are_in_range(one, other):
    """Points, lines, far away or the same: 1 - IoU and 1 - GIoU over 1 - tau are finite, from 0 to 2 (tau .5), with
    finite gradients; a box with an area has no error with itself."""
    predicted = torch.tensor([one], dtype=torch.float64, requires_grad=True)
    truth = torch.tensor([other], dtype=torch.float64)
    for error in (iou_error, giou_error):
        value = error(predicted, truth)
        (gradient,) = torch.autograd.grad(value.sum(), predicted)
        assert torch.isfinite(value).all() and 0 <= value.item() <= 2 + 1e-9
        assert torch.isfinite(gradient).all()
        if one[2] - one[0] > 1e-3 and one[3] - one[1] > 1e-3:
            assert error(predicted, predicted.detach()).item() == pytest.approx(0, abs=1e-9)


@FUZZ
@given(boxes, boxes, st.sampled_from(["deltas", "raw deltas"]))
def test_what_is_encoded_can_be_decoded(one, other, name):
    """For boxes at least a pixel wide decode(encode(box)) is the box, where the code does not clip: within a thousandth
    of its size."""
    box, anchor = (torch.tensor([b], dtype=torch.float64) for b in (one, other))
    for b in (box, anchor):
        b[:, 2:] = torch.maximum(b[:, 2:], b[:, :2] + 1)
    ratio = (box[:, 2:] - box[:, :2]) / (anchor[:, 2:] - anchor[:, :2])
    assume(0.02 < ratio.min() and ratio.max() < 50)
    coder = CODERS[name]
    again = coder.decode(coder.encode(box, anchor), anchor)
    assert torch.allclose(again, box, rtol=0, atol=1e-3 * float(box.abs().max() + 1))


def test_a_loss_scale_keeps_the_gradients_of_float16_logits():
    """With a loss scale of 65,536 positives and negatives pull alike in float16, as in float32: to 1e-3."""
    torch.manual_seed(0)
    logits = (0.01 * torch.randn(1_000_000) - 4.6).half().requires_grad_()
    targets = torch.zeros(len(logits), dtype=torch.int8)
    targets[:400] = 1
    (alrp_loss(logits, targets, torch.rand(400)).cls * 65536).backward()
    pulls = logits.grad.double() / 65536
    assert -pulls[:400].sum().item() == pytest.approx(pulls[400:].sum().item(), rel=1e-3)


@pytest.mark.parametrize("spread, lift", [(1.0, 0.3), (0.01, 0.0), (1.0, 3.0)])
def test_without_float64_sums_are_exact_to_1e_5(spread, lift, monkeypatch):
    """Where a device has no float64, counts are integers: losses, ranks and gradients keep five digits."""
    torch.manual_seed(0)
    logits = spread * torch.randn(2_000_000) - 4.6
    logits[:400] += lift
    targets, errors = torch.zeros(len(logits), dtype=torch.int8), torch.rand(400)
    targets[:400] = 1
    results = []
    for dtype in (torch.float64, torch.float32):
        compute_in(dtype, monkeypatch)
        leaf = logits.clone().requires_grad_()
        out = alrp_loss(leaf, targets, errors)
        out.cls.backward()
        results.append((out.cls.detach(), out.loc, out.rank, leaf.grad))
    for exact, single in zip(*results, strict=True):
        assert (exact - single).double().norm() <= 1e-5 * exact.double().norm()
