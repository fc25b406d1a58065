"""Checks of what the losses are given: each message names the argument, what it got, and what it should be."""

import math
from collections.abc import Callable

import torch
from torch import Tensor


def examples(logits: Tensor, targets: Tensor, delta: float, validate: bool) -> None:
    """Raise ValueError unless logits (n,), targets (n,) in {1, 0, -1} and delta > 0 fit together."""
    _tensor("logits", logits)
    _tensor("targets", targets)
    if not logits.is_floating_point():
        raise ValueError(f"logits must be floating point, got {logits.dtype}")
    if logits.ndim != 1:
        raise ValueError(f"logits must have shape (n,), got {tuple(logits.shape)}: flatten all examples into one list")
    if targets.shape != logits.shape:
        raise ValueError(f"targets must have the shape of logits, {tuple(logits.shape)}, got {tuple(targets.shape)}")
    if targets.is_floating_point() or targets.is_complex():
        raise ValueError(f"targets must be integers (1 positive, 0 negative, -1 ignored), got {targets.dtype}")
    _same_device("targets", targets, logits)
    if not (isinstance(delta, int | float) and math.isfinite(delta) and delta > 0):
        raise ValueError(f"delta must be a finite number above 0, got {delta!r}")
    _values("logits", logits, torch.isfinite, "be finite", validate)
    least = -1 if targets.dtype.is_signed else 0  # -1 would wrap around in an unsigned comparison
    rule = "be 1 (positive), 0 (negative) or -1 (ignored)"
    _values("targets", targets, lambda t: (t >= least) & (t <= 1), rule, validate)


def localisation_errors(loc_errors: Tensor, logits: Tensor, num_positives: int, validate: bool) -> None:
    """Raise ValueError unless loc_errors (|P|,) holds one finite, non-negative error for each positive."""
    _tensor("loc_errors", loc_errors)
    if not loc_errors.is_floating_point():
        raise ValueError(f"loc_errors must be floating point, got {loc_errors.dtype}")
    if loc_errors.shape != (num_positives,):
        raise ValueError(
            f"loc_errors must hold one error for each of the {num_positives} positives in targets, "
            f"in their order, got shape {tuple(loc_errors.shape)}"
        )
    _same_device("loc_errors", loc_errors, logits)
    _values("loc_errors", loc_errors, lambda e: torch.isfinite(e) & (e >= 0), "be finite and not negative", validate)


def boxes(name: str, box: Tensor) -> None:
    """Raise ValueError unless `box` is a floating point tensor of shape (n, 4)."""
    _tensor(name, box)
    if not box.is_floating_point() or box.ndim != 2 or box.shape[1] != 4:
        raise ValueError(f"{name} must be floating point boxes (n, 4), x1 y1 x2 y2, got {tuple(box.shape)} {box.dtype}")


def zero(x: Tensor) -> Tensor:
    """A zero that is still connected to `x`, so that `backward()` gives zeros instead of an error."""
    return (x.to(torch.promote_types(x.dtype, torch.float32)) * 0).sum()


def _tensor(name: str, value: object) -> None:
    if not isinstance(value, Tensor):
        raise ValueError(f"{name} must be a torch.Tensor, got {type(value).__name__}")


def _same_device(name: str, tensor: Tensor, logits: Tensor) -> None:
    if tensor.device != logits.device:
        raise ValueError(f"{name} must be on the device of logits, {logits.device}, got {tensor.device}")


def _values(name: str, tensor: Tensor, allowed: Callable[[Tensor], Tensor], rule: str, validate: bool) -> None:
    ok = allowed(tensor.detach())
    if tensor.device.type == "cuda" and not validate:
        # The host must not wait for the device: the assertion fails there, at some later call.
        torch._assert_async(ok.all(), f"{name} must {rule} (validate=True says which value is not)")
    elif not bool(ok.all()):
        where = int((~ok).nonzero()[0])
        count = int((~ok).sum())
        wrong = f"{tensor[where]:g} at position {where} ({count} such of {ok.numel()})"
        raise ValueError(f"{name} must {rule}, got {wrong}")
