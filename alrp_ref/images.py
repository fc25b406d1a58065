"""Reading pictures: decode a file, turn it upright, convert it to RGB. ImageNet's mean and deviation."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError

IMAGE_MEAN = (0.485, 0.456, 0.406)
IMAGE_STD = (0.229, 0.224, 0.225)
"""ImageNet's statistics: pretrained backbones expect inputs normalised by them."""


def read_image(path: str | os.PathLike, *, upright: bool = False) -> Image.Image:
    """The RGB image in a file: as it is stored, like COCO's tools, or, with `upright`, turned as its EXIF tag asks.

    Raises: FileNotFoundError; ValueError, naming the file, if it cannot be decoded.
    """
    with open_image(path) as image:
        turn = TURNS.get(orientation(image)) if upright else None
        image = to_rgb(image)
        return image if turn is None else image.transpose(turn)


TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What puts an image upright, by EXIF's orientation."""


def orientation(image: Image.Image) -> int:
    """What an image's EXIF tag says of its orientation; 1, upright, if there is none or it cannot be read."""
    try:
        return image.getexif().get(ExifTags.Base.Orientation, 1)
    except (OSError, SyntaxError, ValueError, RuntimeError):
        return 1


@contextlib.contextmanager
def open_image(path: str | os.PathLike) -> Iterator[Image.Image]:
    """An image file as PIL opens it, not decoded yet. Errors, also while it is in use: those of `read_image`."""
    path = Path(path)
    try:
        if not path.is_file():
            raise FileNotFoundError(f"no image at {path}")
        with Image.open(path) as image:
            yield image
    except FileNotFoundError:
        raise
    except UnidentifiedImageError:
        fault = "PIL knows no such format" if path.stat().st_size else "it is empty"
        raise ValueError(f"{path} cannot be decoded: {fault}") from None
    except (OSError, SyntaxError, ValueError, RuntimeError, MemoryError, Image.DecompressionBombError) as error:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise ValueError(f"{path} cannot be decoded: {reason}") from error


def to_rgb(image: Image.Image) -> Image.Image:
    """An image with 8 bits for each of red, green and blue.

    16-bit grey values are divided by 256. (PIL's own conversion clips all values above 255 to white.)

    Raises: ValueError for pixels of 32 bits, whose range is unknown.
    """
    if image.mode.startswith("I;16"):
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if image.mode in ("I", "F"):
        raise ValueError(f"its pixels have 32 bits (PIL's mode {image.mode}), of unknown range; save it with 8")
    return image.convert("RGB")
