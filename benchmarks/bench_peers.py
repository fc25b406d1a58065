"""What aLRP, AP and RS Loss cost beside their peers, forward and gradient together, and how far buckets are off.

In one thread and in its own time: the least of several calls, so that other jobs on the machine count little.
"""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from alrp_ref import alrp_loss, ap_loss, rank_sort_loss
from benchmarks import peers
from benchmarks.bench_loss import Row, scores
from benchmarks.timing import cpu_seconds

SIZES = (7_000_000, 21_000_000)
POSITIVES = (400, 1000, 5000)
CALLS = 5
"""Of each function, taken in turn."""
LOOPED = 4
"""Positives by whose number the loop is timed: it takes as long for each of them, and half an hour for 5,000."""


def bench(quick: bool = False) -> dict[str, list[Row]]:
    """Every table, as rows. `quick` is for trying the command out: small lists, the same code."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        shrink = 100 if quick else 1
        cases = [(size // shrink, number // shrink) for size in SIZES for number in POSITIVES]
        rows = {"peers": [], "sort": []}
        for size, number in cases:
            for name in peers.LOSSES:
                print(f"{name} Loss, {size:,} logits, {number:,} positives ...", flush=True)
                rows["peers"].append(_beside_peers(name, size, number))
            if size == cases[0][0]:
                rows["sort"].append(_beside_a_sort(size, number))
    finally:
        torch.set_num_threads(threads)
    return rows


def tables(results: dict[str, list[Row]]) -> dict[str, list[Row]]:
    """The same, to be read: titles and rows."""
    return {
        "The loop and the buckets in units of ours, and how far buckets are off": results["peers"],
        "Loss and gradient in units of torch.sort of the same logits": results["sort"],
    }


def ours(name: str, logits: Tensor, targets: Tensor, numbers: Tensor) -> tuple[Tensor, Tensor]:
    """A loss of this package and its gradient."""
    logits = logits.detach().requires_grad_()
    if name == "RS":
        out = rank_sort_loss(logits, targets, numbers)
        loss, value = out.ranking, out.total
    else:
        loss = value = ap_loss(logits, targets) if name == "AP" else alrp_loss(logits, targets, numbers).cls
    loss.backward()
    return value.detach(), logits.grad


def least(functions: dict[str, Callable[[], object]], calls: int = CALLS) -> dict[str, float]:
    """Seconds of this process that each function takes: the least of several calls, one after the other in turn."""
    times = [{name: cpu_seconds(function) for name, function in functions.items()} for _ in range(calls)]
    return {name: min(took[name] for took in times) for name in functions}


def off(name: str, logits: Tensor, targets: Tensor, numbers: Tensor) -> tuple[float, float]:
    """How far buckets are off, in float64: their loss, and their gradient as a share of the sum of its magnitudes."""
    logits, numbers = logits.double(), numbers.double()
    value, grad = ours(name, logits, targets, numbers)
    found = peers.buckets(peers.LOSSES[name], logits[targets == 1], logits[targets == 0], numbers)
    wrong = (found.on_pos - grad[targets == 1]).abs().sum() + (found.on_neg - grad[targets == 0]).abs().sum()
    return float((found.value - value).abs()), float(wrong / grad.abs().sum())


def _beside_peers(name: str, size: int, number: int) -> Row:
    logits, targets, numbers = (x.cpu() for x in scores(size, number, "middle"))
    lists = peers.LOSSES[name], logits[targets == 1], logits[targets == 0], numbers
    few = min(LOOPED, number)
    took = least(
        {
            "ours": partial(ours, name, logits, targets, numbers),
            "buckets": partial(peers.buckets, *lists),
            "loop, one": partial(peers.loop, *lists, most=1),
            "loop, few": partial(peers.loop, *lists, most=few + 1),
        }
    )
    whole = took["loop, one"] + (number - 1) * (took["loop, few"] - took["loop, one"]) / few
    value, gradient = off(name, logits, targets, numbers)
    return {
        "logits": size,
        "positives": number,
        "loss": name,
        "ours, ms": 1000 * took["ours"],
        "loop": whole / took["ours"],
        "buckets": took["buckets"] / took["ours"],
        "loss off": value,
        "gradient off": gradient,
    }


def _beside_a_sort(size: int, number: int) -> Row:
    logits, targets, numbers = (x.cpu() for x in scores(size, number, "middle"))
    functions = {f"{name} Loss": partial(ours, name, logits, targets, numbers) for name in peers.LOSSES}
    took = least(functions | {"sort": logits.sort})
    return {"logits": size, "positives": number} | {name: took[name] / took["sort"] for name in functions}
