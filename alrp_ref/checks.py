"""Checks of what the losses are given: each message names the argument, what it got, and what it should be."""

import math
import sys
import warnings
from typing import NamedTuple

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import is_fake

OURS = ("alrp_ref", "torch", "contextlib", "numpy")
ENOUGH = 16
"""With fewer logits, or fewer anchors, a list may look strange by chance, and there is no warning."""


class Numbers(NamedTuple):
    """What a loss is given for each positive: its name there, the least value and the greatest."""

    name: str
    least: float
    greatest: float


def arguments(
    logits: Tensor,
    targets: Tensor,
    delta: float,
    numbers: Tensor | None,
    of_numbers: Numbers | None,
    num_positives: int | None,
    rank_scope: str,
) -> None:
    """Raise ValueError unless types, dtypes, shapes and devices fit together; no value of a tensor is read.

    logits (n,), targets (n,), delta > 0, the numbers (|P|,) if the loss has some, num_positives a number or None.
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
    if isinstance(delta, bool) or not (isinstance(delta, (int, float)) and 0 < delta < math.inf):
        raise ValueError(f"delta must be a finite number above 0, got {delta!r}")
    if rank_scope not in ("process", "global"):
        raise ValueError(f'rank_scope must be "process" or "global", got {rank_scope!r}')
    if num_positives is not None and (
        isinstance(num_positives, bool) or not isinstance(num_positives, (int, torch.SymInt)) or num_positives < 0
    ):
        raise ValueError(f"num_positives must be a number of positives or None, got {num_positives!r}")
    if of_numbers is None:
        return
    tensor(of_numbers.name, numbers)
    if not numbers.is_floating_point():
        raise ValueError(f"{of_numbers.name} must be floating point, got {numbers.dtype}")
    if numbers.ndim != 1:
        raise _not_one_each(of_numbers, numbers, "the positives")
    _same_device(of_numbers.name, numbers, logits)


def values(
    logits: Tensor,
    targets: Tensor,
    numbers: Tensor | None,
    of_numbers: Numbers | None,
    num_positives: int | None,
    validate: bool,
) -> Tensor | None:
    """Raise ValueError unless the values are what they should be, and warn of those that are hardly meant.

    Logits are finite, or -inf where ignored; targets are 1, 0 or -1; there is one number for each positive, within its
    bounds; num_positives is the number of positives.

    Returns: None, but on a GPU without `validate`, where the host does not wait for values, whether any is wrong, a
        boolean scalar.
    """
    wait = validate or not is_asynchronous(logits)
    largest = torch.finfo(logits.dtype).max
    ranked = _without_padding(logits, targets, wait)
    rule = "be finite; an example that is not to be ranked has the target -1 (ignored)"
    wrong = [_wrong_values("logits", ranked, -largest, largest, rule, wait)]
    least = -1 if targets.dtype.is_signed else 0  # -1 would wrap around in an unsigned comparison
    wrong += [_wrong_values("targets", targets, least, 1, "be 1 (positive), 0 (negative) or -1 (ignored)", wait)]
    found = (targets == 1).sum()
    found = int(found) if wait else found
    if num_positives is not None:
        wrong += [found != num_positives]
        if wait and wrong[-1]:
            raise ValueError(f"num_positives must be the {found} positives in targets, got {num_positives}")
    if of_numbers is not None:
        wrong += [found != numbers.numel()]
        if wait and wrong[-1]:
            raise _not_one_each(of_numbers, numbers, f"the {found} positives")
        is_open = math.isinf(of_numbers.greatest)
        rule = "be finite and not negative" if is_open else f"be in [{of_numbers.least}, {of_numbers.greatest}]"
        greatest = torch.finfo(numbers.dtype).max if is_open else of_numbers.greatest
        wrong += [_wrong_values(of_numbers.name, numbers, of_numbers.least, greatest, rule, wait)]
    if not wait:
        return torch.stack(wrong).any()
    warn_of_probabilities(ranked)
    return None


def _not_one_each(of_numbers: Numbers, numbers: Tensor, positives: str) -> ValueError:
    return ValueError(
        f"{of_numbers.name} must hold one number for each of {positives} in targets, in their order, "
        f"got shape {tuple(numbers.shape)}"
    )


def warn_of_probabilities(logits: Tensor) -> None:
    """Scores between 0 and 1, of which some are far apart, are hardly logits."""
    # A look at one logit spares most lists, of millions, another pass.
    if logits.numel() < ENOUGH or not 0 <= logits.detach()[(0,) * logits.ndim] <= 1:
        return
    least, greatest = logits.detach().aminmax()
    if least >= 0 and greatest <= 1 and greatest - least > 0.5:
        warn("all logits lie in [0, 1]: give the scores before the sigmoid, not probabilities")


def warn(text: str) -> None:
    """Warn, and show the line that is neither of this package nor of torch, nor of Python's decorators."""
    frame, level = sys._getframe(1), 2
    while frame.f_back and frame.f_globals.get("__name__", "").partition(".")[0] in OURS:
        frame, level = frame.f_back, level + 1
    warnings.warn(text, stacklevel=level)


def _without_padding(logits: Tensor, targets: Tensor, wait: bool) -> Tensor:
    """The logits with 0 for each ignored -inf, which is how padding is masked. Without any such, no copy if we wait."""
    logits = logits.detach()
    if wait and not (logits.numel() > 0 and logits.amin().item() == -torch.inf):
        return logits
    return logits.masked_fill((logits == -torch.inf) & (targets == -1), 0)


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
    if is_asynchronous(logits) or logits.numel() == 0:
        return
    rule = f"be 0 to {logits.shape[-1] - 1} (class of a positive), -1 (negative) or -2 (ignored)"
    _wrong_values("labels", labels.flatten(), -2, logits.shape[-1] - 1, rule, wait=True)
    warn_of_probabilities(logits)
    if not (labels == -1).any() and (positives := labels >= 0).sum() >= ENOUGH:
        or_ignored = "" if positives.all() else " or ignored"
        warn(
            f"every anchor is positive{or_ignored}: labels are classes from 0 on, and -1 is a negative; where 0 is the "
            "background, give labels - 1"
        )


def target_boxes(box: Tensor, box_format: str) -> Tensor | None:
    """Raise ValueError if a side of a box is negative. On a GPU, instead: which boxes these are, (n,)."""
    size = box[:, 2:] - box[:, :2] if box_format == "xyxy" else box[:, 2:]
    is_wrong = (size < 0).any(dim=1)
    if is_asynchronous(box):
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


def tensor(name: str, value: object) -> None:
    if not isinstance(value, Tensor):
        levels = ": alrp_ref.batch.flatten_levels makes one of levels (B, A C, H, W)" * (type(value) in (list, tuple))
        raise ValueError(f"{name} must be a torch.Tensor, got {type(value).__name__}{levels}")


def _same_device(name: str, tensor: Tensor, logits: Tensor) -> None:
    if tensor.device != logits.device:
        raise ValueError(f"{name} must be on the device of logits, {logits.device}, got {tensor.device}")


def is_asynchronous(tensor: Tensor) -> bool:
    """Whether the host should not read a value: on a GPU it would wait, and in `torch.compile` break the graph."""
    return tensor.device.type == "cuda" or torch.compiler.is_compiling() or is_fake(tensor)


def _wrong_values(name: str, tensor: Tensor, low: float, high: float, rule: str, wait: bool) -> Tensor | None:
    """Raise ValueError if a value is below `low`, above `high` or NaN. Without `wait`, instead: whether one is."""
    if tensor.numel() == 0:
        return tensor.new_zeros((), dtype=torch.bool)
    least, greatest = tensor.detach().aminmax()  # both NaN if any value is
    if not wait:
        return ~((least >= low) & (greatest <= high))
    if not (least.item() >= low and greatest.item() <= high):
        wrong = ~((tensor >= low) & (tensor <= high))
        where = int(wrong.nonzero()[0])
        found = f"{tensor[where]:g} at position {where} ({int(wrong.sum())} such of {wrong.numel()})"
        raise ValueError(f"{name} must {rule}, got {found}")
    return None
