"""Checks of what the losses are given: each message names the argument, what it got, and what it should be.

Beside them, what all losses compute in, and what they return where there is nothing to rank.
"""

import math
import warnings

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import is_fake


def loss_input(
    logits: Tensor,
    targets: Tensor,
    delta: float,
    loc_errors: Tensor | None = None,
    *,
    num_positives: int | None = None,
    validate: bool = False,
) -> Tensor | None:
    """Raise ValueError unless these fit together.

    logits (n,) finite, or -inf where ignored, targets (n,) in {1, 0, -1}, delta > 0, loc_errors (|P|,) finite and not
    negative, one for each positive, num_positives the number of positives.

    Returns: None, but on a GPU without `validate`, where the host does not wait for values, whether any is wrong: a
        boolean scalar, for `nan_if`. Shapes, dtypes and devices raise there, too.
    """
    tensor("logits", logits)
    tensor("targets", targets)
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
    wait = validate or not _is_asynchronous(logits)
    largest = torch.finfo(logits.dtype).max
    ranked = _without_padding(logits, targets, wait)
    wrong = [_wrong_values("logits", ranked, -largest, largest, "be finite", wait)]
    least = -1 if targets.dtype.is_signed else 0  # -1 would wrap around in an unsigned comparison
    wrong += [_wrong_values("targets", targets, least, 1, "be 1 (positive), 0 (negative) or -1 (ignored)", wait)]
    if num_positives is not None:
        wrong.append(_wrong_number(num_positives, targets, wait))
    if loc_errors is not None:
        wrong += _wrong_errors(loc_errors, logits, targets, wait)
    return None if wait else torch.stack(wrong).any()


def _wrong_number(num_positives: int, targets: Tensor, wait: bool) -> Tensor:
    found = (targets == 1).sum()
    if isinstance(num_positives, bool) or not isinstance(num_positives, int | torch.SymInt) or num_positives < 0:
        raise ValueError(f"num_positives must be a number of positives or None, got {num_positives!r}")
    is_wrong = found != num_positives
    if wait and is_wrong:
        raise ValueError(f"num_positives must be the {int(found)} positives in targets, got {num_positives}")
    return is_wrong


def _wrong_errors(loc_errors: Tensor, logits: Tensor, targets: Tensor, wait: bool) -> list[Tensor]:
    tensor("loc_errors", loc_errors)
    if not loc_errors.is_floating_point():
        raise ValueError(f"loc_errors must be floating point, got {loc_errors.dtype}")
    num_positives = (targets == 1).sum()
    is_wrong = num_positives != loc_errors.numel()
    if loc_errors.ndim != 1 or (wait and is_wrong):
        number = f"the {int(num_positives)} positives" if wait else "the positives"
        raise ValueError(
            f"loc_errors must hold one error for each of {number} in targets, in their order, "
            f"got shape {tuple(loc_errors.shape)}"
        )
    _same_device("loc_errors", loc_errors, logits)
    largest = torch.finfo(loc_errors.dtype).max
    return [is_wrong, _wrong_values("loc_errors", loc_errors, 0, largest, "be finite and not negative", wait)]


def _without_padding(logits: Tensor, targets: Tensor, wait: bool) -> Tensor:
    """The logits with 0 for each ignored -inf, which is how padding is masked. Without any such, no copy if we wait."""
    logits = logits.detach()
    if wait and not (logits.numel() > 0 and logits.amin() == -torch.inf):
        return logits
    return logits.masked_fill((logits == -torch.inf) & (targets == -1), 0)


def nan_if(wrong: Tensor | None, loss: Tensor) -> Tensor:
    """The loss, or NaN with a gradient of NaN where `loss_input` found a wrong value on a GPU.

    A loss of NaN is what a training loop looks for, whenever it next reads the loss. An assertion on the GPU would
    leave no device to go on with.
    """
    return loss if wrong is None else loss * torch.where(wrong, torch.nan, 1.0).to(loss.dtype)


def labelled_batch(logits: Tensor, labels: Tensor) -> None:
    """Raise ValueError unless logits (B, N, C) and labels (B, N), from -2 to C - 1, fit together.

    Values are not read on a GPU.
    """
    tensor("logits", logits)
    tensor("labels", labels)
    if not logits.is_floating_point() or logits.ndim != 3:
        raise ValueError(f"logits must be floating point (B, N, C), got {tuple(logits.shape)} {logits.dtype}")
    if labels.shape != logits.shape[:2]:
        raise ValueError(f"labels must have the B, N of logits, {tuple(logits.shape[:2])}, got {tuple(labels.shape)}")
    if labels.is_floating_point() or labels.is_complex() or not labels.dtype.is_signed:
        raise ValueError(f"labels must be signed integers, as -1 is a negative, got {labels.dtype}")
    _same_device("labels", labels, logits)
    if _is_asynchronous(logits) or logits.numel() == 0:
        return
    rule = f"be 0 to {logits.shape[-1] - 1} (class of a positive), -1 (negative) or -2 (ignored)"
    _wrong_values("labels", labels.flatten(), -2, logits.shape[-1] - 1, rule, wait=True)
    least, greatest = logits.detach().aminmax()
    if 0 <= least < greatest <= 1:
        warnings.warn("all logits lie in [0, 1]: give the scores before the sigmoid, not probabilities", stacklevel=4)


def target_boxes(box: Tensor, box_format: str) -> Tensor | None:
    """Raise ValueError if a side of a box is negative. On a GPU, instead: which boxes these are, (n,)."""
    size = box[:, 2:] - box[:, :2] if box_format == "xyxy" else box[:, 2:]
    is_wrong = (size < 0).any(dim=1)
    if _is_asynchronous(box):
        return is_wrong
    if is_wrong.any():
        first = int(is_wrong.nonzero()[0])
        raise ValueError(
            f"target_boxes must have sides of 0 or more, got {box[first].tolist()} for positive {first} "
            f'({int(is_wrong.sum())} such of {len(box)}); box_format is "{box_format}"'
        )
    return None


def boxes(name: str, box: Tensor) -> None:
    """Raise ValueError unless `box` is a floating point tensor of shape (n, 4)."""
    tensor(name, box)
    if not box.is_floating_point() or box.ndim != 2 or box.shape[1] != 4:
        raise ValueError(f"{name} must be floating point boxes (n, 4), x1 y1 x2 y2, got {tuple(box.shape)} {box.dtype}")


def exact_dtype(device: torch.device) -> torch.dtype:
    """The dtype of suffix sums, whose differences lose digits: float64, wherever the device has it."""
    return torch.float32 if device.type == "mps" else torch.float64


def has_nonzero_static(device: torch.device) -> bool:
    """Whether a known number of positives is found without waiting. Apple's GPUs cannot in torch 2.11."""
    return device.type != "mps"


def zero(x: Tensor) -> Tensor:
    """A zero that is still connected to `x`, (n,), so that `backward()` gives zeros instead of an error."""
    return x[:0].to(torch.promote_types(x.dtype, torch.float32)).sum()  # nothing of x is in it, an ignored -inf neither


def tensor(name: str, value: object) -> None:
    if not isinstance(value, Tensor):
        raise ValueError(f"{name} must be a torch.Tensor, got {type(value).__name__}")


def _same_device(name: str, tensor: Tensor, logits: Tensor) -> None:
    if tensor.device != logits.device:
        raise ValueError(f"{name} must be on the device of logits, {logits.device}, got {tensor.device}")


def _is_asynchronous(tensor: Tensor) -> bool:
    """Whether the host should not read a value: on a GPU it would wait, and in `torch.compile` break the graph."""
    # Inside a loss, which is one node of the graph, torch before 2.12 says that it is not compiling.
    return tensor.device.type == "cuda" or torch.compiler.is_compiling() or is_fake(tensor)


def _wrong_values(name: str, tensor: Tensor, low: float, high: float, rule: str, wait: bool) -> Tensor:
    if tensor.numel() == 0:
        return tensor.new_zeros((), dtype=torch.bool)
    least, greatest = tensor.detach().aminmax()  # both NaN if any value is
    is_wrong = ~((least >= low) & (greatest <= high))
    if wait and is_wrong:
        wrong = ~((tensor >= low) & (tensor <= high))
        where = int(wrong.nonzero()[0])
        found = f"{tensor[where]:g} at position {where} ({int(wrong.sum())} such of {wrong.numel()})"
        raise ValueError(f"{name} must {rule}, got {found}")
    return is_wrong
