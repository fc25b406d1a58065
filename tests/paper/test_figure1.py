"""Figure 1 of the paper: ten anchors, four positives, three orders of their boxes, and the numbers printed there.

The anchors score 1.0, 0.9, ..., 0.1; the first, third, sixth and tenth are positive. The cases R1, R2 and R3 give
the same four IoUs to the positives in a different order: best box first, mixed, and best box last.
Neighbours are 0.1 apart, so with delta <= 0.1 the step is hard.
"""

import pytest
import torch
from lists import assert_close

from alrp_ref import alrp_loss, ap_loss, pairwise

SCORES = torch.arange(10, 0, -1, dtype=torch.float64) / 10
TARGETS = torch.tensor([1, 0, 1, 0, 0, 1, 0, 0, 0, 1])
IOUS = {"R1": (0.95, 0.80, 0.65, 0.50), "R2": (0.80, 0.65, 0.50, 0.95), "R3": (0.50, 0.65, 0.80, 0.95)}

BOTH_PATHS = pytest.mark.parametrize(
    "path_alrp, path_ap", [(alrp_loss, ap_loss), (pairwise.alrp_loss, pairwise.ap_loss)]
)
HARD_DELTA = pytest.mark.parametrize("delta", [0.1, 0.05, 1e-6])


def localisation_errors(case: str) -> torch.Tensor:
    return (1 - torch.tensor(IOUS[case], dtype=torch.float64)) / 0.5  # (1 - IoU) / (1 - tau)


@BOTH_PATHS
@HARD_DELTA
def test_ap_loss_is_the_same_for_all_three(path_alrp, path_ap, delta):
    """AP Loss .36 = 1 - (1 + 2/3 + 3/6 + 4/10) / 4, interpolated or not: it does not see the boxes."""
    for interpolated in (True, False):
        loss = path_ap(SCORES, TARGETS, delta=delta, interpolated=interpolated)
        assert_close(loss, 1 - (1 + 2 / 3 + 3 / 6 + 4 / 10) / 4)
        assert f"{loss:.2f}" == "0.36"


@BOTH_PATHS
@HARD_DELTA
@pytest.mark.parametrize("case, loc, printed", [("R1", 0.1717, "0.53"), ("R2", 0.3342, "0.69"), ("R3", 0.5342, "0.89")])
def test_alrp_loss_prefers_the_best_box_on_top(path_alrp, path_ap, delta, case, loc, printed):
    """aLRP Loss .53, .69 and .89: L_cls .3583 in each, and a localisation part that sees the order."""
    for loc_step in ("hard", "smoothed"):
        out = path_alrp(SCORES, TARGETS, localisation_errors(case), delta=delta, loc_step=loc_step)
        assert_close(out.rank, torch.tensor([1.0, 3, 6, 10], dtype=torch.float64), 1e-9)
        assert_close(out.cls, 0.3583, 5e-5)
        assert_close(out.loc, loc, 5e-5)
        assert f"{out.cls + out.loc:.2f}" == printed


def test_cross_entropy_is_the_same_for_all_three():
    """Cross entropy .87: the mean over the anchors, scores as probabilities; it does not see the boxes."""
    loss = torch.nn.functional.binary_cross_entropy(SCORES, TARGETS.double())
    assert f"{loss:.2f}" == "0.87"


@pytest.mark.parametrize("case", IOUS)
def test_iou_loss_is_the_same_for_all_three(case):
    """IoU loss .28, rounded half up: a mean over the positives does not see their order."""
    assert_close((0.5 * localisation_errors(case)).mean(), 0.275)


AP_OF_CASE = {
    "R1": (0.51, 0.43, 0.33, 0.20, 0.37),
    "R2": (0.51, 0.39, 0.24, 0.02, 0.29),
    "R3": (0.51, 0.19, 0.08, 0.02, 0.20),
}


@pytest.mark.parametrize("case", IOUS)
def test_average_precision_sees_what_the_other_losses_do_not(case):
    """AP at IoU .50, .65, .80, .95 and their mean, with five ground truths of which one is never found.

    A detection whose IoU is below the threshold is a false positive; AP of what is found is 1 - AP Loss.
    """
    aps = []
    for threshold in (0.50, 0.65, 0.80, 0.95):
        found = TARGETS.clone()
        found[TARGETS == 1] = (torch.tensor(IOUS[case]) >= threshold).long()
        precision = 1 - ap_loss(SCORES, found, delta=0.1, interpolated=True)
        aps.append((precision * found.sum() / 5).item())
    aps.append(sum(aps) / 4)
    assert [round(ap, 2) for ap in aps] == list(AP_OF_CASE[case])
