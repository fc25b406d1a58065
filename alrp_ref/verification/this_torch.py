"""Verify this package itself, on a device and the torch that is installed there."""

import platform
import warnings
from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
import torch

from alrp_ref.losses import ALRPLoss, alrp_loss, ap_loss, rank_sort_loss
from alrp_ref.machine.timing import in_turn
from alrp_ref.paper.step_matrix import exact_dtype
from alrp_ref.verification.ports import (
    ALRP_PARTS,
    KINDS,
    SIZES,
    List,
    against,
    draw,
    guarded,
    judged,
    on_official_lists,
    port_of,
    theorems,
    without_numbers,
)
from alrp_ref.verification.report import Case, Verification
from alrp_ref.version import __version__

LOSS_SCALE = 65536.0
"""That with which torch's GradScaler begins."""
ROUNDING = {torch.float32: 5e-7, torch.bfloat16: 2.0**-8, torch.float16: 2.0**-10}
"""Bounds of a gradient that was rounded once, relative to the largest: a few units, or one, in the last place."""


def verify_torch(device: str = "cpu") -> Verification:
    """Compare the losses of this package, on a device, with the official numbers and with `pairwise` on the CPU.

    On "cuda", too, that the host never waits for it. On "mps", which has no float64, all is in float32.

    Raises: ValueError for a device that is not there.
    """
    _require(device)
    exact = exact_dtype(torch.device(device))
    loss = port_of(alrp_loss, device, exact)
    versions = f"alrp_ref {__version__}, torch {torch.__version__}, numpy {np.__version__}"
    report = Verification(f"aLRP Loss on {_name_of(device)}\n{versions}")
    for kind, function in (("alrp", alrp_loss), ("ap", without_numbers(ap_loss)), ("rank_sort", rank_sort_loss)):
        report.cases += on_official_lists(port_of(function, device, exact), KINDS[kind])
    for size in SIZES:
        _compare_and_time(report, f"pairwise, {size:,} logits", draw(size), device, exact)
    for dtype in (torch.float32, torch.bfloat16, torch.float16):
        name = str(dtype).removeprefix("torch.")
        scale = LOSS_SCALE if dtype == torch.float16 else 1.0
        # All scores alike, as a new head's are: their gradients are the smallest, and vanish first.
        one = _rounded(draw(SIZES[-1], spread=0.05), dtype)
        group = f"{name}, {SIZES[-1]:,}" + (", loss scale" if scale > 1 else "")
        parts = ROUNDING[torch.float32] if exact == torch.float64 else 1e-5
        _compare_and_time(report, group, one, device, dtype, scale, (parts, max(parts, ROUNDING[dtype])))
    report.cases += theorems(loss)
    report.cases += guarded("twice the same bits", partial(_twice, loss))
    if device == "cuda":
        report.cases += guarded("the host never waits", _no_wait)
    return report


def _require(device: str) -> None:
    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not there.get(device, False):
        raise ValueError(f"device must be one of {', '.join(n for n, is_there in there.items() if is_there)} here")


def _name_of(device: str) -> str:
    if device == "cuda":
        return f"cuda, {torch.cuda.get_device_name()}"
    return f"{device}, {platform.machine()}, {torch.get_num_threads()} threads"


def _rounded(one: List, dtype: torch.dtype) -> List:
    """The scores as a dtype holds them, so that its rounding of the input is not taken for an error."""
    logits = torch.from_numpy(one.logits).to(dtype).double().numpy()
    return one._replace(logits=logits, loc_errors=one.loc_errors.astype(np.float32).astype(np.float64))


def _compare_and_time(
    report: Verification,
    group: str,
    one: List,
    device: str,
    dtype: torch.dtype,
    scale: float = 1.0,
    bounds: tuple[float, float] | None = None,
) -> None:
    loss = port_of(alrp_loss, device, dtype, scale)
    cases = guarded(group, lambda: against(loss, one, judged(one), ALRP_PARTS, bounds))
    report.cases += cases
    if all(case.passed for case in cases):
        report.times[group] = _times(one, device, dtype)


def _times(one: List, device: str, dtype: torch.dtype) -> dict[str, float]:
    """Loss and gradient, in units of a sort and of a copy of the logits."""
    logits = torch.from_numpy(one.logits).to(dtype).to(device)
    targets = torch.from_numpy(one.targets).to(device)
    errors = torch.from_numpy(one.loc_errors).to(torch.promote_types(dtype, torch.float32)).to(device)
    learned = logits.clone().requires_grad_()

    def run() -> None:
        learned.grad = None
        alrp_loss(learned, targets, errors, delta=one.delta).cls.backward()

    took = in_turn({"loss": run, "sort": logits.sort, "copy": logits.clone}, rounds=3)
    return {unit: took["loss"] / took[unit] for unit in ("sort", "copy")}


def _twice(loss: Callable) -> Iterator[Case]:
    """With deterministic algorithms; without them the sums of a GPU run in any order."""
    one = draw(100_000)
    was = torch.are_deterministic_algorithms_enabled()
    warned = torch.is_deterministic_algorithms_warn_only_enabled()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.use_deterministic_algorithms(True, warn_only=True)
        try:
            first, second = loss(*one), loss(*one)
        finally:
            torch.use_deterministic_algorithms(was, warn_only=warned)
    for name, a, b in zip((*ALRP_PARTS, "gradient"), first, second, strict=True):
        yield Case("", name, float(np.abs(a - b).max()), 0.0)


def _no_wait() -> Iterator[Case]:
    """aLRP Loss with its self-balance, forward and backward; a wait raises an error."""
    one = draw(100_000)
    logits, errors = (torch.from_numpy(x).float().cuda().requires_grad_() for x in (one.logits, one.loc_errors))
    targets, criterion = torch.from_numpy(one.targets).cuda(), ALRPLoss(period=1).cuda()
    criterion(logits, targets, errors).total.backward()  # what is loaded at a first call may wait
    torch.cuda.synchronize()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch says that the mode is a prototype
        torch.cuda.set_sync_debug_mode("error")
        try:
            criterion(logits, targets, errors).total.backward()
        finally:
            torch.cuda.set_sync_debug_mode("default")
    yield Case("", "forward, backward, self-balance", 0.0, 0.0)
