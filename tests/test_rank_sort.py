"""Rank & Sort Loss: against its authors' numbers, the pairs, and what it promises."""

import warnings
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from lists import assert_close, compute_in, make, random
from torch._subclasses.fake_tensor import FakeTensorMode

import alrp_ref
from alrp_ref import RankSortLoss, alrp_loss, checks, flatten_batch, pairwise, rank_sort, rank_sort_loss
from alrp_ref.paper.ranking import ranks
from alrp_ref.verification.official import official_cases

BOTH_PATHS = pytest.mark.parametrize("path", [alrp_ref, pairwise], ids=["fast", "pairwise"])


def parts(loss, logits, targets, ious, delta=0.5):
    """Ranking, sorting, and the gradient of both."""
    logits = logits.clone().requires_grad_()
    out = loss(logits, targets, ious, delta=delta)
    out.ranking.backward()
    return out.ranking.detach(), out.sorting, logits.grad


@BOTH_PATHS
@pytest.mark.parametrize("case", official_cases("rank_sort"), ids=[str(number) for number in range(28)])
def test_official_values_and_gradient(path, case):
    """Both parts and the gradient are those of the release, to 1e-12."""
    logits, targets, ious = (torch.from_numpy(case[name]) for name in ("logits", "targets", "ious"))
    ranking, sorting, grad = parts(path.rank_sort_loss, logits, targets.long(), ious, float(case["delta"]))
    assert_close(ranking, float(case["ranking"]))
    assert_close(sorting, float(case["sorting"]))
    assert_close(grad, torch.from_numpy(case["grad"]))


def test_six_examples_by_hand():
    """Positives a, b and c with IoUs .5, .9 and .7, and a negative above c: errors, parts and gradient by hand."""
    of = partial(torch.tensor, dtype=torch.float64)
    s_pos, s_neg = of([5.0, 4.0, 2.0]), of([3.0, 1.0, 0.0])
    y = of([0.5, 0.9, 0.7])
    h = pairwise.step(pairwise.differences(s_pos, s_pos), 0.5)
    sorting, target = [0.5, 0.55 / 1.5, 0.75 / 2.5], [0.5, 0.1, 0.25 / 1.5]
    assert_close(rank_sort.sorting_error(h, y), of(sorting))
    assert_close(rank_sort.target_sorting_error(h, y, y), of(target))
    of_b, of_c, ranked = sorting[1] - target[1], sorting[2] - target[2], 1 / 3.5
    ranking, sort = rank_sort.rank_sort(ranks(s_pos, s_neg, 0.5), y)
    assert_close(ranking.value, ranked / 3)
    assert_close(sort.value, (of_b + of_c) / 3)
    rows = of([of_b + of_c, -of_b, -of_c - ranked]) / 3
    assert_close(ranking.gradient.rows, rows)
    assert_close(ranking.gradient.columns, of([ranked, 0, 0]) / 3)


def test_official_numbers_are_a_true_copy(official):
    """The numbers in the package are those that the release gave."""
    with np.load(official / "rank_sort_cases.npz") as original:
        copies = {f"{k}/{name}": x for k, case in enumerate(official_cases("rank_sort")) for name, x in case.items()}
        assert sorted(original.files) == sorted(copies)
        assert all(np.array_equal(original[key], value) for key, value in copies.items())


SCORES = st.sampled_from([eighths / 8 for eighths in range(-24, 25)]) | st.floats(-20, 20)
QUALITIES = st.sampled_from([0.0, 0.25, 0.5, 1.0]) | st.floats(0, 1)


@st.composite
def lists(draw):
    labels = [*draw(st.lists(st.sampled_from([1, 1, 0, 0, 0, -1]), max_size=32)), 1]
    logits = draw(st.lists(SCORES, min_size=len(labels), max_size=len(labels)))
    ious = draw(st.lists(QUALITIES, min_size=labels.count(1), max_size=labels.count(1)))
    return make(logits, torch.tensor(labels), ious, draw(st.sampled_from([1e-300, 1e-6, 0.1, 0.5, 3.0, 1e9])))


@settings(max_examples=4 * settings.default.max_examples)
@given(lists(), st.sampled_from([1, 7, 1 << 24]))
def test_any_list_is_what_its_pairs_are(ex, pairs):
    """Values and gradients are those of the matrices, with ties, any delta, and positives taken in parts."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rank_sort, "PAIRS", {"cpu": pairs})
        found = parts(rank_sort_loss, ex.logits, ex.targets, ex.loc_errors, ex.delta)
    wanted = parts(pairwise.rank_sort_loss, ex.logits, ex.targets, ex.loc_errors, ex.delta)
    # A negative tied with a positive counts 1/2; below the rounding of the scores the step matrix is the hard step.
    has_tie = bool((ex.s_pos[:, None] == ex.s_neg[None, :]).any())
    if has_tie and ex.delta < 1e-3:
        return
    slack = 1e-12 + 1e-13 * min(1.0 / ex.delta, 1e6)  # a ramp is known to the rounding of s - delta
    for one, other in zip(found, wanted, strict=True):
        assert_close(one, other, slack)


def test_without_a_sorting_error_it_is_a_ranking_loss():
    """Equal IoUs leave nothing to sort: value 0, and the gradient is that of the negatives alone."""
    ex = random(10, 100)
    ranking, sorting, grad = parts(rank_sort_loss, ex.logits, ex.targets, torch.full((10,), 0.7))
    assert sorting == 0
    assert (grad[ex.targets == 1] <= 0).all() and (grad[ex.targets == 0] >= 0).all()
    assert_close(grad.sum(), 0.0)
    assert 0 < ranking < 1


def test_it_sorts_what_alrp_loss_leaves_as_it_is():
    """Two positives above all negatives, the worse box on top: aLRP Loss moves nothing, RS Loss swaps them."""
    logits, targets = torch.tensor([6.0, 5.0, 0.0]), torch.tensor([1, 1, 0])
    left = logits.clone().requires_grad_()
    alrp_loss(left, targets, torch.tensor([0.8, 0.2])).cls.backward()
    assert not left.grad.any()
    ranking, sorting, grad = parts(rank_sort_loss, logits, targets, torch.tensor([0.6, 0.9]))
    assert ranking == 0 and sorting > 0
    assert grad[0] > 0 > grad[1] and grad[2] == 0


def test_by_hand():
    """A positive of IoU .9 below one of IoU .4 and below a negative: 1 / 2.5 and 1 / 1.5, and (.6 + .05) / 1.5 - .1."""
    logits, targets = torch.tensor([3.0, 1.0, 2.0], dtype=torch.float64), torch.tensor([0, 1, 1])
    ranking, sorting, _ = parts(rank_sort_loss, logits, targets, torch.tensor([0.9, 0.4], dtype=torch.float64))
    assert_close(ranking, (1 / 2.5 + 1 / 1.5) / 2)
    assert_close(sorting, ((0.6 + 0.05) / 1.5 - 0.1) / 2)


def test_the_module_and_its_total():
    """The module is the function; its total has the gradient of `ranking`, and it has no state."""
    ex = random(6, 50)
    ious, logits = torch.rand(6, requires_grad=True), ex.logits.clone().requires_grad_()
    module = RankSortLoss(delta=0.3)
    out = module(logits, ex.targets, ious)
    out.total.backward()
    ranking, sorting, grad = parts(rank_sort_loss, ex.logits, ex.targets, ious.detach(), 0.3)
    assert_close(out.total, ranking + sorting)
    assert torch.equal(logits.grad, grad) and ious.grad is None and not module.state_dict()
    assert repr(module) == "RankSortLoss(delta=0.3, rank_scope='process')"


def test_flatten_batch_gives_the_ious():
    """With `paired_ious` as its error, the batch is what RS Loss takes; a box on its object has an IoU of 1."""
    logits, labels = torch.randn(2, 10, 3), torch.full((2, 10), -1)
    labels[0, :2], labels[1, 5] = 1, 2
    truth = torch.tensor([0.0, 0.0, 10.0, 10.0]).expand(3, 4)
    boxes = truth * torch.tensor([[1.0], [0.5], [2.0]])
    batch = flatten_batch(logits, labels, boxes, truth, loc_error=rank_sort.paired_ious)
    assert_close(batch.loc_errors, torch.tensor([1.0, 0.25, 0.25]), 1e-6)
    assert rank_sort_loss(*batch).total.isfinite()


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_dtypes_and_lists_without_positives(dtype):
    """The parts are in float32 or better; without positives they are 0 and the gradient is zeros."""
    ex = random(6, 50, 3)
    logits = ex.logits.to(dtype).requires_grad_()
    out = rank_sort_loss(logits, ex.targets, torch.rand(6))
    assert out.ranking.dtype == out.sorting.dtype == torch.promote_types(dtype, torch.float32)
    nothing = rank_sort_loss(logits, ex.targets.clamp(max=0), torch.rand(0))
    nothing.total.backward()
    assert nothing.ranking == nothing.sorting == 0 and not logits.grad.any()


def test_bad_input_is_named():
    """IoUs in percent, too few of them, none at all, and an unknown scope."""
    ex = random(6, 50)
    for ious, message in (
        (torch.full((6,), 70.0), r"ious must be in \[0, 1\], got 70"),
        (torch.rand(5), "ious must hold one number for each of the 6 positives"),
        (None, r"ious must be a torch\.Tensor, got NoneType"),
    ):
        with pytest.raises(ValueError, match=message):
            rank_sort_loss(ex.logits, ex.targets, ious)
    with pytest.raises(ValueError, match="rank_scope must be"):
        RankSortLoss(rank_scope="all")(ex.logits, ex.targets, torch.rand(6))


def test_nothing_waits_and_it_compiles_to_one_graph(monkeypatch):
    """On tensors without values nothing is read; compiled code gives the same, for other numbers of positives too."""
    compiled = torch.compile(lambda x, t, y: rank_sort_loss(2 * x, t, y).total, fullgraph=True, backend="aot_eager")
    for positives in (4, 7, 9):
        ex = random(positives, 60)
        ious = torch.rand(positives, dtype=torch.float64)
        assert_close(compiled(ex.logits, ex.targets, ious), rank_sort_loss(2 * ex.logits, ex.targets, ious).total)
    monkeypatch.setattr(checks, "is_asynchronous", lambda tensor: True)
    with FakeTensorMode(), warnings.catch_warnings():
        logits, targets = torch.randn(200, requires_grad=True), torch.zeros(200, dtype=torch.int64)
        rank_sort_loss(logits, targets, torch.rand(20)).total.backward()
    assert logits.grad.shape == (200,)


def test_without_float64_it_keeps_five_digits(monkeypatch):
    """As on Apple's GPUs."""
    ex = random(50, 5000)
    ious = torch.rand(50)
    wanted = parts(rank_sort_loss, ex.logits.float(), ex.targets, ious)
    compute_in(torch.float32, monkeypatch)
    for found, exact in zip(parts(rank_sort_loss, ex.logits.float(), ex.targets, ious), wanted, strict=True):
        assert (found - exact).norm() <= 1e-5 * exact.norm()


def test_verify_knows_it():
    """A port that is right passes; one that forgets the sorting part fails."""

    def port(logits, targets, ious, delta):
        x = torch.from_numpy(logits)
        ranking, sorting, grad = parts(
            pairwise.rank_sort_loss, x, torch.from_numpy(targets).long(), torch.from_numpy(ious), delta
        )
        return float(ranking), float(sorting), grad.numpy()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(alrp_ref.verification.ports, "SIZES", (1000,))
        assert alrp_ref.verify(port, "rank_sort").passed
        half = alrp_ref.verify(lambda *one: (port(*one)[0], 0.0, port(*one)[2]), "rank_sort")
    assert not half.passed and all(case.name.endswith("sorting") for case in half.failed)
    with pytest.raises(ValueError, match="kind must be one of alrp, ap, rank_sort"):
        alrp_ref.verify(port, "rs")
