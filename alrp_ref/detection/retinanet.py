"""RetinaNet: one stage, one head shared by all levels of the pyramid. FoveaBox is this class with another recipe."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torchvision.ops.feature_pyramid_network import ExtraFPNBlock

from alrp_ref.detection.assigners import ASSIGNERS, Assigned
from alrp_ref.detection.backbones import Backbone
from alrp_ref.detection.criteria import Losses
from alrp_ref.detection.detector import Detector, ImageSizes, at_least_float32
from alrp_ref.detection.head import RetinaHead
from alrp_ref.detection.postprocess import Detections, detections_of_image
from alrp_ref.detection.recipes import Recipe
from alrp_ref.detection.targets import Target


class RetinaNet(Detector):
    """A one-stage detector; its losses are `loss_cls` and `loss_loc`.

    Args: as for `Detector`; `self_balance_period`, the training steps in an epoch, for aLRP Loss.
    """

    def __init__(self, recipe: Recipe, backbone: Backbone, num_classes: int, *, self_balance_period: int | None = None):
        num_extra = recipe.levels - 3
        extra = ExtraLevels(backbone.channels[-1], recipe.fpn_channels, num_extra) if num_extra else None
        super().__init__(recipe, backbone, num_classes, 8, extra)
        widths = (recipe.fpn_channels, recipe.head_channels, recipe.head_convs)
        self.head = RetinaHead(*widths, self.num_anchors, num_classes, separable=recipe.separable_head)
        self.assigner = ASSIGNERS[recipe.assigner]
        self.criterion = recipe.loss.build(self.coder, self_balance_period)

    def losses(
        self, levels: list[Tensor], targets: Sequence[Target], image_sizes: ImageSizes, assigned: Assigned
    ) -> Losses:
        logits, deltas = (torch.cat(parts, dim=1) for parts in self.head(levels))
        with torch.autocast(logits.device.type, enabled=False):
            logits, deltas = at_least_float32(logits), at_least_float32(deltas)
            return self.criterion(logits, deltas, assigned)

    def detections(self, levels: list[Tensor], image_sizes: ImageSizes, score_threshold: float) -> list[Detections]:
        logits, deltas = ([at_least_float32(x) for x in parts] for parts in self.head(levels))
        outputs = self.outputs_of_images(levels, logits, deltas, image_sizes)
        options = {"score_threshold": score_threshold, "most": self.recipe.max_detections, "coder": self.coder}
        return [detections_of_image(*one, size, **options) for one, size in zip(outputs, image_sizes, strict=True)]


class ExtraLevels(ExtraFPNBlock):
    """P6, a 3x3 convolution with stride 2 of **C5**, P7 of P6, and so on.

    torchvision's `LastLevelP6P7` applies a ReLU between P6 and P7; the release does not.
    """

    def __init__(self, c5_channels: int, channels: int, levels: int = 2):
        super().__init__()
        inputs = [c5_channels] + [channels] * (levels - 1)
        for i in range(levels):
            conv = nn.Conv2d(inputs[i], channels, kernel_size=3, stride=2, padding=1)
            nn.init.kaiming_uniform_(conv.weight, a=1)  # as torchvision's other levels
            nn.init.zeros_(conv.bias)
            self.add_module(f"p{6 + i}", conv)

    def forward(self, results: list[Tensor], x: list[Tensor], names: list[str]) -> tuple[list[Tensor], list[str]]:
        level = x[-1]
        for name, conv in self.named_children():
            level = conv(level)
            results.append(level)
            names.append(name)
        return results, names
