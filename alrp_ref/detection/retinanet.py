"""RetinaNet: backbone, pyramid, head and anchors, with a criterion to train it by."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from alrp_ref.detection.anchors import pyramid_anchors
from alrp_ref.detection.assigners import get_assigner
from alrp_ref.detection.backbones import STRIDES, Backbone
from alrp_ref.detection.boxes import CODERS
from alrp_ref.detection.criteria import Losses, build_criterion
from alrp_ref.detection.head import RetinaHead
from alrp_ref.detection.postprocess import Detections, detections_of_image
from alrp_ref.detection.preprocess import RawImage, to_input
from alrp_ref.detection.pyramid import feature_pyramid
from alrp_ref.detection.recipes import Recipe
from alrp_ref.detection.targets import Target, assign, check_targets


class RetinaNet(nn.Module):
    """A one-stage detector, called as torchvision's detectors are.

    In training mode ``model(images, targets)`` is a dict of losses, ``loss_cls`` and ``loss_loc``; in evaluation
    mode ``model(images)`` is a list of detections, best first.

    Args:
        recipe: widths, anchors, assigner and criterion.
        backbone: what `build_backbone` returns.
        num_classes: labels are 0..num_classes-1; there is no background class.
        self_balance_period: training steps in an epoch, for the aLRP criterion.

    Attributes: `recipe`, `num_classes`, `criterion`, `self_balance` (None but for aLRP), `class_names` (None until
        training sets them).
    """

    def __init__(self, recipe: Recipe, backbone: Backbone, num_classes: int, *, self_balance_period: int | None = None):
        super().__init__()
        self.recipe, self.num_classes = recipe, num_classes
        self.class_names: list[str] | None = None
        self.strides = tuple(STRIDES[0] * 2**level for level in range(recipe.levels))
        self.backbone = backbone
        self.fpn = feature_pyramid(backbone.channels, recipe.fpn_channels, recipe.levels - len(STRIDES))
        self.head = RetinaHead(
            recipe.fpn_channels,
            recipe.head_channels,
            recipe.head_convs,
            recipe.scales_per_octave * len(recipe.ratios),
            num_classes,
            separable=recipe.separable_head,
        )
        self.assigner = get_assigner(recipe.assigner)
        self.criterion = build_criterion(recipe.loss, self_balance_period, recipe.coder)

    @property
    def self_balance(self) -> nn.Module | None:
        return self.criterion.self_balance

    def forward(
        self,
        images: Tensor,
        targets: Sequence[Target] | None = None,
        image_sizes: Sequence[tuple[int, int]] | None = None,
    ) -> Losses | list[Detections]:
        """Losses in training mode, detections in evaluation mode.

        Args:
            images: (B, 3, H, W), normalised by `IMAGE_MEAN` and `IMAGE_STD`.
            targets: for each image {"boxes": (n, 4) x1, y1, x2, y2 in pixels, "labels": (n,) int64}.
            image_sizes: (h, w) of each image without its padding, where boxes are clipped; default (H, W).

        Raises: ValueError for images, targets or sizes that do not fit, naming which and what it got.
        """
        if images.ndim != 4 or images.shape[1] != 3 or not images.is_floating_point():
            raise ValueError(f"images must be floating point (B, 3, H, W), got {tuple(images.shape)} {images.dtype}")
        if self.training:
            check_targets(targets, len(images), self.num_classes)
            return self.losses(images, targets)
        return self.detect(images, image_sizes)

    def features(self, images: Tensor) -> list[Tensor]:
        """The levels of the pyramid, P3 first."""
        return list(self.fpn(self.backbone(images)).values())

    def anchors(self, levels: Sequence[Tensor], like: Tensor) -> list[Tensor]:
        """The anchors of each level, (A_l, 4) in pixels of the input, with the dtype and device of `like`."""
        recipe, sizes = self.recipe, [tuple(level.shape[-2:]) for level in levels]
        shape = (recipe.anchor_scale, recipe.scales_per_octave, recipe.ratios)
        anchors = pyramid_anchors(sizes, self.strides, *shape, offset=recipe.anchor_offset)
        return [level.to(like) for level in anchors]

    def losses(self, images: Tensor, targets: Sequence[Target]) -> Losses:
        """What `forward` returns in training mode."""
        levels = self.features(images)
        logits, deltas = (torch.cat(parts, dim=1) for parts in self.head(levels))
        # A ranking over millions of scores needs more than half precision, whatever the network ran in.
        with torch.autocast(images.device.type, enabled=False):
            logits, deltas = _at_least_float32(logits), _at_least_float32(deltas)
            assigned = assign(self.assigner, self.anchors(levels, logits), targets)
            return self.criterion(logits, deltas, assigned)

    @torch.no_grad()
    def detect(
        self,
        images: Tensor,
        image_sizes: Sequence[tuple[int, int]] | None = None,
        *,
        score_threshold: float | None = None,
    ) -> list[Detections]:
        """What `forward` returns in evaluation mode; for each image {"boxes", "scores", "labels"}, best first."""
        if score_threshold is None:
            score_threshold = self.recipe.score_threshold
        if image_sizes is None:
            image_sizes = [tuple(images.shape[-2:])] * len(images)
        if len(image_sizes) != len(images):
            raise ValueError(f"there must be one size for each of the {len(images)} images, got {len(image_sizes)}")
        levels = self.features(images)
        logits, deltas = ([_at_least_float32(x) for x in parts] for parts in self.head(levels))
        anchors = self.anchors(levels, logits[0])
        return [
            detections_of_image(
                [x[i] for x in logits],
                [x[i] for x in deltas],
                anchors,
                size,
                score_threshold=score_threshold,
                coder=CODERS[self.recipe.coder],
            )
            for i, size in enumerate(image_sizes)
        ]

    @torch.no_grad()
    def predict(self, images: Sequence[RawImage], score_threshold: float | None = None) -> list[Detections]:
        """Detect on raw images of any sizes; boxes come back in each image's own pixels.

        Args:
            images: PIL images, paths, or uint8 RGB tensors (3, H, W).
            score_threshold: keep detections that score higher; default: the recipe's.

        The model is left in the mode it was in. Errors: as for `to_input`.
        """
        if isinstance(images, str | bytes) or not isinstance(images, Sequence):
            raise ValueError(f"images must be a list of images, got {type(images).__name__}")
        was_training = self.training
        self.eval()
        try:
            return [self._predict_one(image, score_threshold) for image in images]
        finally:
            self.train(was_training)

    def _predict_one(self, image: RawImage, score_threshold: float | None) -> Detections:
        pixels, size, (x_scale, y_scale) = to_input(image, self.recipe.test_size)
        weight = self.head.cls_logits.weight
        (found,) = self.detect(pixels[None].to(weight), [size], score_threshold=score_threshold)
        found["boxes"] = found["boxes"] / found["boxes"].new_tensor([x_scale, y_scale, x_scale, y_scale])
        return found


def _at_least_float32(x: Tensor) -> Tensor:
    return x.to(torch.promote_types(x.dtype, torch.float32))
