"""Reading pictures: decode a file, turn it upright, convert it to RGB. ImageNet's mean and deviation."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError

from alrp_ref.machine.files import retried

IMAGE_MEAN = (0.485, 0.456, 0.406)
IMAGE_STD = (0.229, 0.224, 0.225)
"""ImageNet's statistics: pretrained backbones expect inputs normalised by them."""


FILMS, HEIF = (".mp4", ".mov", ".avi", ".mkv", ".webm", ".m4v"), (".heic", ".heif", ".hif")

with contextlib.suppress(ImportError):
    from pillow_heif import register_heif_opener

    register_heif_opener()

GREYS = (0, 2**16 - 1)
"""The values of a picture of 16 bits that become black and white, by default all that there can be."""


class Unreadable(OSError):
    """The system could not read a file: no fault of the picture in it. Args: as for an OSError."""

    def __str__(self) -> str:
        return f"{self.filename} cannot be read: {self.strerror}"


def read_image(path: str | os.PathLike, *, upright: bool = False, grey_range: tuple[int, int] = GREYS) -> Image.Image:
    """The RGB image in a file: as it is stored, like COCO's tools, or, with `upright`, turned as its EXIF tag asks.

    A disk or network that does not answer is asked again for a few seconds.

    Args: `grey_range`, as for `to_rgb`.
    Raises: FileNotFoundError; Unreadable, or ValueError if it cannot be decoded, which name the file.
    """

    def read() -> Image.Image:
        with open_image(path) as image:
            turn = TURNS.get(orientation(image)) if upright else None
            image = to_rgb(image, grey_range)
            return image if turn is None else image.transpose(turn)

    return retried(read)


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
        raise ValueError(f"{path} cannot be decoded: {_unidentified(path)}") from None
    except (OSError, SyntaxError, ValueError, RuntimeError, MemoryError, Image.DecompressionBombError) as error:
        if getattr(error, "errno", None) is not None:  # those of PIL have none
            raise Unreadable(error.errno, error.strerror, str(path)) from error
        raise ValueError(f"{path} cannot be decoded: {error or type(error).__name__}") from error


def _unidentified(path: Path) -> str:
    """Why PIL does not know the format of a file, and what to do."""
    if not path.stat().st_size:
        return "it is empty"
    if path.suffix.lower() in FILMS:
        return f"it is a film: cut it into pictures, as by `ffmpeg -i {path.name} %06d.png`"
    if path.suffix.lower() in HEIF:
        return "PIL reads HEIC once pillow-heif is installed: pip install pillow-heif, or convert it to JPEG"
    return "PIL knows no such format"


def to_rgb(image: Image.Image, grey_range: tuple[int, int] = GREYS) -> Image.Image:
    r"""An image with 8 bits for each of red, green and blue.

    Of 16 bits of grey, those from `grey_range` (low, high) are spread over the 8, and others are black or white:

    .. math:: \lfloor 256 (v - \text{low}) / (\text{high} - \text{low} + 1) \rfloor

    (PIL's own conversion clips all values above 255 to white.)

    Raises: ValueError for pixels of 32 bits, whose range is unknown.
    """
    if image.mode.startswith("I;16"):
        low, high = grey_range
        values = np.asarray(image).astype(np.int64).clip(low, high) - low
        image = Image.fromarray((values * 256 // (high - low + 1)).astype(np.uint8))
    if image.mode in ("I", "F"):
        raise ValueError(f"its pixels have 32 bits (PIL's mode {image.mode}), of unknown range; save it with 8")
    return image.convert("RGB")
