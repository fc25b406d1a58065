"""The head of RetinaNet: scores and box deltas at every location of every level."""

import math
from collections.abc import Iterable

from torch import Tensor, nn

from alrp_ref.batch import flatten_anchors

PRIOR_PROBABILITY = 0.01
"""Score of every anchor before training. With 1/2, the many negatives would dominate the first steps."""


RELEASED_INPUTS = 256 * 3 * 3
"""Inputs of one output of a convolution of the release's towers."""


class RetinaHead(nn.Module):
    """Two towers of convolutions, one for scores and one for deltas, shared over the levels.

    Args:
        in_channels, channels: channels of the pyramid and of the towers.
        convs: 3x3 convolutions (each with a ReLU) in a tower.
        num_anchors: anchors per location.
        num_classes: one sigmoid for each class, no background output.
        separable: depthwise-separable towers, about eight times cheaper.

    Shape: for each level, (B, in_channels, H, W) -> logits (B, H * W * num_anchors, num_classes) and deltas
        (B, H * W * num_anchors, 4); anchors in the order (y, x, anchor), which is that of `level_anchors`.
    """

    def __init__(
        self,
        in_channels: int,
        channels: int,
        convs: int,
        num_anchors: int,
        num_classes: int,
        *,
        separable: bool = False,
    ):
        super().__init__()
        self.num_classes = num_classes
        self.cls_tower = _tower(in_channels, channels, convs, separable)
        self.box_tower = _tower(in_channels, channels, convs, separable)
        self.cls_logits = nn.Conv2d(channels, num_anchors * num_classes, kernel_size=3, padding=1)
        self.box_deltas = nn.Conv2d(channels, num_anchors * 4, kernel_size=3, padding=1)
        for conv in (self.cls_logits, self.box_deltas):
            nn.init.normal_(conv.weight, std=0.01)
            nn.init.zeros_(conv.bias)
        nn.init.constant_(self.cls_logits.bias, math.log(PRIOR_PROBABILITY / (1 - PRIOR_PROBABILITY)))

    def forward(self, levels: Iterable[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """The logits and the deltas of each level."""
        logits, deltas = [], []
        for x in levels:
            logits.append(flatten_anchors(self.cls_logits(self.cls_tower(x)), self.num_classes))
            deltas.append(flatten_anchors(self.box_deltas(self.box_tower(x)), 4))
        return logits, deltas


def _tower(in_channels: int, channels: int, convs: int, separable: bool) -> nn.Sequential:
    layers = []
    for inputs in [in_channels] + [channels] * (convs - 1):
        if separable:
            layers += [
                nn.Conv2d(inputs, inputs, kernel_size=3, padding=1, groups=inputs),
                nn.Conv2d(inputs, channels, 1),
            ]
        else:
            layers += [nn.Conv2d(inputs, channels, kernel_size=3, padding=1)]
        layers += [nn.ReLU()]
    for conv in layers:
        if isinstance(conv, nn.Conv2d):
            _initialise(conv)
    return nn.Sequential(*layers)


def _initialise(conv: nn.Conv2d) -> None:
    """The release's standard deviation, 0.01, suits 256 channels. With fewer inputs activations would vanish."""
    if conv.weight[0].numel() < RELEASED_INPUTS:
        nn.init.kaiming_normal_(conv.weight, nonlinearity="relu")
    else:
        nn.init.normal_(conv.weight, std=0.01)
    nn.init.zeros_(conv.bias)
