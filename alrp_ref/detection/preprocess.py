"""From a raw image to the input of a detector: resize, normalise, pad."""

import functools
import os

import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F
from torchvision.transforms import v2

from alrp_ref.images import GREYS, IMAGE_MEAN, IMAGE_STD, read_image, to_rgb

SIZE_DIVISOR = 32
"""Sides are padded to a multiple of the stride of C5, so that each level has exactly half the size of the one below."""

RawImage = Image.Image | str | os.PathLike | Tensor


def to_input(
    image: RawImage, test_size: tuple[int, int], grey_range: tuple[int, int] = GREYS
) -> tuple[Tensor, tuple[int, int], tuple[float, float]]:
    """The input of a detector in evaluation mode, from one raw image.

    Args:
        image: a PIL image, the path of one, which is turned upright, or a uint8 RGB tensor (3, H, W).
        test_size: (short, longest): the short side becomes `short` pixels, unless the other would exceed `longest`.
        grey_range: of images of 16 bits, see `to_rgb`.

    Returns:
        - the image (3, H', W'), float, normalised, and padded with zeros below and to the right;
        - its size (h, w) before the padding; detections are clipped there;
        - the scale factors (x, y): divide boxes by them to get pixels of the raw image.

    Raises:
        FileNotFoundError: no such file.
        ValueError: a file that cannot be decoded, a tensor that is not (3, H, W) uint8, or another type.
    """
    raw = _to_tensor(image, grey_range)
    height, width = raw.shape[-2:]
    size = keep_ratio_size(height, width, test_size)
    resized = v2.functional.resize(raw, list(size), antialias=True)
    return pad_to_multiple(normalise(resized)), size, (size[1] / width, size[0] / height)


def normalise(pixels: Tensor) -> Tensor:
    """uint8 images (..., 3, H, W), on any device, as a detector expects them: float32, normalised with ImageNet's
    mean and standard deviation. The memory format stays."""
    scale, mean, std = _statistics(pixels.device)
    return pixels.mul(scale).sub_(mean).div_(std)


@functools.cache
def _statistics(device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """1/255, and ImageNet's mean and standard deviation (3, 1, 1), float32.

    They are kept, since a copy to a GPU makes the host wait.
    """
    scale = torch.tensor(1 / 255, dtype=torch.float32, device=device)
    mean, std = torch.tensor([IMAGE_MEAN, IMAGE_STD], dtype=torch.float32, device=device)[..., None, None]
    return scale, mean, std


def keep_ratio_size(height: int, width: int, test_size: tuple[int, int]) -> tuple[int, int]:
    """The size (h, w) of an image that is scaled until one of its sides reaches its limit; see `to_input`."""
    short, longest = test_size
    scale = min(short / min(height, width), longest / max(height, width))
    return max(1, int(height * scale + 0.5)), max(1, int(width * scale + 0.5))


def pad_to_multiple(image: Tensor, divisor: int = SIZE_DIVISOR) -> Tensor:
    """Zeros below and to the right of `image` (..., H, W), until both sides are multiples of `divisor`."""
    height, width = image.shape[-2:]
    return F.pad(image, (0, -width % divisor, 0, -height % divisor))


def _to_tensor(image: RawImage, grey_range: tuple[int, int]) -> Tensor:
    if isinstance(image, Tensor):
        if image.dtype != torch.uint8 or image.ndim != 3 or image.shape[0] != 3 or image.numel() == 0:
            raise ValueError(f"an image tensor must be uint8 (3, H, W), got {image.dtype} {tuple(image.shape)}")
        return image
    if isinstance(image, str | os.PathLike):
        image = read_image(image, upright=True, grey_range=grey_range)
    if not isinstance(image, Image.Image):
        raise ValueError(f"an image must be a PIL image, a path or a uint8 tensor, got {type(image).__name__}")
    return v2.functional.pil_to_tensor(to_rgb(image, grey_range))
