"""What a loss computes that has one of the usual mistakes: a port that agrees with it has this mistake."""

from collections.abc import Callable
from functools import partial

import numpy as np
import torch

from alrp_ref.paper import pairwise
from alrp_ref.verification.ports import KINDS, Kind, List, Results, judged, without_numbers

Mistake = Callable[[List], Results]


def of_kind(kind: Kind) -> dict[str, Mistake]:
    """Sentences, and for each what a loss of this kind is then, in float64."""

    def of_another_list(change: Callable[[List], List]) -> Mistake:
        return lambda one: judged(change(one), kind)

    mistakes = {text: of_another_list(change) for text, change in OTHER_LISTS.items()}
    mistakes |= {text: partial(_other_results, kind, change) for text, change in OTHER_RESULTS.items()}
    if kind is KINDS["alrp"]:
        mistakes |= {text: partial(_alrp, **options) for text, options in ALRP.items()}
    if kind is KINDS["ap"]:
        plain = without_numbers(partial(pairwise.ap_loss, interpolated=False))
        mistakes["the precision is not interpolated"] = lambda one: judged(one, kind._replace(judge=plain))
    if kind is KINDS["rank_sort"]:
        text = "the IoUs are taken for errors, 1 - IoU"
        mistakes[text] = of_another_list(lambda one: one._replace(loc_errors=1 - one.loc_errors))
    return mistakes


def _without_far(one: List) -> List:
    far = (one.targets == 0) & (one.logits < one.logits[one.targets == 1].min())
    return one._replace(targets=np.where(far, -1, one.targets).astype(np.int8))


OTHER_LISTS: dict[str, Callable[[List], List]] = {
    "ignored examples count as negatives": lambda one: one._replace(targets=np.maximum(one.targets, 0)),
    "delta is ignored, and 1": lambda one: one._replace(delta=1.0),
    "delta is the whole width of the step, not half of it": lambda one: one._replace(delta=one.delta / 2),
    "delta is a quarter of the width of the step, not half of it": lambda one: one._replace(delta=one.delta * 2),
    "the step has no slope": lambda one: one._replace(delta=1e-9),
    "the scores are probabilities, after a sigmoid": lambda one: one._replace(logits=_sigmoid(one.logits)),
    "negatives within delta below the lowest positive are left out (the threshold lacks delta)": _without_far,
    "the numbers of the positives are in the reverse order": lambda one: one._replace(
        loc_errors=one.loc_errors[::-1].copy()
    ),
}

OTHER_RESULTS: dict[str, Callable[[List, Results], Results]] = {
    "the sum over the positives is not divided by their number": lambda one, right: tuple(
        len(one.loc_errors) * part for part in right
    ),
    "the sum over the positives is divided by their number twice": lambda one, right: tuple(
        part / len(one.loc_errors) for part in right
    ),
    "the gradient has the wrong sign": lambda one, right: (*right[:-1], -right[-1]),
}


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return torch.from_numpy(x).sigmoid().numpy()


def _other_results(kind: Kind, change: Callable[[List, Results], Results], one: List) -> Results:
    return change(one, judged(one, kind))


ALRP: dict[str, dict] = {
    "a positive counts itself in its rank as H(0) = 1/2, not 1": {"own": 0.5},
    "a positive counts itself in its rank twice, as 1 and as H(0) = 1/2": {"own": 1.5},
    "the target of a positive is 0, not its error over its rank": {"has_target": False},
    "the localisation errors are missing in the gradient of the scores": {"has_errors": False},
    "the errors below each positive are summed, not those above (the order is not reversed)": {"order": "below"},
    "the errors are summed from the lowest score, the ranks from the highest (one of them is not reversed)": {
        "order": "mixed"
    },
    "the errors are not sorted by score": {"order": "given"},
    "the errors are not sorted by score, the ranks are": {"order": "unsorted"},
    "the step inside loc is smoothed; that of the release is hard": {"order": "smoothed"},
    "loc lacks the errors of the positives above": {"order": "own"},
}


def _alrp(
    one: List, *, own: float = 1.0, has_target: bool = True, has_errors: bool = True, order: str = "above"
) -> Results:
    """aLRP Loss with one thing different."""
    s_pos, s_neg, e = one.logits[one.targets == 1], one.logits[one.targets == 0], one.loc_errors
    h_ij, h_ik = (((s[None, :] - s_pos[:, None]) / (2 * one.delta) + 0.5).clip(0, 1) for s in (s_neg, s_pos))
    np.fill_diagonal(h_ik, 0)
    n_fp = h_ij.sum(1)
    rank = own + h_ik.sum(1) + n_fp

    share = np.where(n_fp > 1e-5, n_fp + has_errors * (h_ik @ e + (not has_target) * e), 0) / rank / len(e)
    gradient = np.zeros_like(one.logits)
    gradient[one.targets == 1] = -share
    gradient[one.targets == 0] = (share / n_fp.clip(1e-5)) @ h_ij

    best_first = np.argsort(s_pos, kind="stable")[::-1]  # of a tie the later one, as in the hard order
    hard = pairwise.hard_order(torch.from_numpy(s_pos)).numpy()
    above = {"below": hard.T, "smoothed": h_ik, "own": 0 * hard, "given": np.tril(np.ones_like(hard), -1)}
    errors = e.copy()
    if order in ("mixed", "unsorted"):  # the error of another positive in each place
        errors[best_first] = e[best_first[::-1]] if order == "mixed" else e
    loc = ((errors + above.get(order, hard) @ errors) / rank).mean()
    return (n_fp / rank).mean(), loc, gradient
