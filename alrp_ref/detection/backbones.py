"""Backbones: images in, the feature maps C2, C3, C4, C5 (strides 4, 8, 16, 32) out."""

import os
from collections import OrderedDict
from collections.abc import Iterable
from functools import partial

import torch
from torch import Tensor, nn
from torchvision import models
from torchvision.ops import Conv2dNormActivation, deform_conv2d

from alrp_ref.detection.backbone_weights import download_weights, load_weights_file

STRIDES = (4, 8, 16, 32)
"""Input pixels between neighbouring locations of C2, C3, C4 and C5."""


class Backbone(nn.Module):
    """A chain of layers; the outputs of four of them are returned.

    Args:
        layers: the chain, by name; layers after the last one in `taps` are dropped.
        taps: names of the layers whose outputs are C2, C3, C4 and C5 -> their channels.
        frozen: names of the layers that are not trained.
        frozen_norm: keep batch norm in evaluation mode during training, since a detector's batches are too small for
            good statistics. Its affine weights are still trained, unless their layer is frozen. (torchvision's
            `FrozenBatchNorm2d` would freeze them, too.)

    Shape: (B, 3, H, W) -> {"c2": (B, C, H/4, W/4), "c3": .../8, "c4": .../16, "c5": .../32}.
    """

    def __init__(
        self,
        layers: Iterable[tuple[str, nn.Module]],
        taps: dict[str, int],
        *,
        frozen: Iterable[str] = (),
        frozen_norm: bool = True,
    ):
        super().__init__()
        chain = OrderedDict(layers)
        last = list(chain).index(list(taps)[-1])
        self.body = nn.Sequential(OrderedDict(list(chain.items())[: last + 1]))
        self.channels = list(taps.values())
        self.frozen_norm = frozen_norm
        self._taps = dict(zip(taps, ("c2", "c3", "c4", "c5"), strict=True))
        for name in frozen:
            self.body.get_submodule(name).requires_grad_(False)

    def forward(self, x: Tensor) -> OrderedDict[str, Tensor]:
        features = OrderedDict()
        for name, layer in self.body.named_children():
            x = layer(x)
            if name in self._taps:
                features[self._taps[name]] = x
        return features

    def train(self, mode: bool = True) -> "Backbone":
        super().train(mode)
        if self.frozen_norm:
            for module in self.modules():
                if isinstance(module, nn.BatchNorm2d):
                    module.eval()
        return self


def resnet(
    name: str, pretrained: bool, weights_file: str | os.PathLike | None, *, deformable: bool = False
) -> Backbone:
    """torchvision's ResNet or ResNeXt without its classifier; the stem and layer1 are frozen.

    `pretrained` downloads torchvision's first ImageNet weights. (For ResNet the release starts from the same.)
    `deformable` replaces the 3x3 convolutions of layer2 to layer4 by deformable ones.
    """
    network = models.get_model(name)
    if pretrained:
        network.load_state_dict(download_weights(name))
    network.fc = nn.Identity()
    if weights_file is not None:
        load_weights_file(network, weights_file)
    if deformable:
        for block in (*network.layer2, *network.layer3, *network.layer4):
            block.conv2 = DeformableConv2d(block.conv2)
    layers = [(name, layer) for name, layer in network.named_children() if name not in ("avgpool", "fc")]
    taps = {f"layer{i}": _layer_channels(getattr(network, f"layer{i}")) for i in (1, 2, 3, 4)}
    return Backbone(layers, taps, frozen=("conv1", "bn1", "layer1"))


def _layer_channels(layer: nn.Sequential) -> int:
    """Output channels of a ResNet layer: those of its first shortcut's projection."""
    return layer[0].downsample[0].out_channels


def mobilenet_v2(pretrained: bool, weights_file: str | os.PathLike | None) -> Backbone:
    """torchvision's MobileNetV2 without its last, widest convolution; the layers up to stride 4 are frozen.

    These layers have the largest feature maps and few weights. Frozen, they need no backward pass.
    """
    network = models.mobilenet_v2()
    if pretrained:
        network.load_state_dict(download_weights("mobilenet_v2"))
    features = network.features
    if weights_file is not None:
        load_weights_file(features, weights_file)
    return Backbone(features.named_children(), {"3": 24, "6": 32, "13": 96, "17": 320}, frozen=map(str, range(4)))


def tiny(pretrained: bool, weights_file: str | os.PathLike | None) -> Backbone:
    """A few convolutions, trained from scratch in minutes on two CPU cores.

    Batch norm is in training mode, since there are no pretrained statistics.
    """
    if pretrained or weights_file is not None:
        raise ValueError("the tiny backbone is trained from scratch: it has no pretrained weights to load")
    layers = OrderedDict(
        stem=_conv(3, 16, stride=2),
        layer1=_conv(16, 32, stride=2),
        layer2=nn.Sequential(_conv(32, 64, stride=2), _conv(64, 64)),
        layer3=nn.Sequential(_conv(64, 96, stride=2), _conv(96, 96)),
        layer4=nn.Sequential(_conv(96, 128, stride=2), _conv(128, 128)),
    )
    return Backbone(layers.items(), {"layer1": 32, "layer2": 64, "layer3": 96, "layer4": 128}, frozen_norm=False)


def _conv(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    return Conv2dNormActivation(inputs, outputs, kernel_size=3, stride=stride)


BACKBONES = {
    "resnet50": partial(resnet, "resnet50"),
    "resnet101": partial(resnet, "resnet101"),
    "resnext101_64x4d": partial(resnet, "resnext101_64x4d"),
    "resnext101_64x4d_dcn": partial(resnet, "resnext101_64x4d", deformable=True),
    "mobilenet_v2": mobilenet_v2,
    "tiny": tiny,
}


def build_backbone(name: str, *, pretrained: bool = False, weights_file: str | os.PathLike | None = None) -> Backbone:
    """A backbone by name.

    Args:
        name: one of `BACKBONES`.
        pretrained: download torchvision's ImageNet weights.
        weights_file: or read them from a file, a state dict with torchvision's names; see `load_weights_file`.

    Raises: DataError for weights that cannot be had, or are those of another network; the file is named.
    """
    return BACKBONES[name](pretrained, weights_file)


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
