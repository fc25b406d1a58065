"""Recipes: one frozen dataclass holds everything that defines a detector and its training run."""

import textwrap
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from difflib import get_close_matches
from typing import Any, Literal

from alrp_ref.detection import recipe_losses
from alrp_ref.detection.fields import check_fields, documented
from alrp_ref.detection.recipe_losses import (
    ALRP,
    AP,
    BoxLoss,
    CrossEntropy,
    Focal,
    Loss,
    RankSort,
    read_value,
    with_option,
)

ABOVE_ZERO = (
    *("batch_size", "epochs", "train_size", "test_size", "lr", "levels", "fpn_channels", "head_channels"),
    *("scales_per_octave", "ratios", "anchor_scale", "clip_norm", "max_detections"),
)
NOT_NEGATIVE = (
    *("anchor_offset", "head_convs", "score_threshold", "momentum", "weight_decay"),
    *("lr_steps", "warmup_iters", "warmup_factor"),
)
MAY_BE_EMPTY = ("lr_steps",)


@documented
@dataclass(frozen=True, kw_only=True)
class Recipe:
    """A detector and its training run; defaults: the paper's at 500 pixels. Change fields by `dataclasses.replace`."""

    name: str
    """Name of the recipe."""

    # The detector
    detector: Literal["retinanet", "faster_rcnn"] = "retinanet"
    """The detector class. FoveaBox is "retinanet" with its own assigner and coder."""
    backbone: Literal["resnet50", "resnet101", "resnext101_64x4d", "resnext101_64x4d_dcn", "mobilenet_v2", "tiny"] = (
        "resnet50"
    )
    """One of `alrp_ref.detection.backbones.BACKBONES`."""

    # The loss
    loss: Loss = field(default_factory=ALRP)
    """The loss of scores and boxes with its options, see `alrp_ref.detection.recipe_losses`."""

    # Anchors and boxes
    assigner: Literal["iou", "atss", "fovea", "rpn"] = "atss"
    """The rule that makes anchors positive, see `alrp_ref.detection.assigners`."""
    scales_per_octave: int = 2
    """Anchor scales at each location."""
    ratios: tuple[float, ...] = (1.0,)
    """Anchor aspect ratios, height / width."""
    anchor_scale: float = 4.0
    """Side of the smallest anchor of a level, in strides."""
    anchor_offset: float = 0.0
    """Offset of the anchors' locations, in strides: 0 for the corners of the cells, 0.5 for their centres."""
    coder: Literal["deltas", "distances"] = "deltas"
    """Box regression targets: RetinaNet's deltas from an anchor, or FoveaBox's distances from its centre."""

    # Pyramid and head
    levels: int = 5
    """Pyramid levels from stride 8 on; 5 are P3 to P7. Faster R-CNN always has P2 to P6."""
    fpn_channels: int = 256
    """Channels of the pyramid."""
    head_channels: int = 256
    """Channels of the head's two towers; of Faster R-CNN, the width of its two fully connected layers."""
    head_convs: int = 4
    """Convolutions in each tower; not used by Faster R-CNN."""
    separable_head: bool = False
    """Use depthwise-separable convolutions in the towers."""

    # Images
    train_size: int = 512
    """Training images are resized to a square of this side, in pixels."""
    test_size: tuple[int, int] = (500, 833)
    """Limits (short, longest) of the sides of a test image, in pixels; its aspect ratio is kept."""
    grey_range: tuple[int, int] = (0, 65_535)
    """Of grey images of 16 bits, the values that become black and white; as (0, 4095) where 12 bits are used."""
    score_threshold: float = 0.05
    """Detections below this score are dropped. A ranking-based loss fixes the order of scores and not their level, so a
    briefly trained detector needs a low threshold."""
    max_detections: int = 100
    """Detections of an image, at most. COCO's evaluation counts 100 of each class."""
    background_images: bool = False
    """Train on images without objects, too: all of their anchors are negatives."""
    augmentation: Literal["ssd", "light", "none"] = "ssd"
    """Training augmentation; "ssd" is the paper's, see `alrp_ref.data.train_transform`."""

    # Optimiser and schedule
    lr: float = 0.008
    """Learning rate of SGD, for a batch of `batch_size` images."""
    momentum: float = 0.9
    """Momentum of SGD."""
    weight_decay: float = 1e-4
    """Weight decay of SGD."""
    batch_size: int = 32
    """Images per step, over all processes."""
    epochs: int = 100
    """Length of the training."""
    lr_steps: tuple[int, ...] = (75, 95)
    """Epochs after which the learning rate is multiplied by 0.1."""
    warmup_iters: int = 500
    """Steps of the linear warm-up."""
    warmup_factor: float = 0.001
    """The warm-up starts from this fraction of the learning rate."""
    clip_norm: float | None = None
    """Upper bound of the gradient norm; None for no clipping."""

    def __post_init__(self) -> None:
        check_fields(self, above_zero=ABOVE_ZERO, not_negative=NOT_NEGATIVE, may_be_empty=MAY_BE_EMPTY)
        if self.grey_range[0] >= self.grey_range[1]:
            raise ValueError(f"grey_range must be (low, high) with low < high, got {self.grey_range}")
        if self.detector not in self.loss.detectors:
            raise ValueError(
                f"the loss {self.loss} is for {' and '.join(self.loss.detectors)}, got the detector {self.detector}"
            )


_ATSS_500 = Recipe(name="alrp_retinanet_r50_atss_500")
_IOU_500 = replace(_ATSS_500, name="alrp_retinanet_r50_500", assigner="iou", ratios=(0.5, 1.0, 2.0), lr_steps=(60, 80))
_ATSS_800 = replace(
    _ATSS_500,
    scales_per_octave=3,
    train_size=800,
    test_size=(800, 1333),
    lr=0.004,
    batch_size=16,
    lr_steps=(60, 80),
)
# A FoveaBox anchor is a square of two base lengths around the centre of a cell; only centre and side are used.
_FOVEA_500 = replace(
    _ATSS_500,
    name="alrp_foveabox_r50_500",
    assigner="fovea",
    coder="distances",
    scales_per_octave=1,
    anchor_offset=0.5,
)
_FOVEA_FOCAL = Focal(alpha=0.4, gamma=1.5, beta=0.11, count_images=True)
_FASTER_500 = replace(
    _ATSS_500,
    name="alrp_faster_rcnn_r50_500",
    detector="faster_rcnn",
    assigner="rpn",
    scales_per_octave=1,
    ratios=(0.5, 1.0, 2.0),
    anchor_scale=8.0,
    head_channels=1024,
    lr=0.012,
)

_TINY = Recipe(
    name="alrp_tiny",
    backbone="tiny",
    anchor_scale=2.0,
    levels=3,
    fpn_channels=64,
    head_channels=64,
    head_convs=2,
    separable_head=True,
    train_size=160,
    test_size=(160, 160),
    score_threshold=0.01,
    augmentation="light",
    lr=0.06,
    batch_size=16,
    epochs=9,
    lr_steps=(7, 8),
    warmup_iters=50,
    clip_norm=4.0,
)

_MOBILENET = Recipe(
    name="alrp_mobilenet_320",
    backbone="mobilenet_v2",
    scales_per_octave=1,
    anchor_scale=5.0,
    levels=4,
    fpn_channels=96,
    head_channels=96,
    head_convs=2,
    separable_head=True,
    train_size=320,
    test_size=(320, 533),
    score_threshold=0.01,
    augmentation="light",
    lr=0.01,
    batch_size=8,
    epochs=14,
    lr_steps=(10, 13),
    warmup_iters=100,
    clip_norm=2.0,
)

RECIPES: dict[str, Recipe] = {
    recipe.name: recipe
    for recipe in (
        _IOU_500,
        _ATSS_500,
        replace(_ATSS_500, name="alrp_retinanet_r101_atss_500", backbone="resnet101"),
        replace(_ATSS_800, name="alrp_retinanet_r101_atss_800", backbone="resnet101"),
        replace(_ATSS_500, name="alrp_retinanet_x101_64x4d_atss_500", backbone="resnext101_64x4d"),
        replace(_ATSS_800, name="alrp_retinanet_x101_64x4d_atss_800", backbone="resnext101_64x4d"),
        replace(_ATSS_800, name="alrp_retinanet_x101_64x4d_dcn_atss_800", backbone="resnext101_64x4d_dcn"),
        replace(_IOU_500, name="ap_retinanet_r50_500", loss=AP(), lr=0.002),
        _FOVEA_500,
        replace(_FOVEA_500, name="ap_foveabox_r50_500", loss=AP(beta=0.11), lr=0.002),
        replace(_FOVEA_500, name="focal_foveabox_r50_500", loss=_FOVEA_FOCAL, lr=0.02),
        _FASTER_500,
        replace(_FASTER_500, name="ce_faster_rcnn_r50_500", loss=CrossEntropy(), lr=0.04),
        replace(_FASTER_500, name="ce_giou_faster_rcnn_r50_500", loss=CrossEntropy(boxes="giou"), lr=0.04),
        # Not in the release: the usual RetinaNet, with its learning rate of 0.01 per 16 images and its three scales.
        replace(_IOU_500, name="focal_retinanet_r50_500", loss=Focal(), scales_per_octave=3, lr=0.02),
        # Not of the paper: Rank & Sort Loss in its set-up, and in the setting of its own release (ATSS, 12 epochs).
        replace(_ATSS_500, name="rs_retinanet_r50_atss_500", loss=RankSort()),
        replace(
            _ATSS_800,
            name="rs_retinanet_r50_atss_800",
            loss=RankSort(),
            lr=0.008,
            epochs=12,
            lr_steps=(8, 11),
        ),
        _TINY,
        replace(_TINY, name="ap_tiny", loss=AP()),
        replace(_TINY, name="rs_tiny", loss=RankSort()),
        replace(_TINY, name="focal_tiny", loss=Focal()),
        _MOBILENET,
        replace(_MOBILENET, name="ap_mobilenet_320", loss=AP()),
        replace(_MOBILENET, name="rs_mobilenet_320", loss=RankSort()),
        replace(_MOBILENET, name="focal_mobilenet_320", loss=Focal()),
    )
}

RELEASED_AP = {
    "alrp_retinanet_r50_500": 39.0,
    "alrp_retinanet_r50_atss_500": 41.0,
    "alrp_retinanet_r101_atss_500": 42.2,
    "alrp_retinanet_r101_atss_800": 45.4,
    "alrp_retinanet_x101_64x4d_atss_500": 44.5,
    "alrp_retinanet_x101_64x4d_atss_800": 47.2,
    "alrp_retinanet_x101_64x4d_dcn_atss_800": 48.6,
    "ap_retinanet_r50_500": 35.4,
    "alrp_foveabox_r50_500": 39.7,
    "ap_foveabox_r50_500": 36.5,
    "focal_foveabox_r50_500": 38.3,
    "alrp_faster_rcnn_r50_500": 40.7,
    "ce_faster_rcnn_r50_500": 37.8,
    "ce_giou_faster_rcnn_r50_500": 38.2,
}
"""AP in percent of the released models on COCO minival, from the README of the release.

The paper's Table 2 was made with older code. It has slightly other values: 35.5, 38.9 and 40.2 for RetinaNet with AP
Loss, with aLRP Loss, and with ATSS.
"""


def get_recipe(recipe: str | Recipe) -> Recipe:
    """A recipe by its name, or a variant of it by "NAME:FIELD=VALUE:...". A `Recipe` is returned as it is.

    Raises: ValueError for an unknown name or field, or a value of another type.
    """
    if isinstance(recipe, Recipe):
        return recipe
    name, *changes = recipe.split(":")
    if name not in RECIPES:
        raise ValueError(_unknown(name))
    return replace(with_changes(RECIPES[name], changes), name=recipe)


def _unknown(name: str) -> str:
    """What to say of a name that no recipe has: the recipe that was probably meant, then all names."""
    close = get_close_matches(name, RECIPES, n=1)
    question = f" Did you mean {close[0]}?" if close else ""
    names = textwrap.fill(", ".join(RECIPES), 78, initial_indent="  ", subsequent_indent="  ")
    return f"unknown recipe: {name!r}.{question}\nThe recipes are\n{names}"


def with_changes(recipe: Recipe, changes: Iterable[str]) -> Recipe:
    """The recipe with some fields changed, each by the text "FIELD=VALUE".

    A value is written as in Python, a word without quotes. ``loss=AP(delta=0.5)`` gives another loss,
    ``loss.delta=0.5`` another option of it.

    Raises: ValueError, naming the field or the option and what there is.
    """
    values: dict[str, object] = {}
    for text in changes:
        place, equals, value = text.partition("=")
        name, dot, option = place.partition(".")
        if not equals or name not in {one.name for one in fields(Recipe)} or (dot and name != "loss"):
            raise ValueError(
                f"a recipe is changed by FIELD=VALUE, got {text!r}: see `alrp recipes NAME` for the fields and the "
                "options of its loss"
            )
        read = read_value(value)
        values[name] = with_option(values.get("loss", recipe.loss), option, read) if dot else read
    return replace(recipe, **values)


def settings(recipe: Recipe) -> dict[str, object]:
    """Every field by its name, and every option of the loss, as `with_changes` takes it: "loss.delta"."""
    return _flat("", recipe)


def _flat(prefix: str, settings: Recipe | BoxLoss) -> dict[str, object]:
    found = {}
    for name in (one.name for one in fields(settings)):
        value = getattr(settings, name)
        is_loss = isinstance(value, BoxLoss)
        found[prefix + name] = type(value).__name__ if is_loss else value
        found |= _flat(f"{prefix}{name}.", value) if is_loss else {}
    return found


def as_data(recipe: Recipe) -> dict[str, Any]:
    """A recipe as plain data, for a file."""
    values = {one.name: getattr(recipe, one.name) for one in fields(recipe)}
    return values | {"loss": recipe_losses.as_data(recipe.loss)}


def from_data(data: Mapping[str, Any]) -> Recipe:
    """The recipe that `as_data` wrote. Raises: ValueError for a field or a loss that this version does not have."""
    if unknown := data.keys() - {one.name for one in fields(Recipe)}:
        raise ValueError(f"a recipe of another version: it has {', '.join(sorted(unknown))}")
    return Recipe(**{**data, "loss": recipe_losses.from_data(data.get("loss", {}))})
