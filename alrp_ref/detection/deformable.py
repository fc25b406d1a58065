"""Modulated deformable convolution (DCNv2): each tap has a learned offset and a learned weight."""

import torch
from torch import Tensor, nn
from torchvision.ops import deform_conv2d


class DeformableConv2d(nn.Conv2d):
    r"""A convolution with offsets and weights of its taps that a second convolution predicts from the same input.

    .. math:: y(p) = \sum_k w_k \cdot x(p + p_k + \Delta p_k) \cdot \sigma(m_k)

    Initially all offsets are 0 and all weights 1/2.

    Args: `conv`, the plain convolution to start from, without bias; it gives its weights.
    Shape: as for `conv`; `conv_offset` has three outputs for each tap: dy and dx alternating, then the weights m.
    Source: Deformable ConvNets v2 (CVPR 2019).
    """

    def __init__(self, conv: nn.Conv2d):
        shape = (conv.in_channels, conv.out_channels, conv.kernel_size)
        window = {"stride": conv.stride, "padding": conv.padding, "dilation": conv.dilation}
        super().__init__(*shape, **window, groups=conv.groups, bias=False)
        self.weight = conv.weight
        taps = conv.kernel_size[0] * conv.kernel_size[1]
        self.conv_offset = nn.Conv2d(conv.in_channels, 3 * taps, conv.kernel_size, **window)
        nn.init.zeros_(self.conv_offset.weight)
        nn.init.zeros_(self.conv_offset.bias)

    def forward(self, x: Tensor) -> Tensor:
        offset, weight = self.conv_offset(x).tensor_split([2 * self.conv_offset.out_channels // 3], dim=1)
        window = (self.stride, self.padding, self.dilation)
        return deform_conv2d(x, offset, self.weight, None, *window, mask=torch.sigmoid(weight))
