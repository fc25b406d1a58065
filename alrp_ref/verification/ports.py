"""Ports of a loss, functions of NumPy arrays whatever they are written in, and what they are compared with."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from alrp_ref.paper import pairwise
from alrp_ref.verification.official import official_cases
from alrp_ref.verification.report import Case, deviation

Array = NDArray[np.float64]
Results = tuple[Array, ...]
"""The parts of a loss, scalars, and last its gradient on the logits, (n,)."""
Port = Callable[[Array, NDArray[np.int8], Array, float], Results]

ALRP_PARTS, AP_PARTS, RS_PARTS = ("cls", "loc"), ("loss",), ("ranking", "sorting")
BOUNDS = {np.dtype(np.float64): 1e-12, np.dtype(np.float32): 1e-5}
SIZES = (1_000, 10_000, 100_000, 1_000_000)
POSITIVES = 16
"""Few: `pairwise` needs a matrix of positives times negatives."""


class List(NamedTuple):
    """A list to rank: what a port takes."""

    logits: Array
    targets: NDArray[np.int8]
    loc_errors: Array
    delta: float = 1.0


class Kind(NamedTuple):
    """What is known of a loss: its name, its parts, the official lists with their fields, and the judge."""

    name: str
    parts: tuple[str, ...]
    cases: str
    """The file of the official lists."""
    fields: tuple[str, ...]
    """Those of its parts, and of its gradient."""
    numbers: str
    """The field of the numbers of the positives, which it is given."""
    judge: Callable[..., tuple[Tensor, ...]]


def without_numbers(loss: Callable[..., Tensor]) -> Callable[..., tuple[Tensor]]:
    """A loss of one part that needs no number for each positive, called like those that do."""

    def called_alike(logits: Tensor, targets: Tensor, numbers: Tensor, *, delta: float) -> tuple[Tensor]:
        return (loss(logits, targets, delta=delta),)

    return called_alike


KINDS = {
    "alrp": Kind(
        "aLRP Loss", ALRP_PARTS, "loss", ("alrp_cls", "alrp_loc", "alrp_grad"), "loc_errors", pairwise.alrp_loss
    ),
    "ap": Kind("AP Loss", AP_PARTS, "loss", ("ap", "ap_grad"), "loc_errors", without_numbers(pairwise.ap_loss)),
    "rank_sort": Kind(
        "RS Loss", RS_PARTS, "rank_sort", ("ranking", "sorting", "grad"), "ious", pairwise.rank_sort_loss
    ),
}


def is_function(loss: Any) -> bool:
    """Whether it is a `torch.autograd.Function`, or the `apply` of one."""
    owner = loss if isinstance(loss, type) else getattr(loss, "__self__", None)
    return isinstance(owner, type) and issubclass(owner, torch.autograd.Function)


def function_port(loss: Any, kind: Kind) -> Port:
    """A `torch.autograd.Function` as a port."""
    apply = getattr(loss, "apply", loss)

    def parts(logits: Tensor, targets: Tensor, numbers: Tensor, *, delta: float) -> tuple[Tensor, ...]:
        out = apply(logits, targets, delta) if kind is KINDS["ap"] else apply(logits, targets, numbers, delta)
        out = out if isinstance(out, tuple) else (out,)
        if kind is KINDS["alrp"] and len(out) > 1 and out[1].ndim == 1:  # the release's, whose caller computes loc
            above = pairwise.hard_order(logits[targets == 1].detach())
            return out[0], ((numbers + above @ numbers) / out[1].to(numbers)).mean()
        return out[: len(kind.parts)]

    def port(*one: Any) -> Results:
        was = torch.get_default_dtype()
        torch.set_default_dtype(torch.float64)  # of the tensors that it makes
        try:
            return port_of(parts)(*one)
        finally:
            torch.set_default_dtype(was)

    return port


def draw(size: int, spread: float = 1.5) -> List:
    """A random list: positives a little above the negatives, if at all, and one example in twenty ignored.

    `spread` is the deviation of the scores; 0.05 makes them those of a head that says 0.01 to everything.
    """
    rng = np.random.default_rng(size)
    targets = np.where(rng.random(size) < 0.05, -1, 0).astype(np.int8)
    targets[rng.choice(size, POSITIVES, replace=False)] = 1
    logits = rng.normal(-4.6, spread, size) + spread * (targets == 1)
    return List(logits, targets, rng.uniform(0, 1, POSITIVES), 0.5)


def port_of(
    loss: Callable[..., tuple[Tensor, ...]], device: str = "cpu", dtype: torch.dtype = torch.float64, scale: float = 1.0
) -> Port:
    """A loss of this package as a port: arrays in, arrays out; `scale` is a loss scale, undone in float64."""

    def port(logits: Array, targets: NDArray[np.int8], loc_errors: Array, delta: float) -> Results:
        x = torch.from_numpy(logits).to(dtype).to(device).requires_grad_()
        errors = torch.from_numpy(loc_errors).to(torch.promote_types(dtype, torch.float32)).to(device)
        parts = loss(x, torch.from_numpy(targets).to(device), errors, delta=delta)[:2]  # without the ranks
        (scale * parts[0]).backward()
        # Not in float64 unless the logits are: the dtype of the results tells the bound.
        gradient = x.grad.cpu() if dtype in (torch.float64, torch.float32) else x.grad.cpu().float()
        return tuple(_array(part) for part in (*parts, gradient / scale))

    return port


def _array(x: Tensor) -> Array:
    return x.detach().cpu().numpy()


def judged(one: List, kind: Kind = KINDS["alrp"]) -> Results:
    """What the losses of `pairwise` say, in float64 on the CPU."""
    return port_of(kind.judge)(*one)


def against(
    loss: Port, one: List, expected: Results, names: tuple[str, ...], bounds: tuple[float, float] | None = None
) -> Iterator[Case]:
    """Cases, without a group: the parts of a loss and its gradient; the bound of each of the two, or by the dtype."""
    results = loss(*one)
    if len(results) != len(expected):
        raise ValueError(f"it must return {', '.join(names)}, gradient; got {len(results)} results")
    gradient = np.asarray(results[-1])
    of_parts, of_gradient = bounds or 2 * (BOUNDS.get(gradient.dtype, min(BOUNDS.values())),)
    for name, part, wanted in zip(names, results[:-1], expected[:-1], strict=True):
        if not np.isnan(wanted).all():  # where the release had no answer
            off, note = deviation(part, wanted)
            yield Case("", name, off, of_parts, note)
    if gradient.shape != expected[-1].shape:
        off, note = deviation(gradient, expected[-1])
        yield Case("", "gradient", off, of_gradient, note)
        return
    # Apart, since the gradients of a million negatives are small beside those of the positives.
    for name, label in (("positives", 1), ("negatives", 0), ("ignored", -1)):
        off, note = deviation(gradient[one.targets == label], expected[-1][one.targets == label])
        yield Case("", f"gradient, {name}", off, of_gradient, note)


def guarded(group: str, compare: Callable[[], Iterator[Case]], where: str = "") -> list[Case]:
    """The cases of a group, or of a part of it; an error of the loss is a case that fails."""
    try:
        return [case._replace(group=group, name=f"{where}, {case.name}" if where else case.name) for case in compare()]
    except Exception as error:  # whatever it is, it is what the user has to know
        reason = (str(error).splitlines() or [""])[0]
        return [Case(group, where, float("inf"), 0.0, f"{type(error).__name__}: {reason}")]


def official_lists(kind: Kind) -> Iterator[tuple[List, Results]]:
    """The lists of the release, and its numbers: the parts, and the gradient."""
    for case in official_cases(kind.cases):
        one = List(case["logits"], case["targets"], case[kind.numbers], float(case["delta"]))
        yield one, tuple(case[name] for name in kind.fields)


def on_official_lists(loss: Port, kind: Kind) -> list[Case]:
    """The numbers of the release."""
    found = []
    for number, (one, expected) in enumerate(official_lists(kind)):
        compare = partial(against, loss, one, expected, kind.parts)
        found += guarded(f"official {kind.name}", compare, f"list {number}")
    return found


def theorems(loss: Port) -> list[Case]:
    r"""Both theorems, read off the gradient.

    .. math:: \sum_{j \in \mathcal N} \frac{\partial \mathcal L}{\partial s_j}
              = \frac1{|\mathcal P|} \sum_{ij} L_{ij} = \mathcal L \quad (\mathcal E_{loc} = 0), \qquad
              \sum_{i \in \mathcal P} \Big| \frac{\partial \mathcal L}{\partial s_i} \Big|
              = \sum_{j \in \mathcal N} \Big| \frac{\partial \mathcal L}{\partial s_j} \Big|

    Without localisation errors the target is 0, and the update is the primary term.
    Source: Theorems 1 and 2, Section 3.
    """
    one = draw(100_000)

    def theorem_1() -> Iterator[Case]:
        cls, _, gradient = map(np.asarray, loss(*one._replace(loc_errors=np.zeros(POSITIVES))))
        off, note = deviation(_sum(gradient[one.targets == 0]), cls)
        yield Case("", "loss, sum of primary terms", off, BOUNDS.get(gradient.dtype, 1e-12), note)

    def theorem_2() -> Iterator[Case]:
        gradient = np.asarray(loss(*one)[-1])
        positives, negatives = (_sum(np.abs(gradient[one.targets == label])) for label in (1, 0))
        off, note = deviation(negatives, positives)
        yield Case("", "sums of positives, negatives", off, BOUNDS.get(gradient.dtype, 1e-12), note)

    return guarded("Theorem 1: sum of primary terms", theorem_1) + guarded("Theorem 2: balance", theorem_2)


def _sum(x: Array) -> np.float64:
    return x.sum(dtype=np.float64)
