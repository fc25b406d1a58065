"""What aLRP Loss costs, forward and gradient together: against sorting the same logits, and against other methods."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from alrp_ref import alrp_loss
from benchmarks.methods import METHODS, Result, deviation
from benchmarks.timing import extra_memory, in_turn, seconds

# Mean and standard deviation of the positives' scores, and of the negatives': a head just initialised, which says
# 0.01 to everything; one that has begun to tell them apart; one that is nearly done.
STAGES = {
    "early": ((-4.6, 0.05), (-4.6, 0.05)),
    "middle": ((-1.0, 1.5), (-5.0, 1.5)),
    "late": ((1.0, 1.5), (-8.0, 2.0)),
}
SIZES = (7_000_000, 12_800_000, 21_000_000)
"""Logits of a batch: 8 images of 512 px with one anchor a location, then more anchors or larger images."""
POSITIVES = (100, 400, 1000, 4000)
GROWTH = (10**5, 10**6, 10**7, 10**8)
MORE_POSITIVES = (10, 100, 1000, 10_000)

Row = dict[str, object]


def bench(quick: bool = False) -> dict[str, list[Row]]:
    """Every table, as rows. `quick` is for trying the command out: small lists, the same code."""
    shrink = 100 if quick else 1
    sizes = [size // shrink for size in SIZES]
    growth = [size for size in GROWTH if size <= GROWTH[-1] // shrink]
    say = partial(print, flush=True)
    say("against torch.sort ...")
    against_sort = [_against_sort(*case) for case in _cases(sizes)]
    say("against other methods ...")
    methods = [_against_methods(100_000 // shrink, 400 if not quick else 10, list(METHODS))]
    faster = [name for name in METHODS if name != "pairs"]
    methods += [_against_methods(sizes[0], number, faster) for number in ((100, 1000) if not quick else (10,))]
    say("growth and memory ...")
    return {
        "sort": against_sort,
        "methods": [row for rows in methods for row in rows],
        "logits": _growth([(size, 400) for size in growth]),
        "positives": _growth([(sizes[0], number) for number in MORE_POSITIVES]),
        "memory": [_memory(size, 1000) for size in sizes],
    }


def tables(results: dict[str, list[Row]]) -> dict[str, list[Row]]:
    """The same, to be read: titles and rows."""
    by_case: dict[tuple, Row] = {}
    for row in results["sort"]:
        of_case = by_case.setdefault((row["logits"], row["stage"]), {"logits": row["logits"], "stage": row["stage"]})
        of_case[f"P={row['positives']}"] = row["ratio"]
    return {
        "Time of the loss and its gradient, in units of torch.sort of the same logits": list(by_case.values()),
        "Time in units of ours, float64, and errors relative to the loop's largest number": results["methods"],
        "Growth with the logits": results["logits"],
        "Growth with the positives": results["positives"],
        "Most memory beyond the inputs, in units of the logits' own": results["memory"],
    }


def _cases(sizes: list[int]) -> list[tuple[int, int, str]]:
    return [(size, number, stage) for size in sizes for number in POSITIVES for stage in STAGES]


def scores(size: int, num_positives: int, stage: str) -> tuple[Tensor, Tensor, Tensor]:
    """Logits, targets and localisation errors of a list; the positives are spread over it."""
    rng = torch.Generator().manual_seed(size + num_positives)
    (mean, std), (mean_neg, std_neg) = STAGES[stage]
    logits = torch.randn(size, generator=rng).mul_(std_neg).add_(mean_neg)
    positives = torch.randperm(size, generator=rng)[:num_positives]
    logits[positives] = mean + std * torch.randn(num_positives, generator=rng)
    targets = torch.zeros(size, dtype=torch.int8)
    targets[positives] = 1
    errors = torch.rand(num_positives, generator=rng)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    return logits.to(device), targets.to(device), errors.to(device)


def loss_and_gradient(size: int, num_positives: int, stage: str) -> Callable[[], None]:
    """A function that computes both, for a list of its own."""
    return computing(*scores(size, num_positives, stage))


def computing(logits: Tensor, targets: Tensor, errors: Tensor) -> Callable[[], None]:
    """A function that computes loss and gradient of this list."""
    logits = logits.detach().requires_grad_()

    def run() -> None:
        logits.grad = None
        alrp_loss(logits, targets, errors).cls.backward()

    return run


def _against_sort(size: int, num_positives: int, stage: str) -> Row:
    logits = scores(size, num_positives, stage)[0]
    took = in_turn({"ours": loss_and_gradient(size, num_positives, stage), "sort": logits.sort}, rounds=3)
    row = {"logits": size, "positives": num_positives, "stage": stage, "ratio": took["ours"] / took["sort"]}
    if logits.is_cuda:
        took = in_turn({"ours": loss_and_gradient(size, num_positives, stage), "copy": logits.clone}, rounds=3)
        row["of a copy"] = took["ours"] / took["copy"]
    return row | {"milliseconds": 1000 * took["ours"]}


def _against_methods(size: int, num_positives: int, names: list[str]) -> list[Row]:
    """Times in units of ours; errors relative to the loop's loss and to its largest gradient. In float64."""
    logits, targets, errors = scores(size, num_positives, "middle")
    logits, errors = logits.double(), errors.double()
    lists = logits[targets == 1], logits[targets == 0], errors
    results: dict[str, Result] = {}

    def run(name: str) -> None:
        results[name] = METHODS[name](*lists)

    slow = [name for name in names if name == "loop" and size * num_positives > 1e9]
    took = in_turn({name: partial(run, name) for name in names if name not in slow}, rounds=3)
    took |= {name: seconds(partial(run, name)) for name in slow}  # a minute: once
    rows = []
    for name in names:
        off = deviation(results[name], results["loop"])
        rows.append(
            {
                "logits": size,
                "positives": num_positives,
                "method": name,
                "time": took[name] / took["running sums"],
                "loss off": off[0],
                "gradient off": off[1],
            }
        )
    return rows


def _growth(cases: list[tuple[int, int]]) -> list[Row]:
    """Nanoseconds for each logit; all cases in turn."""
    took = in_turn({case: loss_and_gradient(*case, "middle") for case in cases}, rounds=3)
    return [
        {"logits": size, "positives": number, "ns per logit": 1e9 * took[size, number] / size} for size, number in cases
    ]


def _memory(size: int, num_positives: int) -> Row:
    extra = extra_memory(loss_and_gradient, size, num_positives, "middle")
    return {"logits": size, "positives": num_positives, "extra memory": extra / (4 * size)}
