"""Is a detector's criterion called as the paper means it? A tiny batch in, losses and gradients out.

Ports copy the loss word for word and go wrong where they call it. `verify` looks at the loss, `verify_criterion` at the
call: one list for the batch, all anchors in it, errors in the order of the positives, one step of the self-balance.
"""

import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from alrp_ref.batch import IGNORED, NEGATIVE, FlatBatch, flatten_batch
from alrp_ref.losses import alrp_loss
from alrp_ref.paper.localisation import giou_error, iou_error
from alrp_ref.verification.report import Case, Verification, deviation, wrapped
from alrp_ref.verification.self_balance import weights

LEVELS = (10, 6)
"""Anchors of an image on each level of the batch."""
CLASSES = 3
BOUND = 1e-5
CALLS = 3  # epochs of the self-balance, of `period` calls each


class Batch(NamedTuple):
    """Two images: logits (B, N, C), labels (B, N), predicted and true boxes (B, N, 4), corners in pixels, float64."""

    logits: Tensor
    labels: Tensor
    boxes: Tensor
    target_boxes: Tensor


class Losses(NamedTuple):
    """Both parts, the gradient of their sum on the logits, and that of `loc` on the boxes."""

    cls: Tensor
    loc: Tensor
    on_logits: Tensor
    on_boxes: Tensor


def verify_criterion(
    criterion: Callable[..., Any],
    *,
    levels: bool = False,
    encode: Callable[[Tensor], Tensor] | None = None,
    period: int | None = None,
) -> Verification:
    """Compare a criterion with aLRP Loss over one list of a tiny batch, and say what is wrong in its call.

    Args:
        criterion: called as ``criterion(logits, labels, boxes, target_boxes)``, with (B, N, C), (B, N), (B, N, 4) and
            (B, N, 4): scores before the sigmoid; labels 0 to 2, -1 negative, -2 ignored; boxes as corners, one for
            each anchor. Returns the two parts of the loss, `loc` with its weight: a pair, or a dictionary whose names
            contain "cls" and "loc", or else "box".
        levels: give it lists of two levels instead, (B, 10, ...) and (B, 6, ...).
        encode: how your detector writes boxes, (B, N, 4) -> (B, N, 4); both boxes are given so.
        period: the number of calls after which its self-balance renews the weight; None does not look at it.

    Returns: the report. `explanation` has a sentence for each finding.
    """
    name = getattr(criterion, "__name__", type(criterion).__name__)
    report = Verification(f"a criterion: {name}")
    batch = tiny_batch()
    call = _caller(criterion, levels, encode)
    got, right = call(batch), expected(batch)
    scale = got.loc / right.loc  # the weight of the boxes, which may be any
    pairs = {
        "cls": (got.cls, right.cls),
        "gradient of the logits": (got.on_logits, right.on_logits),
        "gradient of the boxes": (got.on_boxes, scale * right.on_boxes),
    }
    for part, (found, wanted) in pairs.items():
        off, note = deviation(found, wanted)
        report.cases.append(Case("one call", part, off, BOUND, note))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the probabilities that are tried in there
        report.explanation += [line for text in _findings(batch, got, right, encode) for line in wrapped(text)]
    if period is not None and all(case.passed for case in report.cases):
        case, lines = _balance(call, batch, right, period, float(scale))
        report.cases.append(case)
        report.explanation += lines
    return report


def tiny_batch() -> Batch:
    """Positives of all classes on both levels and in both images, and two ignored anchors in each image."""
    generator, count = torch.Generator().manual_seed(0), sum(LEVELS)

    def random(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=generator, dtype=torch.float64)

    labels = torch.full((2, count), NEGATIVE)
    labels[0, [1, 4, 12]], labels[1, [0, 7, 11, 14]] = torch.tensor([2, 0, 1]), torch.tensor([1, 2, 0, 2])
    labels[:, [3, 15]] = IGNORED
    corner, size = 200 * random(2, count, 2), 20 + 60 * random(2, count, 2)
    target_boxes = torch.cat([corner, corner + size], dim=-1)
    boxes = target_boxes + 12 * (random(2, count, 4) - 0.5)
    return Batch(4 * random(2, count, CLASSES) - 2, labels, boxes, target_boxes)


def losses(parts: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]], batch: Batch) -> Losses:
    """The losses that a function of logits and boxes computes, and their gradients."""
    logits, boxes = (x.clone().requires_grad_() for x in (batch.logits, batch.boxes))
    cls, loc = parts(logits, boxes)
    if (cls + loc).requires_grad:
        (cls + loc).backward()
    zero = (x.grad if x.grad is not None else torch.zeros_like(x) for x in (logits, boxes))
    return Losses(cls.detach(), loc.detach(), *zero)


def expected(batch: Batch, change: Callable[[FlatBatch, Batch], FlatBatch] = lambda flat, batch: flat) -> Losses:
    """aLRP Loss of the one list, or of what `change` makes of it; `loc` has no weight."""

    def parts(logits: Tensor, boxes: Tensor) -> tuple[Tensor, Tensor]:
        flat = flatten_batch(logits, batch.labels, boxes, batch.target_boxes)
        return alrp_loss(*change(flat, batch))[:2]

    return losses(parts, batch)


def _caller(criterion: Callable[..., Any], levels: bool, encode: Callable | None) -> Callable[[Batch], Losses]:
    def call(batch: Batch) -> Losses:
        def parts(logits: Tensor, boxes: Tensor) -> tuple[Tensor, Tensor]:
            given = [logits, batch.labels, *(encode(x) if encode else x for x in (boxes, batch.target_boxes))]
            if levels:
                given = [list(x.split(LEVELS, dim=1)) for x in given]
            return _two(criterion(*given))

        return losses(parts, batch)

    return call


def _two(result: Any) -> tuple[Tensor, Tensor]:
    if isinstance(result, dict):
        found = [
            [v for k, v in result.items() if any(word in k for word in words)] for words in (("cls",), ("loc", "box"))
        ]
        result = [part[0] for part in found if part]
    if not isinstance(result, Sequence) or len(result) < 2:
        raise ValueError("the criterion must return the two parts of its loss, a pair or a dictionary with cls and loc")
    return torch.as_tensor(result[0]).double().sum(), torch.as_tensor(result[1]).double().sum()


def _findings(batch: Batch, got: Losses, right: Losses, encode: Callable | None) -> Iterator[str]:
    """Sentences on what is wrong: the usual mistake that agrees with most of what was found."""
    agreed = _agreement(got, right)
    if agreed == 3:
        return
    if not got.on_logits.any():
        yield "The logits get no gradient: there is no positive in the list (are the targets soft?), or it is cut off."
        return
    candidates = list(_mistakes(batch, encode))
    best = max(candidates, key=lambda one: _agreement(got, one[1]))
    if _agreement(got, best[1]) > agreed:
        yield f"It is as if {best[0]}."
    if not got.on_boxes.any():
        yield "The boxes get no gradient: do not detach their errors."
    factor = float(got.cls / right.cls)
    if abs(factor - 1) > BOUND and deviation(got.on_logits, factor * right.on_logits)[0] <= BOUND:
        yield f"cls and its gradient are {factor:.4g} times what they should be: nothing is to be divided or summed."


def _agreement(got: Losses, wanted: Losses) -> int:
    """How many agree: `cls`, the gradient of the logits, and that of the boxes up to the weight."""
    scale = got.loc / wanted.loc
    pairs = (got.cls, wanted.cls), (got.on_logits, wanted.on_logits), (got.on_boxes, scale * wanted.on_boxes)
    return sum(deviation(found, right)[0] <= BOUND for found, right in pairs)


def _mistakes(batch: Batch, encode: Callable | None) -> Iterator[tuple[str, Losses]]:
    """Sentences, and the losses of a criterion that is called so."""
    image, anchor, klass = torch.meshgrid(*map(torch.arange, batch.logits.shape), indexing="ij")
    level = (anchor >= LEVELS[0]).long()
    for name, group in {"image": image, "level": level, "class": klass, "image and level": 2 * image + level}.items():
        for how in ("mean", "sum"):
            text = f"each {name} had a list of its own (the {how} of their losses): all logits of a batch are in one"
            yield text, _of_groups(batch, group.flatten(), how)
    for text, change in CHANGES.items():
        yield text, expected(batch, change)
    keys = {
        "level, image and anchor": level * 100 + image,
        "class, image and anchor": klass,
        "anchor and image": anchor,
    }
    for order, key in keys.items():
        yield (
            f"the errors were in the order of {order}: they belong to the positives of the logits",
            expected(
                batch, lambda flat, _, key=key: _reordered(flat, key.flatten()[flat.targets == 1].argsort(stable=True))
            ),
        )
    shifted = batch._replace(labels=torch.where(batch.labels > 0, batch.labels - 1, batch.labels.clamp(max=-1)))
    yield "the label 0 meant the background: classes begin with 0 here", expected(shifted)
    yield (
        "the scores were probabilities: give logits",
        losses(lambda logits, boxes: _of_lists(batch, logits.sigmoid(), boxes), batch),
    )
    forms = {"boxes were read as centre and size: they are corners": {"box_format": "cxcywh"}}
    forms |= {
        "the errors were (1 - IoU) / (1 - .5): the release takes 1 - GIoU": {"loc_error": iou_error},
        "the errors were 1 - IoU: the release takes 1 - GIoU": {"loc_error": lambda a, b: iou_error(a, b, tau=0.0)},
    }
    if encode is not None:
        forms["the errors were of the encoded boxes: decode both"] = {"encode": encode}
    for text, options in forms.items():
        yield text, losses(lambda logits, boxes, o=options: _of_lists(batch, logits, boxes, **o), batch)


def _of_lists(
    batch: Batch, logits: Tensor, boxes: Tensor, encode: Callable[[Tensor], Tensor] = lambda x: x, **options: Any
) -> tuple[Tensor, Tensor]:
    """The parts for other logits or boxes, which need not be boxes any more."""
    error = options.get("loc_error", giou_error)
    if options.get("box_format") == "cxcywh":

        def encode(x: Tensor) -> Tensor:
            return torch.cat([x[..., :2] - x[..., 2:] / 2, x[..., :2] + x[..., 2:] / 2], dim=-1)

    positives = batch.labels >= 0
    errors = error(encode(boxes)[positives], encode(batch.target_boxes)[positives])
    flat = flatten_batch(logits.detach(), batch.labels, batch.boxes, batch.target_boxes)
    return alrp_loss(logits.flatten(), flat.targets, errors.clamp(min=0))[:2]


def _of_groups(batch: Batch, group: Tensor, how: str) -> Losses:
    def parts(logits: Tensor, boxes: Tensor) -> tuple[Tensor, Tensor]:
        flat = flatten_batch(logits, batch.labels, boxes, batch.target_boxes)
        found = []
        for one in group.unique():
            own = group == one
            found.append(alrp_loss(flat.logits[own], flat.targets[own], flat.loc_errors[own[flat.targets == 1]])[:2])
        cls, loc = (torch.stack(part).sum() / (len(found) if how == "mean" else 1) for part in zip(*found, strict=True))
        return cls, loc

    return losses(parts, batch)


def _reordered(flat: FlatBatch, order: Tensor) -> FlatBatch:
    return flat._replace(loc_errors=flat.loc_errors[order])


def _ignoring(where: Callable[[FlatBatch, Batch], Tensor]) -> Callable[[FlatBatch, Batch], FlatBatch]:
    return lambda flat, batch: flat._replace(targets=torch.where(where(flat, batch), -1, flat.targets))


def _of_positive_anchors(batch: Batch) -> Tensor:
    return (batch.labels >= 0)[..., None].expand(batch.logits.shape).flatten()


CHANGES: dict[str, Callable[[FlatBatch, Batch], FlatBatch]] = {
    "only the logits of positive anchors were ranked: the negatives are all other anchors, too": _ignoring(
        lambda flat, batch: ~_of_positive_anchors(batch)
    ),
    "the other classes of a positive anchor were missing among the negatives": _ignoring(
        lambda flat, batch: _of_positive_anchors(batch) & (flat.targets == 0)
    ),
    "ignored anchors were negatives": lambda flat, batch: flat._replace(targets=flat.targets.clamp(min=0)),
    "the errors were in the order of the scores: they belong to the positives of the logits": lambda flat, batch: (
        _reordered(flat, flat.logits[flat.targets == 1].argsort(descending=True))
    ),
    "the errors were in the reverse order": lambda flat, batch: flat._replace(loc_errors=flat.loc_errors.flip(0)),
}


def _balance(
    call: Callable[[Batch], Losses], batch: Batch, right: Losses, period: int, first: float
) -> tuple[Case, list[str]]:
    """The weights of `loc` in calls with the same batch, of which the one with the weight `first` was made before."""
    steps = 1 + CALLS * period
    got = [first, *(float(call(batch).loc / right.loc) for _ in range(CALLS * period))]
    wanted = weights(right.cls.expand(steps).numpy(), right.loc.expand(steps).numpy(), period)
    wanted[: period - 1] = first  # it may begin with any weight
    off, note = deviation(got, wanted)
    case = Case(f"{steps} calls", "weight of the self-balance", off, BOUND, note)
    if case.passed:
        return case, []
    renewed = next((f"in call {n}" for n, weight in enumerate(got, 1) if abs(weight - first) > BOUND * first), "never")
    text = f"The weight of the boxes is renewed {renewed} for the first time, and should be in call {period}: "
    return case, wrapped(text + "a step is the whole batch, once, in training mode, with gradients.")
