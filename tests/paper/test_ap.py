"""AP Loss: against the judge, its properties, its gradient, its limits, and what it says to bad input."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from lists import TIED_SCORES, assert_close, examples, loss_and_gradient, make, random

from alrp_ref import APLoss, ap_loss, pairwise
from alrp_ref.paper.ap import interpolate, precision_error

INTERPOLATED = pytest.mark.parametrize("interpolated", [True, False])


def assert_agrees_with_the_judge(ex, interpolated, tolerance):
    value, grad = loss_and_gradient(ap_loss, ex, interpolated=interpolated)
    expected, expected_grad = loss_and_gradient(pairwise.ap_loss, ex, interpolated=interpolated)
    assert_close(value, expected, tolerance)
    assert_close(grad, expected_grad, tolerance)


@INTERPOLATED
@given(ex=examples())
def test_loss_and_gradient_are_those_of_all_pairs(ex, interpolated):
    """Short lists of every kind: ties, ignored, one positive, few or no negatives."""
    assert_agrees_with_the_judge(ex, interpolated, 1e-12)


@INTERPOLATED
@pytest.mark.parametrize("lift", [-6.0, 0.0, 1.0, 6.0], ids=lambda lift: f"lift={lift:g}")
@pytest.mark.parametrize("num_pos, num_neg, num_ignored", [(1, 5000, 0), (60, 3000, 500), (1500, 400, 10)])
def test_chunks_of_a_few_thousand(num_pos, num_neg, num_ignored, lift, interpolated):
    """Long lists, from hopeless to separated, agree with all pairs to 1e-12."""
    assert_agrees_with_the_judge(random(num_pos, num_neg, num_ignored, lift=lift), interpolated, 1e-12)


@INTERPOLATED
@pytest.mark.parametrize("delta", [1e-6, 1e-3, 1e3, 1e6])
def test_tiny_and_huge_delta(delta, interpolated):
    """Exact up to the rounding of s +- delta, a relative 2^-52 of the larger of the two; ties included."""
    ex = random(40, 400)
    ex = ex._replace(logits=(8 * ex.logits).round() / 8, delta=delta)
    tolerance = 1e-12 + 2.0**-48 * max(ex.logits.abs().max().item(), delta) / delta
    assert_agrees_with_the_judge(ex, interpolated, tolerance)


# Values


def test_a_list_that_can_be_counted_by_eye():
    """Positives at ranks 1, 3 and 4 of the list: precisions 1, 2/3 and 3/4, interpolated 1, 3/4 and 3/4."""
    ex = make([5, 4, 3, 2, 9], [1, 0, 1, 1, -1], delta=0.5)
    assert_close(loss_and_gradient(ap_loss, ex, interpolated=False)[0], 1 - (1 + 2 / 3 + 3 / 4) / 3)
    assert_close(loss_and_gradient(ap_loss, ex, interpolated=True)[0], 1 - (1 + 3 / 4 + 3 / 4) / 3)
    assert_close(precision_error(torch.tensor([0.0, 1.0, 1.0]), torch.tensor([1.0, 3.0, 4.0]))[1], 1 / 3, 1e-7)


@given(examples())
def test_interpolation_is_the_best_precision_from_there_down(ex):
    """Each error becomes the smallest of the errors of the positives not above it."""
    ell = torch.rand(len(ex.s_pos), dtype=torch.float64)
    for s, ties in ((ex.s_pos + 1e-3 * torch.arange(len(ell)), False), (ex.s_pos, True)):
        if ties:  # tied positives have equal errors
            ell = torch.stack([ell[s == score].mean() for score in s])
        expected = torch.stack([ell[s <= score].min() for score in s])
        assert torch.equal(interpolate(ell, s), expected)


@given(examples())
def test_it_is_in_the_unit_interval_and_interpolation_lowers_it(ex):
    """0 <= interpolated <= plain < 1."""
    interpolated, plain = (loss_and_gradient(ap_loss, ex, interpolated=mode)[0] for mode in (True, False))
    assert 0 <= interpolated <= plain + 1e-15
    assert plain < 1


@INTERPOLATED
def test_perfect_and_hopeless_separation(interpolated):
    """0, without gradient, with all positives on top; 1 - mean of k / (|N| + k) with all at the bottom."""
    value, grad = loss_and_gradient(ap_loss, make([5, 4, 1, 0], [1, 1, 0, 0]), interpolated=interpolated)
    assert value == 0 and not grad.any()
    value, _ = loss_and_gradient(ap_loss, make([0, -9, 8, 9], [1, 1, 0, 0], delta=0.5), interpolated=interpolated)
    assert_close(value, 1 - (2 / 4 + 2 / 4 if interpolated else 1 / 3 + 2 / 4) / 2)


# Symmetries


@INTERPOLATED
@given(ex=examples(scores=TIED_SCORES), shift=st.sampled_from([-1000.0, -7.25, 0.125, 64.0]))
def test_shifting_all_scores_changes_nothing(ex, shift, interpolated):
    """Only differences of scores matter."""
    shifted = loss_and_gradient(ap_loss, ex._replace(logits=ex.logits + shift), interpolated=interpolated)
    assert_close(torch.hstack(shifted), torch.hstack(loss_and_gradient(ap_loss, ex, interpolated=interpolated)), 1e-11)


@INTERPOLATED
@given(ex=examples(), random_numbers=st.randoms(use_true_random=False))
def test_the_order_of_the_examples_does_not_matter(ex, random_numbers, interpolated):
    """Permuted examples give the same loss and permuted gradients."""
    order = torch.tensor(random_numbers.sample(range(len(ex.logits)), len(ex.logits)))
    permuted = ex._replace(logits=ex.logits[order], targets=ex.targets[order])
    value, grad = loss_and_gradient(ap_loss, permuted, interpolated=interpolated)
    expected, expected_grad = loss_and_gradient(ap_loss, ex, interpolated=interpolated)
    assert_close(value, expected)
    assert_close(grad, expected_grad[order])


@given(examples())
def test_ignored_examples_might_as_well_not_be_there(ex):
    """They change neither loss nor gradient, and receive none."""
    kept = ex.targets >= 0
    value, grad = loss_and_gradient(ap_loss, ex)
    expected, expected_grad = loss_and_gradient(ap_loss, ex._replace(logits=ex.logits[kept], targets=ex.targets[kept]))
    assert torch.equal(value, expected)
    assert torch.equal(grad[kept], expected_grad)
    assert not grad[~kept].any()


@given(examples())
def test_negatives_far_below_might_as_well_not_be_there(ex):
    """Negatives more than delta below the lowest positive change nothing: the release leaves them out."""
    kept = (ex.targets != 0) | (ex.logits > ex.s_pos.min() - ex.delta)
    value, grad = loss_and_gradient(ap_loss, ex)
    expected, expected_grad = loss_and_gradient(ap_loss, ex._replace(logits=ex.logits[kept], targets=ex.targets[kept]))
    assert_close(value, expected)
    assert_close(grad[kept], expected_grad)
    assert_close(grad[~kept], torch.zeros_like(grad[~kept]))


# Gradient


@INTERPOLATED
@given(ex=examples())
def test_gradient_magnitudes_are_balanced_and_equal_the_loss(ex, interpolated):
    """Summed gradient magnitudes of positives and negatives are equal (Theorem 2), and equal the loss."""
    value, grad = loss_and_gradient(ap_loss, ex, interpolated=interpolated)
    positives, negatives = grad[ex.targets == 1], grad[ex.targets == 0]
    assert_close(positives.abs().sum(), value)
    assert_close(negatives.abs().sum(), value)
    assert (positives <= 0).all()
    assert (negatives >= -1e-15).all()


def test_the_gradient_is_scaled_by_the_chain_rule():
    """d(3 L) = 3 dL."""
    ex = random(10, 100)
    logits = ex.logits.clone().requires_grad_()
    (3 * ap_loss(logits, ex.targets)).backward()
    assert_close(logits.grad, 3 * loss_and_gradient(ap_loss, ex)[1])


# No positives, number formats, devices


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("targets", [[], [0, 0], [-1, -1, -1], [0, -1]], ids=str)
def test_without_positives_it_is_zero_and_connected(targets, dtype):
    """A zero scalar whose gradients are zeros, not missing, even for the largest scores of the format."""
    logits = torch.full((len(targets),), torch.finfo(dtype).max, dtype=dtype, requires_grad=True)
    loss = ap_loss(logits, torch.tensor(targets, dtype=torch.int64))
    loss.backward()
    assert loss.shape == () and loss == 0
    assert logits.grad.tolist() == [0] * len(targets)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_logits_are_ranked_as_the_numbers_they_are(dtype):
    """The loss is that of the same logits in float32; the gradient comes in the dtype of the logits."""
    ex = random(30, 500)
    half = ex._replace(logits=ex.logits.to(dtype))
    (value, grad), (expected, expected_grad) = (
        loss_and_gradient(ap_loss, e) for e in (half, half._replace(logits=half.logits.float()))
    )
    assert value.dtype == torch.float32
    assert torch.equal(value, expected)
    assert torch.equal(grad, expected_grad.to(dtype))


def test_autocast_changes_nothing():
    """Under autocast the loss still runs in float32 or better."""
    ex = random(30, 500)
    outside = ap_loss(ex.logits.float(), ex.targets)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = ap_loss(ex.logits.float(), ex.targets)
    assert inside.dtype == torch.float32
    assert torch.equal(inside, outside)


@pytest.mark.gpu
def test_on_a_gpu_it_is_the_same():
    """A GPU gives the loss and the gradient of the CPU."""
    ex = random(200, 50_000, 100)
    there = ex._replace(logits=ex.logits.cuda(), targets=ex.targets.cuda())
    assert_close(torch.hstack(loss_and_gradient(ap_loss, there)).cpu(), torch.hstack(loss_and_gradient(ap_loss, ex)))


@INTERPOLATED
def test_the_module_is_the_function(interpolated):
    """APLoss holds the options of ap_loss."""
    ex = random(20, 200)
    module = APLoss(delta=0.5, interpolated=interpolated)
    assert torch.equal(
        module(ex.logits, ex.targets), ap_loss(ex.logits, ex.targets, delta=0.5, interpolated=interpolated)
    )


# Bad input

GOOD = {"logits": torch.tensor([0.5, -1.0, 2.0]), "targets": torch.tensor([1, 0, -1])}
BAD = [
    ("logits", [0.5, -1.0, 2.0], "list"),
    ("logits", torch.zeros(3, 1), r"\(3, 1\)"),
    ("logits", torch.tensor([1, 2, 3]), "int64"),
    ("logits", torch.tensor([0.5, float("nan"), 2.0]), "nan at position 1"),
    ("logits", torch.tensor([0.5, -float("inf"), 1.0]), "-inf at position 1"),
    ("targets", None, "NoneType"),
    ("targets", torch.tensor([1, 0]), r"\(2,\)"),
    ("targets", torch.tensor([1.0, 0.0, -1.0]), "float32"),
    ("targets", torch.tensor([1, 0, 80]), "80 at position 2"),
    ("delta", 0.0, "0.0"),
    ("delta", -1, "-1"),
    ("delta", float("nan"), "nan"),
    ("delta", "1", "'1'"),
]


@pytest.mark.parametrize("validate", [False, True])
@pytest.mark.parametrize("name, value, got", BAD, ids=[f"{name}: {got}" for name, _, got in BAD])
def test_bad_input_is_named(name, value, got, validate):
    """A ValueError that starts with the name of the argument and says what it got."""
    with pytest.raises(ValueError, match=rf"^{name} must .*got .*{got}"):
        ap_loss(**{**GOOD, name: value}, validate=validate)


def test_the_good_input_is_good():
    """What the bad input is made from by one change is accepted."""
    assert ap_loss(**GOOD).isfinite()
