"""Measure what the loss costs by three methods, for `cost.py`, and write data/cost.csv.

Usage: python figures/measure.py     (minutes; on an otherwise idle machine)

Times are ratios to the time of ours at 10 positives, in the same run: they say how a method grows, on any machine.
"""

import time
from collections.abc import Callable

import runs
import torch
from torch import Tensor

from alrp_ref import alrp_loss
from alrp_ref.ranking import step

NEGATIVES, REPEATS = 1_000_000, 3
POSITIVES = (10, 30, 100, 300, 1000)

Result = tuple[Tensor, Tensor]
"""The classification part, and its gradient on each negative."""


def loop(s_pos: Tensor, s_neg: Tensor, errors: Tensor) -> Result:
    """One positive after the other, each against all negatives: as the release does it."""
    return _one_by_one(s_pos, s_neg, torch.ones_like(s_neg), errors)


def buckets(s_pos: Tensor, s_neg: Tensor, errors: Tensor) -> Result:
    """The negatives between two neighbouring positives stand together at their mean: |P| + 1 of them, with weights."""
    edges = s_pos.sort().values
    bucket = torch.searchsorted(edges, s_neg)
    count = torch.bincount(bucket, minlength=len(s_pos) + 1).to(s_neg)
    mean = torch.zeros_like(count).index_add(0, bucket, s_neg) / count.clamp(min=1)
    loss, gradient = _one_by_one(s_pos, mean, count, errors)
    return loss, gradient[bucket]


def _one_by_one(s_pos: Tensor, s_neg: Tensor, count: Tensor, errors: Tensor) -> Result:
    """The loss, and the gradient on one negative of each place, for `count` negatives at each."""
    loss, gradient = s_pos.new_zeros(()), torch.zeros_like(s_neg)
    for i, s_i in enumerate(s_pos):
        above, h = step(s_pos - s_i, 1.0), step(s_neg - s_i, 1.0)
        above[i] = 1.0  # a positive is of its own rank
        n_fp = h @ count
        rank = above.sum() + n_fp
        if n_fp > 1e-5:
            ell = (n_fp + above @ errors) / rank
            gradient += (ell - errors[i] / rank) / n_fp * h / len(s_pos)
        loss += n_fp / rank / len(s_pos)
    return loss, gradient


def running_sums(s_pos: Tensor, s_neg: Tensor, errors: Tensor) -> Result:
    """Ours."""
    logits = torch.cat([s_pos, s_neg]).requires_grad_()
    targets = torch.cat([torch.ones_like(s_pos), torch.zeros_like(s_neg)]).long()
    loss = alrp_loss(logits, targets, errors).cls
    loss.backward()
    return loss.detach(), logits.grad[len(s_pos) :]


METHODS: dict[str, Callable[..., Result]] = {"loop": loop, "buckets": buckets, "running sums": running_sums}


def main() -> None:
    torch.set_num_threads(1)
    rows = []
    for number in POSITIVES:
        rng = torch.Generator().manual_seed(number)
        s_pos, s_neg = (torch.randn(n, generator=rng, dtype=torch.float64) for n in (number, NEGATIVES))
        s_pos, errors = s_pos + 2, torch.rand(number, generator=rng, dtype=torch.float64)
        results = {}
        for name, method in METHODS.items():
            times = []
            for _ in range(1 if name == "loop" and number > 100 else REPEATS):
                began = time.perf_counter()
                results[name] = method(s_pos, s_neg, errors)
                times.append(time.perf_counter() - began)
            rows.append({"positives": number, "method": name, "seconds": min(times)})
        for row in rows[-len(METHODS) :]:
            off = [
                (a - b).abs().max() / b.abs().max()
                for a, b in zip(results[row["method"]], results["loop"], strict=True)
            ]
            row["error_loss"], row["error_gradient"] = (f"{float(x):.2g}" for x in off)
            print(row, flush=True)
    unit = next(row["seconds"] for row in rows if row["method"] == "running sums")
    for row in rows:
        row["time"] = f"{row.pop('seconds') / unit:.3g}"
    runs.write_table(runs.DATA / "cost.csv", rows)


if __name__ == "__main__":
    main()
