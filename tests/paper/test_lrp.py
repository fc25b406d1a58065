"""The LRP metric and its optimum: by hand, and by trying every threshold."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from alrp_ref import optimal_lrp
from alrp_ref.paper.lrp import lrp


def test_lrp_of_a_small_set_by_hand():
    """Two true positives with errors .2 and .4, one false positive, one miss: (1 + 1 + .6) / 4."""
    assert lrp(*(torch.tensor(x) for x in (2.0, 1.0, 1.0, 0.6))).item() == pytest.approx(2.6 / 4)


def test_olrp_of_a_small_list_by_hand():
    """Cuts after 1, 2, 3, 4 detections cost (.2+2)/3, 3.2/4, 2.6/4 and 3.6/5 here: the third is the best.

    Ground truth 3; detections: IoU .9, miss, IoU .8, miss.
    """
    best = optimal_lrp([0.9, 0.8, 0.7, 0.6], [0.9, 0.0, 0.8, 0.0], 3)
    assert best.olrp.item() == pytest.approx((0.2 + 0.4 + 1 + 1) / 4)
    assert best.loc.item() == pytest.approx(0.15)
    assert best.fp.item() == pytest.approx(1 / 3)
    assert best.fn.item() == pytest.approx(1 / 3)
    assert best.threshold.item() == pytest.approx(0.7)


@st.composite
def detections(draw):
    """Distinct scores in any order, IoUs of true (>= tau) and of false positives, enough ground truth."""
    tau = draw(st.sampled_from([0.0, 0.5, 0.75]))
    hundredths = draw(st.lists(st.integers(0, 100), unique=True, min_size=1, max_size=20))
    ious = [draw(st.just(-1.0 if tau == 0 else 0.0) | st.floats(tau, 1)) for _ in hundredths]
    num_tp = sum(iou >= tau for iou in ious)
    return [h / 100 for h in hundredths], ious, num_tp + draw(st.integers(0, 3)), tau


@given(detections())
def test_olrp_is_the_smallest_lrp_over_all_thresholds(case):
    """No threshold does better, and the parts are those at the threshold it names."""
    scores, ious, num_gt, tau = case
    best = optimal_lrp(scores, ious, num_gt, tau=tau)
    if num_gt == 0:
        assert best.olrp.isnan()
        return

    def parts(threshold):
        kept = [iou for score, iou in zip(scores, ious, strict=True) if score >= threshold]
        tp = [iou for iou in kept if iou >= tau]
        n_fp, n_fn = len(kept) - len(tp), num_gt - len(tp)
        error = (sum((1 - iou) / (1 - tau) for iou in tp) + n_fp + n_fn) / (len(tp) + n_fp + n_fn)
        return error, tp, n_fp, n_fn

    assert best.olrp.item() == pytest.approx(min(parts(score)[0] for score in scores))
    if best.olrp < 1:
        error, tp, n_fp, n_fn = parts(best.threshold.item())
        assert best.olrp.item() == pytest.approx(error)
        assert best.loc.item() == pytest.approx(sum(1 - iou for iou in tp) / len(tp))
        assert best.fp.item() == pytest.approx(n_fp / (n_fp + len(tp)))
        assert best.fn.item() == pytest.approx(n_fn / num_gt)


@given(detections(), st.randoms(use_true_random=False))
def test_the_order_of_the_detections_does_not_matter(case, random_numbers):
    """Sorting by score is the metric's business."""
    scores, ious, num_gt, tau = case
    order = random_numbers.sample(range(len(scores)), len(scores))
    shuffled = optimal_lrp([scores[i] for i in order], [ious[i] for i in order], num_gt, tau=tau)
    for part, expected in zip(shuffled, optimal_lrp(scores, ious, num_gt, tau=tau), strict=True):
        torch.testing.assert_close(part, expected, rtol=0, atol=1e-12, equal_nan=True)


def test_perfect_detections_have_no_error():
    """Every object found, exactly, and nothing else: 0 in all parts."""
    best = optimal_lrp([0.9, 0.8], [1.0, 1.0], 2)
    assert [best.olrp, best.loc, best.fp, best.fn] == [0, 0, 0, 0]
    assert best.threshold.item() == pytest.approx(0.8)


@pytest.mark.parametrize("scores, ious", [([], []), ([0.9, 0.8], [0.0, 0.49])], ids=["nothing", "false positives"])
def test_ground_truth_without_true_positives_costs_everything(scores, ious):
    """oLRP is 1, all of it misses; there is no box to localise and no threshold to recommend."""
    best = optimal_lrp(scores, ious, 2)
    assert best.olrp == 1 and best.fn == 1
    assert best.loc.isnan() and best.threshold.isnan()


def test_without_ground_truth_nothing_is_defined():
    """A category that does not occur has no error: NaN, to be left out of means."""
    assert all(part.isnan() for part in optimal_lrp([0.9], [0.0], 0))


def test_an_iou_of_exactly_tau_is_a_true_positive():
    """With the largest error, 1: neither better nor worse than a miss plus nothing."""
    best = optimal_lrp([0.9], [0.5], 1)
    assert best.olrp == 1 and best.fn == 0 and best.loc == 0.5


@pytest.mark.parametrize(
    "name, change",
    [
        ("scores and ious", {"scores": [0.9]}),
        ("scores and ious", {"scores": [[0.9, 0.8]], "ious": [[0.9, 0.0]]}),
        ("scores and ious", {"scores": [0.9, float("nan")]}),
        ("scores and ious", {"ious": [0.9, float("inf")]}),
        ("tau", {"tau": 1.0}),
        ("tau", {"tau": -0.5}),
        ("num_gt", {"num_gt": 0}),
        ("num_gt", {"num_gt": -1}),
    ],
    ids=str,
)
def test_bad_input_is_named(name, change):
    """A ValueError that starts with the name of the argument and says what it got."""
    good = {"scores": [0.9, 0.8], "ious": [0.9, 0.0], "num_gt": 1}
    assert optimal_lrp(**good).olrp == pytest.approx(0.2)
    with pytest.raises(ValueError, match=f"^{name} must .*got "):
        optimal_lrp(**{**good, **change})
