"""Is a self-balance the official one? A sequence of losses in, a sequence of weights out."""

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray

from alrp_ref.paper.self_balance import SelfBalance
from alrp_ref.verification.report import Case, Verification, deviation, wrapped

Weights = NDArray[np.float64]
BOUND = 1e-6  # the weight is a float32 here
FIRST = 50.0


def verify_weights(loss: Callable[..., Weights]) -> Verification:
    r"""Compare the weights of a port of the self-balance, of Section 4.2.

    .. math:: w \leftarrow \frac{\sum_t \mathcal L_{cls}(t) + \mathcal L_{loc}(t)}{\sum_t \mathcal L_{loc}(t)}
              \quad \text{over the steps of an epoch}

    Args:
        loss: called as ``loss(cls, loc, period)`` with the parts of the loss in each step, float64 (steps,), `loc` not
            weighted, and the number of steps in an epoch. Returns the weight of `loc` in each step, (steps,). It begins
            with 50, and the last step of an epoch has the new weight already.

    Returns: the report.
    """
    report = Verification(f"a port of the self-balance: {getattr(loss, '__name__', type(loss).__name__)}")
    tried = []
    for period in (1, 3, 10):
        cls, loc = _losses(period)
        try:
            got = np.asarray(loss(cls.copy(), loc.copy(), period), dtype=np.float64)
        except Exception as error:
            note = f"{type(error).__name__}: {error}"
            report.cases.append(Case("weights", f"period {period}", float("inf"), BOUND, note))
            continue
        expected = weights(cls, loc, period)
        off, note = deviation(got, expected)
        report.cases.append(Case("weights", f"period {period}", off, BOUND, note))
        if off > BOUND and got.shape == expected.shape:
            tried.append((period, cls, loc, expected, got))
    report.explanation = list(_explained(tried))
    return report


def _losses(period: int) -> tuple[Weights, Weights]:
    """Parts of a loss in the steps of three epochs and of a part of the fourth."""
    rng = np.random.default_rng(period)
    steps = 3 * period + period // 2
    return rng.uniform(0.5, 1, steps), rng.uniform(0.05, 0.4, steps)


def weights(cls: Weights, loc: Weights, period: int | None) -> Weights:
    """The weights of `alrp_ref.SelfBalance`."""
    balance = SelfBalance(period, initial_weight=FIRST).double()
    losses = zip(torch.from_numpy(cls), torch.from_numpy(loc), strict=True)
    return np.array([float(balance.update(*one)) for one in losses])


def _renewed(of_epoch: Callable[[Weights, Weights], float], cls: Weights, loc: Weights, period: int) -> Weights:
    found, weight = [], FIRST
    for end in range(1, len(cls) + 1):
        if end % period == 0:
            weight = of_epoch(cls[end - period : end], loc[end - period : end])
        found.append(weight)
    return np.array(found)


def _weighted(cls: Weights, loc: Weights, period: int) -> Weights:
    """As if the second part were given with its weight."""
    found, weight = [], FIRST
    sums = np.zeros(2)
    for step, (a, b) in enumerate(zip(cls, loc, strict=True), 1):
        sums += (a, weight * b)
        if step % period == 0:
            weight, sums = sums.sum() / sums[1], np.zeros(2)
        found.append(weight)
    return np.array(found)


MISTAKES: dict[str, Callable[[Weights, Weights, int], Weights]] = {
    "the new weight is used one step too late": lambda *one: np.append(FIRST, weights(*one)[:-1]),
    "the weight is cls / loc, not (cls + loc) / loc": partial(_renewed, lambda cls, loc: cls.sum() / loc.sum()),
    "the mean of the ratios is taken, not the ratio of the means": partial(
        _renewed, lambda cls, loc: float(np.mean((cls + loc) / loc))
    ),
    "only the last step of an epoch counts": partial(_renewed, lambda cls, loc: (cls[-1] + loc[-1]) / loc[-1]),
    "the weight is renewed in each step": lambda cls, loc, period: weights(cls, loc, 1),
    "the weight is never renewed": lambda cls, loc, period: weights(cls, loc, None),
    "the mean is over all steps so far, not over those of the last epoch": lambda cls, loc, period: np.array(
        [
            FIRST if n < period else (cls[: n - n % period].sum() / loc[: n - n % period].sum()) + 1
            for n in range(1, len(cls) + 1)
        ]
    ),
    "loc is weighted before it is summed": _weighted,
}


def _explained(tried: list[tuple]) -> Iterator[str]:
    if not tried:
        return
    for text, wrong in MISTAKES.items():
        if all(deviation(got, wrong(cls, loc, period))[0] <= 10 * BOUND for period, cls, loc, _, got in tried):
            yield from wrapped(f"It is as if {text}.")
            break
    period, cls, loc, expected, got = min(tried, key=lambda one: len(one[1]))
    yield f"With period {period}:"
    yield f"  {'step':>4}{'cls':>12}{'loc':>12}{'weight':>12}{'got':>12}"
    for step, row in enumerate(zip(cls, loc, expected, got, strict=True), 1):
        yield f"  {step:>4}" + "".join(f"{x:>12.6g}" for x in row)
