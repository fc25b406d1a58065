"""The base class of the detectors: backbone, feature pyramid, anchors, and the interface."""

from collections.abc import Iterator, Sequence
from functools import lru_cache

import torch
from torch import Tensor, nn
from torchvision.ops import FeaturePyramidNetwork
from torchvision.ops.feature_pyramid_network import ExtraFPNBlock

from alrp_ref.detection.anchors import pyramid_anchors, real_locations
from alrp_ref.detection.assigners import Assigned, Assigner
from alrp_ref.detection.backbones import STRIDES, Backbone
from alrp_ref.detection.boxes import CODERS
from alrp_ref.detection.criteria import Losses, self_balance_of
from alrp_ref.detection.postprocess import Detections
from alrp_ref.detection.preprocess import RawImage, to_input
from alrp_ref.detection.recipes import Recipe
from alrp_ref.detection.targets import Target, assign, check_targets
from alrp_ref.machine.device import queue_copy
from alrp_ref.paper.self_balance import SelfBalance

Sizes = Sequence[tuple[int, int]]
"""Height and width of each level of a pyramid."""
ImageSizes = Sequence[tuple[int, int]]


class Detector(nn.Module):
    """A detector with torchvision's interface.

    In training mode ``model(images, targets)`` returns a dict of losses. In evaluation mode ``model(images)`` returns a
    list of detections, best first. Images of different sizes can share a batch: pad them below and to the right, and
    give the original sizes as `image_sizes`. Anchors in the padding are then not used.

    Args:
        recipe: widths, anchors, assigner and criterion.
        backbone: what `build_backbone` returns.
        num_classes: labels are 0..num_classes-1; there is no background class.
        finest_stride: stride of the first level of the pyramid.
        extra: the block that computes the levels above P5.

    Attributes: `recipe`, `num_classes`, `criterion`, `self_balance` (None without aLRP), `class_names` (None until
        training sets them), `custom_criterion` (the name of its class if the criterion is not of the recipe's loss).
    """

    criterion: nn.Module
    assigner: Assigner
    custom_criterion: str | None = None

    def __init__(
        self, recipe: Recipe, backbone: Backbone, num_classes: int, finest_stride: int, extra: ExtraFPNBlock | None
    ):
        super().__init__()
        self.recipe, self.num_classes = recipe, num_classes
        self.class_names: list[str] | None = None
        self.strides = tuple(finest_stride * 2**level for level in range(recipe.levels))
        self.num_anchors = recipe.scales_per_octave * len(recipe.ratios)
        self.coder = CODERS[recipe.coder]
        self.backbone = backbone
        channels = [c for c, stride in zip(backbone.channels, STRIDES, strict=True) if stride >= finest_stride]
        self.fpn = FeaturePyramidNetwork(channels, recipe.fpn_channels, extra)

    @property
    def self_balance(self) -> SelfBalance | None:
        return self_balance_of(self.criterion)

    @property
    def criteria(self) -> dict[str, nn.Module]:
        """Criterion of each stage, by the prefix of its columns in the log: "" or "rpn_"."""
        return {"": self.criterion}

    def forward(
        self, images: Tensor, targets: Sequence[Target] | None = None, image_sizes: ImageSizes | None = None
    ) -> Losses | list[Detections]:
        """Losses in training mode, detections in evaluation mode.

        Args:
            images: (B, 3, H, W), normalised by `IMAGE_MEAN` and `IMAGE_STD`.
            targets: for each image {"boxes": (n, 4) x1, y1, x2, y2 in pixels, "labels": (n,) int64}.
            image_sizes: (h, w) of each image without its padding; boxes are clipped there; default (H, W).

        Raises: ValueError for images, targets or sizes that do not fit, naming which and what it got.
        """
        if images.ndim != 4 or images.shape[1] != 3 or not images.is_floating_point():
            raise ValueError(f"images must be floating point (B, 3, H, W), got {tuple(images.shape)} {images.dtype}")
        if not self.training:
            return self.detect(images, image_sizes)
        check_targets(targets, len(images), self.num_classes)
        image_sizes = _checked_sizes(images, image_sizes)
        # Before the network: the host waits here for the number of positives. Assigned after the network it would wait
        # for all of it, and the GPU then for the host, which starts the many short operations of the loss.
        like = at_least_float32(images[:0])
        assigned = self.assigned(self.level_sizes(images), targets, image_sizes, like)
        return self.losses(self.features(images), targets, image_sizes, assigned)

    def features(self, images: Tensor) -> list[Tensor]:
        """The levels of the pyramid, finest first."""
        maps = self.backbone(images)
        for name in list(maps)[: len(maps) - len(self.fpn.inner_blocks)]:
            del maps[name]
        return list(self.fpn(maps).values())

    def level_sizes(self, images: Tensor) -> Sizes:
        """Height and width of each level, as `features` will have them: each layer with a stride rounds up."""
        return [tuple(-(-side // stride) for side in images.shape[-2:]) for stride in self.strides]

    def anchors(self, sizes: Sizes, like: Tensor) -> list[Tensor]:
        """The anchors of each level, (A_l, 4) in pixels of the input, with the dtype and device of `like`.

        Args: `sizes`, height and width of each level: `level_sizes` or `sizes_of`.
        """
        recipe = self.recipe
        shape = (recipe.anchor_scale, recipe.scales_per_octave, recipe.ratios, recipe.anchor_offset)
        return list(_kept_anchors(tuple(sizes), self.strides, shape, like.dtype, like.device))

    def assigned(self, sizes: Sizes, targets: Sequence[Target], image_sizes: ImageSizes, like: Tensor) -> Assigned:
        """Which anchors are positive. It needs no output of the network.

        Args: `sizes`, `like`, as for `anchors`; `targets`, `image_sizes`, as for `forward`.
        """
        real = self.real_anchors(sizes, image_sizes, like.device)
        return assign(self.assigner, self.anchors(sizes, like), targets, real)

    def real_anchors(self, sizes: Sizes, image_sizes: ImageSizes, device: torch.device) -> list[list[Tensor] | None]:
        """Mask of the anchors outside the padding, (A_l,) bool for each image and level; None without padding."""
        masks = {}  # by size: in training all images have the same
        for image_size in {tuple(size) for size in image_sizes}:
            keep = real_locations(sizes, self.strides, image_size)
            keep = [level.repeat_interleave(self.num_anchors) for level in keep]
            is_whole = all(level.all() for level in keep)  # on the CPU: does not synchronise a GPU
            masks[image_size] = None if is_whole else [queue_copy(level, device) for level in keep]
        return [masks[tuple(size)] for size in image_sizes]

    def outputs_of_images(
        self, levels: Sequence[Tensor], logits: Sequence[Tensor], deltas: Sequence[Tensor], image_sizes: ImageSizes
    ) -> Iterator[tuple[list[Tensor], list[Tensor], list[Tensor]]]:
        """Logits, deltas and anchors of each image, level by level, without the anchors in its padding."""
        sizes = sizes_of(levels)
        anchors = self.anchors(sizes, logits[0])
        for i, real in enumerate(self.real_anchors(sizes, image_sizes, logits[0].device)):
            parts = ([x[i] for x in logits], [x[i] for x in deltas], anchors)
            yield parts if real is None else tuple([x[keep] for x, keep in zip(p, real, strict=True)] for p in parts)

    def losses(
        self, levels: list[Tensor], targets: Sequence[Target], image_sizes: ImageSizes, assigned: Assigned
    ) -> Losses:
        """The losses, from the levels of the pyramid and what `assigned` returned."""
        raise NotImplementedError

    def detections(self, levels: list[Tensor], image_sizes: ImageSizes, score_threshold: float) -> list[Detections]:
        """The detections of each image, from the levels of the pyramid."""
        raise NotImplementedError

    @torch.no_grad()
    def detect(
        self, images: Tensor, image_sizes: ImageSizes | None = None, *, score_threshold: float | None = None
    ) -> list[Detections]:
        """The detections of each image, {"boxes", "scores", "labels"}, best first."""
        if score_threshold is None:
            score_threshold = self.recipe.score_threshold
        return self.detections(self.features(images), _checked_sizes(images, image_sizes), score_threshold)

    @torch.no_grad()
    def predict(self, images: Sequence[RawImage], score_threshold: float | None = None) -> list[Detections]:
        """Detect on raw images of any size; boxes are in the pixels of the raw image.

        Args:
            images: PIL images, paths, whose images are turned upright, or uint8 RGB tensors (3, H, W).
            score_threshold: keep detections that score higher; default: the recipe's.

        The mode of the model, training or evaluation, is restored afterwards. Errors: as for `to_input`.
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
        pixels, size, (x_scale, y_scale) = to_input(image, self.recipe.test_size, self.recipe.grey_range)
        (found,) = self.detect(
            pixels[None].to(next(self.parameters())), image_sizes=[size], score_threshold=score_threshold
        )
        found["boxes"] = found["boxes"] / found["boxes"].new_tensor([x_scale, y_scale, x_scale, y_scale])
        return found


def sizes_of(levels: Sequence[Tensor]) -> Sizes:
    """Height and width of each level, (..., H, W)."""
    return [tuple(level.shape[-2:]) for level in levels]


@lru_cache(maxsize=4)
@torch.inference_mode(False)  # or the first call might make tensors that no later training step can use
def _kept_anchors(
    sizes: Sizes, strides: tuple[int, ...], shape: tuple, dtype: torch.dtype, device: torch.device
) -> list[Tensor]:
    """`pyramid_anchors` on a device; `shape`, its other arguments. They are kept, since a copy makes the host wait."""
    return [level.to(device, dtype) for level in pyramid_anchors(sizes, strides, *shape)]


def _checked_sizes(images: Tensor, image_sizes: ImageSizes | None) -> ImageSizes:
    height, width = images.shape[-2:]
    if image_sizes is None:
        return [(height, width)] * len(images)
    if len(image_sizes) != len(images):
        raise ValueError(f"there must be one size for each of the {len(images)} images, got {len(image_sizes)}")
    for i, (h, w) in enumerate(image_sizes):
        if not (0 < h <= height and 0 < w <= width):
            raise ValueError(f"image_sizes[{i}] must be within the batch's ({height}, {width}), got {(h, w)}")
    return image_sizes


def at_least_float32(x: Tensor) -> Tensor:
    """Cast to float32 or better: ranks of millions of scores, and boxes in pixels, are too large for 16 bits."""
    return x.to(torch.promote_types(x.dtype, torch.float32))
