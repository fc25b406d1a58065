"""Recipes: everything that defines a training run, in one frozen dataclass a reader can print and replace parts of."""

import ast
import math
from dataclasses import dataclass, replace
from typing import Literal, get_args, get_origin, get_type_hints

ABOVE_ZERO = ("delta", "loc_weight", "batch_size", "epochs", "train_size")


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """A detector and its training run; the defaults are the paper's at 500 pixels. Override by `dataclasses.replace`.

    Fields:
        name: what the run is called.
        detector: "retinanet", which FoveaBox is, too, or "faster_rcnn".
        backbone: one of `alrp_ref.detection.backbones.BACKBONES`.
        loss: the criterion, classification and localisation.
        rank_scope: where several processes train, "process" ranks the examples of each, as the paper does, "global"
            those of all, so that the loss is that of the whole batch; "image" ranks each image for itself (aLRP only).
        delta: half width of the step function of a ranking loss, in logits.
        loc_error, loc_step: of aLRP Loss, see `alrp_ref.localisation` and `alrp_ref.alrp_loss`.
        loc_weight: what aLRP Loss weights the boxes with at first.
        self_balance_epochs: the epochs after which that weight is renewed, each time; 0 keeps it.
        assigner: how anchors become positives.
        scales_per_octave, ratios: the anchors at each location; a ratio is height / width.
        anchor_scale: side of the smallest anchor of a level, in strides.
        anchor_offset: of the locations, in strides: 0 for the corners of the cells, 1/2 for their centres.
        coder: how a box is written: RetinaNet's deltas from an anchor, or FoveaBox's distances from its centre.
        levels: of the pyramid, counted from stride 8; 5 are P3 to P7. Faster R-CNN always has P2 to P6.
        fpn_channels, head_channels, head_convs: widths, and depth of the head's two towers. Faster R-CNN has two
            layers of `head_channels` instead.
        separable_head: depthwise-separable convolutions in the towers.
        train_size: side in pixels of the square a training image is resized to.
        test_size: (short, longest) limits in pixels of the sides of a test image, which keeps its ratio.
        score_threshold: of detections. A ranking loss orders scores and leaves their level open, so a detector that
            was trained briefly wants a low one: what stands below it is lost to AP.
        augmentation: "ssd" is the paper's; see `alrp_ref.coco.train_transform`.
        lr, momentum, weight_decay: of the optimiser; `lr` belongs to `batch_size` images over all processes.
        epochs, lr_steps: length of training, and the epochs after which the learning rate falls to a tenth.
        clip_norm: bound on the norm of the gradient, None for no bound.
        warmup_iters, warmup_factor: steps over which it rises linearly, and the fraction it starts from.
    """

    name: str
    detector: Literal["retinanet", "faster_rcnn"] = "retinanet"
    backbone: Literal["resnet50", "resnet101", "resnext101_64x4d", "resnext101_64x4d_dcn", "mobilenet_v2", "tiny"] = (
        "resnet50"
    )
    loss: Literal["alrp", "ap", "focal", "ce", "ce_giou"] = "alrp"
    rank_scope: Literal["process", "global", "image"] = "process"
    delta: float = 1.0
    loc_error: Literal["giou", "iou"] = "giou"
    loc_step: Literal["hard", "smoothed"] = "hard"
    loc_weight: float = 50.0
    self_balance_epochs: float = 1.0
    assigner: Literal["iou", "atss", "fovea", "rpn"] = "atss"
    scales_per_octave: int = 2
    ratios: tuple[float, ...] = (1.0,)
    anchor_scale: float = 4.0
    anchor_offset: float = 0.0
    coder: Literal["deltas", "distances"] = "deltas"
    levels: int = 5
    fpn_channels: int = 256
    head_channels: int = 256
    head_convs: int = 4
    separable_head: bool = False
    train_size: int = 512
    test_size: tuple[int, int] = (500, 833)
    score_threshold: float = 0.05
    augmentation: Literal["ssd", "light", "none"] = "ssd"
    optimizer: Literal["sgd"] = "sgd"
    lr: float = 0.008
    momentum: float = 0.9
    weight_decay: float = 1e-4
    batch_size: int = 32
    epochs: int = 100
    lr_steps: tuple[int, ...] = (75, 95)
    warmup_iters: int = 500
    warmup_factor: float = 0.001
    clip_norm: float | None = None

    def __post_init__(self) -> None:
        for name, kind in get_type_hints(Recipe).items():
            value = getattr(self, name)
            if get_origin(kind) is Literal and value not in get_args(kind):
                raise ValueError(f"{name} must be one of {', '.join(get_args(kind))}, got {value!r}")
            if name in ABOVE_ZERO and not 0 < value < math.inf:
                raise ValueError(f"{name} must be a number above 0, got {value!r}")


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
# An anchor is a square of two base lengths around the centre of a cell: only its centre and its side are used.
_FOVEA_500 = replace(
    _ATSS_500,
    name="alrp_foveabox_r50_500",
    assigner="fovea",
    coder="distances",
    scales_per_octave=1,
    anchor_offset=0.5,
)
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
        replace(_IOU_500, name="ap_retinanet_r50_500", loss="ap", lr=0.002),
        _FOVEA_500,
        replace(_FOVEA_500, name="ap_foveabox_r50_500", loss="ap", lr=0.002),
        replace(_FOVEA_500, name="focal_foveabox_r50_500", loss="focal", lr=0.02),
        _FASTER_500,
        replace(_FASTER_500, name="ce_faster_rcnn_r50_500", loss="ce", lr=0.04),
        replace(_FASTER_500, name="ce_giou_faster_rcnn_r50_500", loss="ce_giou", lr=0.04),
        # Not the release's: RetinaNet as usual, with its usual rate of 0.01 per 16 images, and its three scales.
        replace(_IOU_500, name="focal_retinanet_r50_500", loss="focal", scales_per_octave=3, lr=0.02),
        _TINY,
        replace(_TINY, name="ap_tiny", loss="ap"),
        replace(_TINY, name="focal_tiny", loss="focal"),
        _MOBILENET,
        replace(_MOBILENET, name="ap_mobilenet_320", loss="ap"),
        replace(_MOBILENET, name="focal_mobilenet_320", loss="focal"),
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
"""AP in percent of the released model of a recipe, on COCO minival, from its README.

The ablation of the paper's Table 2, trained with older code, has slightly other rows: 35.5, 38.9 and 40.2 for RetinaNet
with AP Loss, with aLRP Loss, and with ATSS.
"""


def get_recipe(recipe: str | Recipe) -> Recipe:
    """A recipe by name, a variant of it by "NAME:FIELD=VALUE:...", or the recipe itself.

    Raises: ValueError for an unknown name or field, or a value of another type.
    """
    if isinstance(recipe, Recipe):
        return recipe
    name, *changes = recipe.split(":")
    if name not in RECIPES:
        raise ValueError(f"recipe must be one of {', '.join(RECIPES)}, got {name!r}")
    return replace(RECIPES[name], **dict(parse_change(RECIPES[name], text) for text in changes) | {"name": recipe})


def parse_change(recipe: Recipe, text: str) -> tuple[str, object]:
    """`FIELD=VALUE` as a field of the recipe and a value of its type. Raises: ValueError, naming the field."""
    name, equals, value = text.partition("=")
    if not equals or not hasattr(recipe, name):
        raise ValueError(f"a recipe is changed by FIELD=VALUE, got {text!r}: see `alrp recipes NAME` for the fields")
    try:
        parsed = ast.literal_eval(value)
    except (ValueError, SyntaxError):
        parsed = value  # a word, as in assigner=iou
    current = getattr(recipe, name)
    number = isinstance(current, float) and isinstance(parsed, int) and not isinstance(parsed, bool)
    if current is not None and not number and type(parsed) is not type(current):
        raise ValueError(f"{name} takes a value like {current!r}, got {value!r}")
    return name, parsed
