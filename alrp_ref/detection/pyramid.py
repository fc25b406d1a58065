"""Extra levels above torchvision's feature pyramid, as in the release."""

from torch import Tensor, nn
from torchvision.ops.feature_pyramid_network import ExtraFPNBlock


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
