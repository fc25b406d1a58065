"""aLRP Loss: against the judge, its properties, its gradients, its limits, and what it says to bad input."""

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from lists import TIED_SCORES, assert_close, examples, loss_and_gradient, make, random

from alrp_ref import ALRPLoss, alrp_loss, ap_loss, checks, pairwise
from alrp_ref.paper.alrp import localisation_weights
from alrp_ref.paper.ranking import ranks

LOC_STEPS = pytest.mark.parametrize("loc_step", ["hard", "smoothed"])


def losses(ex, loss=alrp_loss, **options):
    return loss(ex.logits, ex.targets, ex.loc_errors, delta=ex.delta, **options)


def loc_gradient(ex, loss=alrp_loss, **options):
    """The gradient of the localisation part with respect to the localisation errors."""
    loc_errors = ex.loc_errors.clone().requires_grad_()
    losses(ex._replace(loc_errors=loc_errors), loss, **options).loc.backward()
    return loc_errors.grad


# The judge


def assert_agrees_with_the_judge(ex, tolerance):
    for loc_step in ("hard", "smoothed"):
        actual, expected = losses(ex, loc_step=loc_step), losses(ex, pairwise.alrp_loss, loc_step=loc_step)
        for part, reference in zip(actual, expected, strict=True):
            assert_close(part, reference, tolerance)
        gradients = (loc_gradient(ex, loss, loc_step=loc_step) for loss in (alrp_loss, pairwise.alrp_loss))
        assert_close(*gradients, tolerance)
    gradients = (loss_and_gradient(loss, ex)[1] for loss in (alrp_loss, pairwise.alrp_loss))
    assert_close(*gradients, tolerance)


@given(examples())
def test_losses_ranks_and_gradients_are_those_of_all_pairs(ex):
    """Short lists of every kind: ties, ignored, one positive, few or no negatives."""
    assert_agrees_with_the_judge(ex, 1e-9)  # p(j|i) divides by N_FP(i), which may be as small as 1e-5


@given(examples(scores=TIED_SCORES))
def test_ties_everywhere(ex):
    """Scores on a coarse grid: the hard order of ties and H(0) are the judge's."""
    assert_agrees_with_the_judge(ex, 1e-12)


@pytest.mark.parametrize("lift", [-6.0, 0.0, 1.0, 6.0], ids=lambda lift: f"lift={lift:g}")
@pytest.mark.parametrize("num_pos, num_neg, num_ignored", [(1, 5000, 0), (60, 3000, 500), (1500, 400, 10)])
def test_chunks_of_a_few_thousand(num_pos, num_neg, num_ignored, lift):
    """Long lists, from hopeless to separated, agree with all pairs to 1e-12."""
    assert_agrees_with_the_judge(random(num_pos, num_neg, num_ignored, lift=lift), 1e-12)


def test_scores_as_at_the_start_of_training():
    """All scores within a ramp of each other, where ranks are huge and nearly equal."""
    ex = random(200, 4000, lift=0)
    assert_agrees_with_the_judge(ex._replace(logits=0.02 * ex.logits - 4.6), 1e-12)


@pytest.mark.parametrize("delta", [1e-6, 1e-3, 1e3, 1e6])
def test_tiny_and_huge_delta(delta):
    """Exact up to the rounding of s +- delta, a relative 2^-52 of the larger of the two; ties included."""
    ex = random(40, 400)
    ex = ex._replace(logits=(8 * ex.logits).round() / 8, delta=delta)
    assert_agrees_with_the_judge(ex, 1e-12 + 2.0**-48 * max(ex.logits.abs().max().item(), delta) / delta)


# Values


def test_a_list_that_can_be_counted_by_eye():
    """Ranks 3 and 2: L_cls = (1/3 + 1/2) / 2 and L_loc = ((.4 + .2) / 3 + .4 / 2) / 2."""
    out = losses(make([3, 1, 2, 9], [0, 1, 1, -1], [0.2, 0.4], delta=0.5))
    assert out.rank.tolist() == [3, 2]
    assert_close(out.cls, (1 / 3 + 1 / 2) / 2)
    assert_close(out.loc, (0.6 / 3 + 0.4 / 2) / 2)


@given(examples())
def test_both_parts_together_are_in_the_unit_interval(ex):
    """If no localisation error exceeds 1, neither does the loss of the formula."""
    out = losses(ex._replace(loc_errors=ex.loc_errors / 2), loc_step="smoothed")
    assert out.cls >= 0 and out.loc >= 0
    assert out.cls + out.loc <= 1 + 1e-12


@given(examples())
def test_without_localisation_errors_it_is_plain_ap_loss(ex):
    """E_loc = 0 leaves AP Loss without interpolation, value and gradient."""
    ex = ex._replace(loc_errors=torch.zeros_like(ex.loc_errors))
    value, grad = loss_and_gradient(alrp_loss, ex)
    expected, expected_grad = loss_and_gradient(ap_loss, ex, interpolated=False)
    assert_close(value, expected)
    assert_close(grad, expected_grad, 1e-5)  # the release's rule: aLRP shares out nothing where N_FP <= 1e-5
    assert losses(ex).loc == 0


def test_perfect_separation_costs_only_localisation():
    """All positives above all negatives by more than delta: L_cls and its gradient are 0, L_loc is not."""
    ex = make([5, 4, 1, 0], [1, 1, 0, 0], [0.2, 0.4], delta=0.5)
    value, grad = loss_and_gradient(alrp_loss, ex)
    assert value == 0 and not grad.any()
    assert_close(losses(ex).loc, (0.2 / 1 + 0.6 / 2) / 2)


def test_hopeless_separation():
    """All negatives above all positives: N_FP is their number, for every positive."""
    ex = make([0, 1, 8, 9, 10], [1, 1, 0, 0, 0], delta=0.5)
    out = losses(ex)
    assert out.rank.tolist() == [5, 4]
    assert_close(out.cls, (3 / 5 + 3 / 4) / 2)


def test_the_first_positive_counts_in_every_term_below_it():
    """dL_loc/dE(k) is the mean of 1 / rank over k and all positives below it: scores and boxes correlate."""
    ex = make([4, 3, 2, 1], [1, 0, 1, 1], [0.5, 0.5, 0.5], delta=0.5)  # ranks 1, 3, 4
    expected = torch.tensor([1 + 1 / 3 + 1 / 4, 1 / 3 + 1 / 4, 1 / 4], dtype=torch.float64) / 3
    for loc_step in ("hard", "smoothed"):
        assert_close(loc_gradient(ex, loc_step=loc_step), expected)


def test_the_localisation_component_is_a_mean_of_running_sums_over_ranks():
    """In hard order, the k-th best positive is charged the errors of the k best, over its rank."""
    s_pos = torch.tensor([5.0, 9.0, 1.0], dtype=torch.float64)
    ranked = ranks(s_pos, torch.zeros(0))._replace(rank=torch.tensor([2.0, 1.0, 8.0]).double())
    loc_errors = torch.tensor([0.4, 0.2, 1.0], dtype=torch.float64)
    for loc_step in ("hard", "smoothed"):  # further apart than delta, both steps order alike
        loc = localisation_weights(ranked, loc_step) @ loc_errors
        assert_close(loc, (0.2 / 1 + 0.6 / 2 + 1.6 / 8) / 3)


def test_hard_and_smoothed_differ_where_positives_are_close():
    """Two positives within a ramp: a hard order counts all of E(k) below k, the smoothed step a part of it."""
    ex = make([0.2, 0.0], [1, 1], [1.0, 0.0])  # x = 0.2: H = 0.6 and 0.4, ranks 1.4 and 1.6
    assert_close(losses(ex, loc_step="hard").loc, (1 / 1.4 + 1 / 1.6) / 2)
    assert_close(losses(ex, loc_step="smoothed").loc, (1 / 1.4 + 0.6 / 1.6) / 2)


def test_of_two_tied_positives_the_later_one_counts_first():
    """The hard order of ties is fixed, so results do not hang on an unstable sort."""
    ex = make([0.0, 0.0], [1, 1], [1.0, 0.0])  # ranks 1.5 and 1.5
    assert_close(losses(ex).loc, (0 / 1.5 + 1 / 1.5) / 2)


# Symmetries


@given(examples(scores=TIED_SCORES), st.sampled_from([-1000.0, -7.25, 0.125, 64.0]))
def test_shifting_all_scores_changes_nothing(ex, shift):
    """Only differences of scores matter."""
    shifted = ex._replace(logits=ex.logits + shift)
    for part, reference in zip(losses(shifted), losses(ex), strict=True):
        assert_close(part, reference, 1e-11)
    assert_close(loss_and_gradient(alrp_loss, shifted)[1], loss_and_gradient(alrp_loss, ex)[1], 1e-11)


@given(examples(), st.sampled_from([0.25, 4.0]))
def test_the_unit_of_the_scores_is_delta(ex, factor):
    """Scores and delta may be scaled together: nothing changes, and nor does the gradient, being no slope."""
    scaled = ex._replace(logits=factor * ex.logits, delta=factor * ex.delta)
    assert_close(torch.stack(losses(scaled)[:2]), torch.stack(losses(ex)[:2]))
    assert_close(loss_and_gradient(alrp_loss, scaled)[1], loss_and_gradient(alrp_loss, ex)[1], 1e-9)


@LOC_STEPS
@given(ex=examples(), random_numbers=st.randoms(use_true_random=False))
def test_the_order_of_the_examples_does_not_matter(ex, random_numbers, loc_step):
    """Permuted examples give the same losses and permuted gradients, if no two positives are tied."""
    is_positive = ex.targets == 1
    spread = torch.arange(len(ex.logits), dtype=torch.float64) * 1e-3 * is_positive  # parts tied positives
    ex = ex._replace(logits=ex.logits + spread)
    assume(ex.s_pos.unique().numel() == ex.s_pos.numel())
    order = torch.tensor(random_numbers.sample(range(len(ex.logits)), len(ex.logits)))
    loc_errors = torch.zeros_like(ex.logits).masked_scatter(is_positive, ex.loc_errors)[order]
    targets = ex.targets[order]
    permuted = ex._replace(logits=ex.logits[order], targets=targets, loc_errors=loc_errors[targets == 1])
    parts, expected = losses(permuted, loc_step=loc_step), losses(ex, loc_step=loc_step)
    assert_close(torch.stack(parts[:2]), torch.stack(expected[:2]))
    grad, expected = loss_and_gradient(alrp_loss, permuted)[1], loss_and_gradient(alrp_loss, ex)[1]
    assert_close(grad, expected[order], 1e-9)


@given(examples())
def test_ignored_examples_might_as_well_not_be_there(ex):
    """They change neither loss nor gradient, and receive none."""
    kept = ex.targets >= 0
    value, grad = loss_and_gradient(alrp_loss, ex)
    expected, expected_grad = loss_and_gradient(
        alrp_loss, ex._replace(logits=ex.logits[kept], targets=ex.targets[kept])
    )
    assert torch.equal(value, expected)
    assert torch.equal(grad[kept], expected_grad)
    assert not grad[~kept].any()


# Gradients


@given(examples())
def test_gradient_magnitudes_are_balanced(ex):
    """Summed gradient magnitudes of positives and negatives are equal (Theorem 2); their signs are right."""
    grad = loss_and_gradient(alrp_loss, ex)[1]
    positives, negatives = grad[ex.targets == 1], grad[ex.targets == 0]
    assert_close(positives.abs().sum(), negatives.abs().sum())
    assert (positives <= 0).all()
    assert (negatives >= -1e-15).all()


def test_gradient_magnitude_is_the_loss_less_what_ranking_cannot_remove():
    """Sum_P |dL/ds| = L - mean(E / rank), if no N_FP(i) is 0: what self-balance builds on."""
    ex = random(100, 5000, lift=0.5)
    out, grad = losses(ex, loc_step="smoothed"), loss_and_gradient(alrp_loss, ex)[1]
    expected = out.cls + out.loc - (ex.loc_errors / out.rank).mean()
    assert_close(grad[ex.targets == 1].abs().sum(), expected)


@pytest.mark.parametrize("n_fp, magnitude", [(5e-5, 0.25), (9.5e-6, 0.0)])
def test_below_1e_5_false_positives_nothing_is_shared_out(n_fp, magnitude):
    """The release's rule and its jump: E = 1 above, and a negative that just touches the ramp."""
    ex = make([10, 0, 2 * n_fp - 1], [1, 1, 0], [1.0, 0.0])
    grad = loss_and_gradient(alrp_loss, ex)[1]
    assert grad.tolist() == pytest.approx([0, -magnitude, magnitude], abs=1e-4)


@LOC_STEPS
def test_the_localisation_part_is_differentiable_in_the_errors(loc_step):
    """Its gradient with respect to the localisation errors is the numerical one."""
    ex = random(12, 40)

    def loc(loc_errors):
        return losses(ex._replace(loc_errors=loc_errors), loc_step=loc_step).loc

    assert torch.autograd.gradcheck(loc, ex.loc_errors.clone().requires_grad_())


def test_each_part_has_its_own_gradient():
    """`cls` moves only the scores, `loc` only the boxes, and `rank` nothing."""
    ex = random(5, 50)
    logits, loc_errors = ex.logits.requires_grad_(), ex.loc_errors.requires_grad_()
    out = alrp_loss(logits, ex.targets, loc_errors)
    assert not out.rank.requires_grad
    out.loc.backward()
    assert logits.grad is None and loc_errors.grad.any()
    loc_errors.grad = None
    out.cls.backward()
    assert loc_errors.grad is None and logits.grad.any()


def test_the_score_gradient_does_not_depend_on_loc_step():
    """It uses the smoothed step either way."""
    ex = random(20, 200)
    hard, smoothed = (loss_and_gradient(alrp_loss, ex, loc_step=s)[1] for s in ("hard", "smoothed"))
    assert torch.equal(hard, smoothed)


# No positives, number formats, devices


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("targets", [[], [0, 0], [-1, -1, -1], [0, -1]], ids=str)
def test_without_positives_both_parts_are_zero_and_connected(targets, dtype):
    """Zero scalars whose gradients are zeros, not missing, even for the largest scores of the format."""
    logits = torch.full((len(targets),), torch.finfo(dtype).max, dtype=dtype, requires_grad=True)
    loc_errors = torch.zeros(0, dtype=dtype, requires_grad=True)
    out = alrp_loss(logits, torch.tensor(targets, dtype=torch.int64), loc_errors)
    assert out.cls.shape == out.loc.shape == () and out.rank.shape == (0,)
    (out.cls + 50 * out.loc).backward()
    assert out.cls == 0 and out.loc == 0
    assert logits.grad.tolist() == [0] * len(targets) and loc_errors.grad.shape == (0,)


def test_without_negatives_only_localisation_is_left():
    """Nothing outranks a positive but other positives."""
    ex = make([2, 0], [1, 1], [0.5, 0.25], delta=0.5)
    value, grad = loss_and_gradient(alrp_loss, ex)
    assert value == 0 and not grad.any()
    assert_close(losses(ex).loc, (0.5 / 1 + 0.75 / 2) / 2)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_logits_are_ranked_as_the_numbers_they_are(dtype):
    """Losses are those of the same logits in float32; the gradient comes in the dtype of the logits."""
    ex = random(30, 500)
    half = ex._replace(logits=ex.logits.to(dtype), loc_errors=ex.loc_errors.to(dtype))
    single = half._replace(logits=half.logits.float(), loc_errors=half.loc_errors.float())
    for part, reference in zip(losses(half), losses(single), strict=True):
        assert part.dtype == torch.float32
        assert torch.equal(part, reference)
    grad, reference = (loss_and_gradient(alrp_loss, e)[1] for e in (half, single))
    assert torch.equal(grad, reference.to(dtype))


@pytest.mark.parametrize("dtype", [torch.int8, torch.uint8, torch.int16, torch.int32, torch.int64, torch.bool])
def test_targets_of_any_integer_type(dtype):
    """Labels are labels, however they are stored."""
    ex = random(5, 50)
    assert torch.equal(losses(ex._replace(targets=ex.targets.to(dtype))).cls, losses(ex).cls)


def test_autocast_changes_nothing():
    """Under autocast the loss still runs in float32 or better."""
    ex = random(30, 500)
    ex = ex._replace(logits=ex.logits.float(), loc_errors=ex.loc_errors.float())
    for loc_step in ("hard", "smoothed"):
        outside = losses(ex, loc_step=loc_step)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            inside = losses(ex, loc_step=loc_step)
        for part, reference in zip(inside, outside, strict=True):
            assert part.dtype == torch.float32
            assert torch.equal(part, reference)


def test_any_memory_layout():
    """A strided view of a head's output is as good as a copy."""
    ex = random(10, 100)
    view = torch.stack([ex.logits, -ex.logits], dim=1)[:, 0]
    assert not view.is_contiguous()
    assert torch.equal(losses(ex._replace(logits=view)).cls, losses(ex).cls)


@pytest.mark.gpu
def test_on_a_gpu_it_is_the_same():
    """A GPU gives the losses and the gradient of the CPU."""
    ex = random(200, 50_000, 100)
    there = ex._replace(logits=ex.logits.cuda(), targets=ex.targets.cuda(), loc_errors=ex.loc_errors.cuda())
    for part, reference in zip(losses(there), losses(ex), strict=True):
        assert_close(part.cpu(), reference)
    assert_close(loss_and_gradient(alrp_loss, there)[1].cpu(), loss_and_gradient(alrp_loss, ex)[1])


@pytest.mark.gpu
@pytest.mark.filterwarnings("ignore:Synchronization debug mode")
def test_on_a_gpu_the_host_never_waits():
    """Nothing in the forward or backward pass asks the device for a number."""
    ex = random(200, 50_000, 100)
    logits, targets, errors = ex.logits.float().cuda().requires_grad_(), ex.targets.cuda(), ex.loc_errors.float().cuda()
    torch.cuda.set_sync_debug_mode("error")
    try:
        out = alrp_loss(logits, targets, errors.requires_grad_())
        (out.cls + out.loc).backward()
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.gpu
def test_on_a_gpu_it_can_be_deterministic():
    """With `torch.use_deterministic_algorithms` twice the same bits; without, sums may run in any order."""
    ex = random(200, 50_000, 100)
    there = ex._replace(logits=ex.logits.cuda(), targets=ex.targets.cuda(), loc_errors=ex.loc_errors.cuda())
    torch.use_deterministic_algorithms(True)
    try:
        first, second = (loss_and_gradient(alrp_loss, there) for _ in range(2))
    finally:
        torch.use_deterministic_algorithms(False)
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


# The module


@LOC_STEPS
def test_the_module_returns_the_parts_and_their_weight(loc_step):
    """ALRPLoss has the parts of alrp_loss, the weight of its self-balance, 50 at first, and cls + 50 loc as total."""
    ex = random(20, 200)
    criterion = ALRPLoss(period=100, delta=0.5, loc_step=loc_step)
    out = criterion(ex.logits, ex.targets, ex.loc_errors)
    plain = losses(ex._replace(delta=0.5), loc_step=loc_step)
    assert_close(out.cls, plain.cls)
    assert_close(out.loc, plain.loc)
    assert out.loc_weight == 50
    assert_close(out.total, plain.cls + 50 * plain.loc)


def test_the_module_counts_training_steps_only():
    """Steps in evaluation mode and steps without positives do not bring the period to its end."""
    ex, empty = random(20, 200), make([1.0, 2.0], [0, 0])
    criterion = ALRPLoss(period=2)
    criterion(ex.logits, ex.targets, ex.loc_errors)
    criterion(empty.logits, empty.targets, empty.loc_errors)
    criterion.eval()(ex.logits, ex.targets, ex.loc_errors)
    assert criterion.self_balance.weight == 50
    plain = losses(ex)
    out = criterion.train()(ex.logits, ex.targets, ex.loc_errors)
    assert_close(criterion.self_balance.weight.double(), (plain.cls + plain.loc) / plain.loc, 1e-6)
    assert_close(out.loc_weight * out.loc, plain.cls + plain.loc, 1e-6)  # the size of the whole loss


def test_the_module_can_be_called_twice_before_one_backward():
    """Two lists may be ranked, and their losses added, before the gradients are taken."""
    ex, criterion = random(20, 200), ALRPLoss(period=1)
    loc_errors = ex.loc_errors.float().requires_grad_()
    logits = ex.logits.float()
    first, second = (criterion(scale * logits, ex.targets, loc_errors).total for scale in (1.0, 2.0))
    both = torch.autograd.grad(first + second, loc_errors, retain_graph=True)[0]
    apart = [torch.autograd.grad(loss, loc_errors)[0] for loss in (first, second)]
    assert_close(both, sum(apart), 1e-6)


# Bad input

GOOD = {
    "logits": torch.tensor([0.5, -1.0, 2.0]),
    "targets": torch.tensor([1, 0, -1]),
    "loc_errors": torch.tensor([0.3]),
}
BAD = [
    ("logits", [0.5, -1.0, 2.0], "list"),
    ("logits", torch.zeros(3, 1), r"\(3, 1\)"),
    ("logits", torch.tensor(0.5), r"\(\)"),
    ("logits", torch.tensor([1, 2, 3]), "int64"),
    ("logits", torch.zeros(3, dtype=torch.complex64), "complex64"),
    ("logits", torch.tensor([0.5, float("nan"), 2.0]), "nan at position 1"),
    ("logits", torch.tensor([0.5, 1.0, float("inf")]), "inf at position 2"),
    ("logits", torch.tensor([-float("inf"), 1.0, 2.0]), "-inf at position 0"),
    ("targets", [1, 0, -1], "list"),
    ("targets", torch.tensor([1, 0]), r"\(2,\)"),
    ("targets", torch.tensor([[1, 0, -1]]), r"\(1, 3\)"),
    ("targets", torch.tensor([1.0, 0.0, -1.0]), "float32"),
    ("targets", torch.tensor([1, 0, 2]), "2 at position 2"),
    ("targets", torch.tensor([1, -2, 0]), "-2 at position 1"),
    ("loc_errors", 0.3, "float"),
    ("loc_errors", torch.zeros(2), r"\(2,\)"),
    ("loc_errors", torch.zeros(0), r"\(0,\)"),
    ("loc_errors", torch.zeros(1, 1), r"\(1, 1\)"),
    ("loc_errors", torch.tensor([1]), "int64"),
    ("loc_errors", torch.tensor([-0.1]), "-0.1 at position 0"),
    ("loc_errors", torch.tensor([float("nan")]), "nan at position 0"),
    ("loc_errors", torch.tensor([float("inf")]), "inf at position 0"),
    ("delta", 0, "0"),
    ("delta", -1.0, "-1.0"),
    ("delta", float("nan"), "nan"),
    ("delta", float("inf"), "inf"),
    ("delta", "1", "'1'"),
    ("delta", None, "None"),
    ("loc_step", "soft", "'soft'"),
]


@pytest.mark.parametrize("validate", [False, True])
@pytest.mark.parametrize("name, value, got", BAD, ids=[f"{name}: {got}" for name, _, got in BAD])
def test_bad_input_is_named(name, value, got, validate):
    """A ValueError that starts with the name of the argument and says what it got."""
    with pytest.raises(ValueError, match=rf"^{name} must .*got .*{got}"):
        alrp_loss(**{**GOOD, name: value}, validate=validate)


@pytest.fixture
def as_on_a_gpu(monkeypatch):
    """The branch that a GPU takes, on a CPU: nothing waits for a value."""
    monkeypatch.setattr(checks, "is_asynchronous", lambda tensor: True)


# Of what is wrong, that which the host cannot see without reading a value; shapes and dtypes raise everywhere.
WRONG_VALUES = [case for case in BAD if "at position" in case[2]] + [("loc_errors", torch.zeros(2), r"\(2,\)")]


@pytest.mark.parametrize("name, value, got", WRONG_VALUES, ids=[f"{name}: {got}" for name, _, got in WRONG_VALUES])
def test_on_a_gpu_a_wrong_value_gives_a_loss_of_nan(name, value, got, as_on_a_gpu):
    """No assertion kills the device: loss and gradient are NaN, and `validate=True` says what was wrong."""
    bad = {**GOOD, name: value}
    logits = bad["logits"].clone().requires_grad_()
    out = alrp_loss(**{**bad, "logits": logits})
    assert out.cls.isnan() and out.loc.isnan()
    out.cls.backward()
    assert logits.grad[bad["targets"] >= 0].isnan().all()
    with pytest.raises(ValueError, match=rf"^{name} must .*got .*{got}"):
        alrp_loss(**bad, validate=True)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16])
def test_on_a_gpu_good_values_change_nothing(dtype, as_on_a_gpu):
    """The same losses and gradients, to the bit, as where checks of values wait."""
    ex = random(10, 100, 5)
    results = []
    for validate in (False, True):
        logits = ex.logits.to(dtype).requires_grad_()
        out = alrp_loss(logits, ex.targets, ex.loc_errors.to(dtype), validate=validate)
        (out.cls + out.loc).backward()
        results.append((out.cls, out.loc, logits.grad))
    assert all(torch.equal(a, b) and a.dtype == b.dtype for a, b in zip(*results, strict=True))


def test_the_good_input_is_good():
    """What the bad input is made from by one change is accepted."""
    assert alrp_loss(**GOOD).cls.isfinite()
