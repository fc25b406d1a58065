"""Checks of what the losses are given: each message names the argument, what it got, and what it should be.

Beside them, what all losses compute in, and what they return where there is nothing to rank.
"""

import math

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
    largest = torch.finfo(logits.dtype).max
    _values("logits", logits, -largest, largest, "be finite", validate)
    least = -1 if targets.dtype.is_signed else 0  # -1 would wrap around in an unsigned comparison
    _values("targets", targets, least, 1, "be 1 (positive), 0 (negative) or -1 (ignored)", validate)


def localisation_errors(loc_errors: Tensor, logits: Tensor, targets: Tensor, validate: bool) -> None:
    """Raise ValueError unless loc_errors (|P|,) holds one finite, non-negative error for each positive."""
    _tensor("loc_errors", loc_errors)
    if not loc_errors.is_floating_point():
        raise ValueError(f"loc_errors must be floating point, got {loc_errors.dtype}")
    num_positives = (targets == 1).sum()
    right = loc_errors.ndim == 1 and num_positives == loc_errors.numel()
    if isinstance(right, Tensor) and _must_not_wait(targets, validate):
        torch._assert_async(right, "loc_errors must hold one error for each positive in targets")
    elif not right:
        raise ValueError(
            f"loc_errors must hold one error for each of the {int(num_positives)} positives in targets, "
            f"in their order, got shape {tuple(loc_errors.shape)}"
        )
    _same_device("loc_errors", loc_errors, logits)
    largest = torch.finfo(loc_errors.dtype).max
    _values("loc_errors", loc_errors, 0, largest, "be finite and not negative", validate)


def boxes(name: str, box: Tensor) -> None:
    """Raise ValueError unless `box` is a floating point tensor of shape (n, 4)."""
    _tensor(name, box)
    if not box.is_floating_point() or box.ndim != 2 or box.shape[1] != 4:
        raise ValueError(f"{name} must be floating point boxes (n, 4), x1 y1 x2 y2, got {tuple(box.shape)} {box.dtype}")


def exact_dtype(device: torch.device) -> torch.dtype:
    """The dtype of suffix sums, whose differences lose digits: float64, wherever the device has it."""
    return torch.float32 if device.type == "mps" else torch.float64


def zero(x: Tensor) -> Tensor:
    """A zero that is still connected to `x`, so that `backward()` gives zeros instead of an error."""
    return (x.to(torch.promote_types(x.dtype, torch.float32)) * 0).sum()


def _tensor(name: str, value: object) -> None:
    if not isinstance(value, Tensor):
        raise ValueError(f"{name} must be a torch.Tensor, got {type(value).__name__}")


def _same_device(name: str, tensor: Tensor, logits: Tensor) -> None:
    if tensor.device != logits.device:
        raise ValueError(f"{name} must be on the device of logits, {logits.device}, got {tensor.device}")


def _must_not_wait(tensor: Tensor, validate: bool) -> bool:
    """On a GPU the host does not wait for the outcome of a check, which fails there at some later call."""
    return tensor.device.type == "cuda" and not validate


def _values(name: str, tensor: Tensor, low: float, high: float, rule: str, validate: bool) -> None:
    if tensor.numel() == 0:
        return
    least, greatest = tensor.detach().aminmax()  # both NaN if any value is
    ok = (least >= low) & (greatest <= high)
    if _must_not_wait(tensor, validate):
        torch._assert_async(ok, f"{name} must {rule} (validate=True says which value is not)")
    elif not ok:
        wrong = ~((tensor >= low) & (tensor <= high))
        where = int(wrong.nonzero()[0])
        found = f"{tensor[where]:g} at position {where} ({int(wrong.sum())} such of {wrong.numel()})"
        raise ValueError(f"{name} must {rule}, got {found}")
