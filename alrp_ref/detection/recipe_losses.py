"""The loss of a recipe: a small frozen dataclass, which holds the options of a loss and builds its criterion.

A loss is a value. It can be compared, printed, changed by `dataclasses.replace`, typed on the command line, and saved
as plain data under its name, which is that of its class. The modules that compute are in `criteria`.

A new loss is a class here with its options and its `build`, and its line in `LOSSES`.
"""

import ast
import math
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, dataclass, fields, replace
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from alrp_ref.detection.fields import check_fields

if TYPE_CHECKING:
    from types import ModuleType

    from torch import nn

    from alrp_ref.detection.boxes import BoxCoder

ABOVE_ZERO = ("delta", "first_weight", "beta", "weight")
NOT_NEGATIVE = ("self_balance_epochs", "alpha", "gamma")


def import_criteria() -> "ModuleType":
    """The modules that compute, imported when the first one is built: recipes are listed and printed without torch."""
    from alrp_ref.detection import criteria

    return criteria


class BoxLoss:
    """A loss that trains boxes; what every loss can say of itself."""

    detectors: ClassVar[tuple[str, ...]] = ("retinanet",)
    """The values of `Recipe.detector` that can be trained with it."""
    has_background: ClassVar[bool] = False
    """Whether one logit more is that of the background, and Faster R-CNN samples the examples of its stages."""
    rank_scope = "process"
    """Which examples are ranked together, see `ALRP`."""
    note = ""
    """What a reader of the losses should know."""

    def __post_init__(self) -> None:
        check_fields(self, above_zero=ABOVE_ZERO, not_negative=NOT_NEGATIVE)

    def self_balance_period(self, steps_per_epoch: int) -> int | None:
        """Steps between two updates of the self-balance weight; None if there is none, or it stays."""
        return None

    def build(self, coder: "BoxCoder", period: int | None = None, *, tau: float = 0.5) -> "nn.Module":
        """The criterion, a module that is given logits, deltas and the `Assigned` and returns a dict of losses.

        Args: `coder`, how the detector writes boxes; `period`, steps between two updates of the self-balance weight,
            None to keep the first; `tau`, the least IoU of a positive, which scales the localisation error of `ALRP`.
        """
        raise NotImplementedError

    @classmethod
    def in_words(cls) -> str:
        """For messages: the losses that are of this kind."""
        return f"one of {', '.join(name for name, loss in LOSSES.items() if issubclass(loss, cls))}"


class Loss(BoxLoss):
    """A loss that trains scores and boxes, `loss_cls` and `loss_loc`."""


@dataclass(frozen=True, kw_only=True)
class ALRP(Loss):
    """aLRP Loss with self-balance.

    Args: `delta`, half width of the step function, in logits; `loc_error`, the localisation error, see
        `alrp_ref.paper.localisation`; `loc_step`, the step function of the localisation part, see
        `alrp_ref.alrp_loss`; `first_weight` of the localisation part, that of the first epoch; `self_balance_epochs`,
        epochs between two updates of it, 0 to keep the first; `rank_scope`, which examples are ranked together: those
        of one process, as in the paper, or those of all processes ("global"), so that the loss is that of the whole
        batch.
    """

    delta: float = 1.0
    loc_error: Literal["giou", "iou"] = "giou"
    loc_step: Literal["hard", "smoothed"] = "hard"
    first_weight: float = 50.0
    self_balance_epochs: float = 1.0
    rank_scope: Literal["process", "global"] = "process"

    detectors: ClassVar[tuple[str, ...]] = ("retinanet", "faster_rcnn")

    @property
    def note(self) -> str:
        if not self.self_balance_epochs:
            return ""
        return (
            "loss_loc holds the self-balance weight, which is renewed in training: the total may rise when it is, and "
            "should. Watch the two parts instead."
        )

    def self_balance_period(self, steps_per_epoch: int) -> int | None:
        return math.ceil(self.self_balance_epochs * steps_per_epoch) or None

    def build(self, coder: "BoxCoder", period: int | None = None, *, tau: float = 0.5) -> "nn.Module":
        criteria = import_criteria()
        loss = criteria.ALRPLoss(
            period,
            initial_weight=self.first_weight,
            delta=self.delta,
            loc_step=self.loc_step,
            rank_scope=self.rank_scope,
        )
        return criteria.ALRPCriterion(loss, coder, partial(criteria.LOC_ERRORS[self.loc_error], tau=tau))


@dataclass(frozen=True, kw_only=True)
class AP(Loss):
    """AP Loss for the scores, smooth L1 for the boxes.

    Args: `delta`, half width of the step function, in logits; `beta` of smooth L1 (the release: 0.11 for FoveaBox);
        `rank_scope`, as for `ALRP`.
    """

    delta: float = 1.0
    beta: float = 1.0
    rank_scope: Literal["process", "global"] = "process"

    def build(self, coder: "BoxCoder", period: int | None = None, *, tau: float = 0.5) -> "nn.Module":
        criteria = import_criteria()
        loss = criteria.APLoss(delta=self.delta, rank_scope=self.rank_scope)
        return criteria.APCriterion(loss, coder, beta=self.beta)


@dataclass(frozen=True, kw_only=True)
class RankSort(Loss):
    """Rank & Sort Loss for the scores, GIoU errors weighted by the score for the boxes. It is not of the paper.

    Args: `delta`, half width of the step function, in logits; `weight` of the boxes, None for the release's, which is
        renewed in each step: the loss of the scores divided by that of the boxes; `rank_scope`, as for `ALRP`.
    """

    delta: float = 0.5
    weight: float | None = None
    rank_scope: Literal["process", "global"] = "process"

    def build(self, coder: "BoxCoder", period: int | None = None, *, tau: float = 0.5) -> "nn.Module":
        criteria = import_criteria()
        loss = criteria.RankSortLoss(delta=self.delta, rank_scope=self.rank_scope)
        return criteria.RankSortCriterion(loss, coder, weight=self.weight)


@dataclass(frozen=True, kw_only=True)
class Focal(Loss):
    """Focal loss for the scores, smooth L1 for the boxes; the defaults are RetinaNet's.

    Args: `alpha`, weight of the positives, 0 to 1, of the negatives 1 - `alpha`, or None for 1 of both; `gamma` of
        focal loss, 0 for cross entropy; `beta` of smooth L1; `count_images`, to divide focal loss by the number of
        positives plus that of images, and not by that of positives.
    """

    alpha: float | None = 0.25
    gamma: float = 2.0
    beta: float = 1 / 9
    count_images: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.alpha is not None and self.alpha > 1:
            raise ValueError(f"alpha must be 0 to 1 or None, got {self.alpha!r}")

    def build(self, coder: "BoxCoder", period: int | None = None, *, tau: float = 0.5) -> "nn.Module":
        return import_criteria().FocalCriterion(coder, **vars(self))


@dataclass(frozen=True, kw_only=True)
class CrossEntropy(Loss):
    """Cross entropy for the scores, the usual loss of Faster R-CNN.

    Args: `boxes`, "l1" for L1 on the four numbers of the second stage, "giou" for 10 (1 - GIoU) of its boxes.
    """

    boxes: Literal["l1", "giou"] = "l1"

    detectors: ClassVar[tuple[str, ...]] = ("faster_rcnn",)
    has_background: ClassVar[bool] = True

    def build(self, coder: "BoxCoder", period: int | None = None, *, tau: float = 0.5) -> "nn.Module":
        return import_criteria().CrossEntropyCriterion(coder, has_giou=self.boxes == "giou")


@dataclass(frozen=True, kw_only=True)
class SmoothL1(BoxLoss):
    """Smooth L1 of the deltas, mean over the 4 |P| numbers of the positives. Args: `beta`, its bend."""

    beta: float = 1.0

    def build(self, coder: "BoxCoder", period: int | None = None, *, tau: float = 0.5) -> "nn.Module":
        return import_criteria().SmoothL1Criterion(coder, beta=self.beta)


@dataclass(frozen=True, kw_only=True)
class MeanGIoU(BoxLoss):
    """The mean over the positives of the errors (1 - GIoU) that `ALRP` weights by rank."""

    def build(self, coder: "BoxCoder", period: int | None = None, *, tau: float = 0.5) -> "nn.Module":
        return import_criteria().MeanGIoUCriterion(coder)


@dataclass(frozen=True, kw_only=True)
class ScoredGIoU(BoxLoss):
    """The mean of 1 - GIoU over the positives, weighted by their scores: the boxes of `RankSort`."""

    def build(self, coder: "BoxCoder", period: int | None = None, *, tau: float = 0.5) -> "nn.Module":
        return import_criteria().ScoredGIoUCriterion(coder)


@dataclass(frozen=True, kw_only=True)
class Separate(Loss):
    """The scores trained by one loss, the boxes by another: its `loss_loc` times a constant `weight`.

    With `boxes=ALRP()` the weight of the self-balance is in `loss_loc`, and is renewed as ever.
    """

    scores: Loss
    boxes: BoxLoss
    weight: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        for loss in (self.scores, self.boxes):
            if not set(self.detectors) <= set(loss.detectors):
                raise ValueError(f"{loss} is for {' and '.join(loss.detectors)}, and Separate is not")

    @property
    def rank_scope(self) -> str:
        return "global" if "global" in (self.scores.rank_scope, self.boxes.rank_scope) else "process"

    @property
    def note(self) -> str:
        return self.boxes.note

    def self_balance_period(self, steps_per_epoch: int) -> int | None:
        return self.boxes.self_balance_period(steps_per_epoch)

    def build(self, coder: "BoxCoder", period: int | None = None, *, tau: float = 0.5) -> "nn.Module":
        parts = (loss.build(coder, period, tau=tau) for loss in (self.scores, self.boxes))
        return import_criteria().SeparateCriterion(*parts, weight=self.weight)


LOSSES: dict[str, type[BoxLoss]] = {
    loss.__name__: loss for loss in (ALRP, AP, RankSort, Focal, CrossEntropy, Separate, SmoothL1, MeanGIoU, ScoredGIoU)
}
"""Every loss by its name."""


def make_loss(name: object, options: Mapping[str, Any]) -> BoxLoss:
    """A loss by its name.

    Raises: ValueError for a name or an option that there is not, listing those that there are.
    """
    if name not in LOSSES:
        raise ValueError(f"a loss must be {BoxLoss.in_words()}, got {name!r}")
    loss = LOSSES[name]
    _check_options(loss, options)
    if missing := [field.name for field in fields(loss) if field.default is MISSING and field.name not in options]:
        raise ValueError(f"{name} needs {' and '.join(missing)}, as in {name}(scores=AP(), boxes=MeanGIoU())")
    return loss(**options)


def with_option(loss: BoxLoss, option: str, value: object) -> BoxLoss:
    """The loss with another value of an option; "boxes.beta" is the option `beta` of its `boxes`.

    Raises: ValueError, as `make_loss`.
    """
    name, _, inner = option.partition(".")
    _check_options(type(loss), [name])
    if inner:
        part = getattr(loss, name)
        if not isinstance(part, BoxLoss):
            raise ValueError(f"{name} of {type(loss).__name__} has no options, got {option!r}")
        value = with_option(part, inner, value)
    return replace(loss, **{name: value})


def _check_options(loss: type[BoxLoss], options: Iterable[str]) -> None:
    known = [field.name for field in fields(loss)]
    for option in options:
        if option not in known:
            there = f"the options {', '.join(known)}" if known else "no options"
            raise ValueError(f"{loss.__name__} has {there}, got {option!r}")


def read_value(text: str) -> object:
    """A value as it is typed: a number, a tuple, None, a word, or a loss, as AP or AP(delta=0.5).

    Nothing is evaluated: of calls, only those of a loss with constants are read.
    Raises: ValueError, as `make_loss`.
    """
    text = text.strip()
    try:
        return _read(ast.parse(text, mode="eval").body, text)
    except SyntaxError:
        return text


def _read(node: ast.expr, text: str) -> object:
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        if node.args or any(keyword.arg is None for keyword in node.keywords):
            raise ValueError(f"the options of a loss are given as NAME(OPTION=VALUE, ...), got {text!r}")
        return make_loss(node.func.id, {keyword.arg: _read(keyword.value, text) for keyword in node.keywords})
    if isinstance(node, ast.Name) and node.id in LOSSES:
        return make_loss(node.id, {})
    try:
        return ast.literal_eval(node)
    except ValueError:
        return ast.get_source_segment(text, node)  # a word, as in assigner=iou


def as_data(loss: BoxLoss) -> dict[str, Any]:
    """A loss as plain data: its name and its options, those of losses in it likewise."""
    values = {field.name: getattr(loss, field.name) for field in fields(loss)}
    parts = {name: as_data(value) if isinstance(value, BoxLoss) else value for name, value in values.items()}
    return {"name": type(loss).__name__} | parts


def from_data(data: Mapping[str, Any]) -> BoxLoss:
    """The loss that `as_data` wrote. Raises: ValueError, as `make_loss`."""
    if not isinstance(data, Mapping):
        return make_loss(data, {})
    options = {key: from_data(value) if isinstance(value, Mapping) else value for key, value in data.items()}
    return make_loss(options.pop("name", None), options)
