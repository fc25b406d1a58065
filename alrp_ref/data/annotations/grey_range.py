"""Which values of 16 bits the pictures of a set use: of 12 bits, nothing but the darkest greys is left."""

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from threading import Lock

import numpy as np
from PIL import Image

from alrp_ref.data.annotations.format import ASKS, Problem
from alrp_ref.images import open_image

FEW_GREYS = "pictures of 16 bits that use few of them"
LEFT_ASIDE = 0.001  # of the pixels, at both ends: a sensor has some that are always black or white
SAMPLE = 20  # pictures, for a question before a run


class GreyRange:
    """The values of all pictures of 16 bits that `add` is given, from many threads."""

    def __init__(self) -> None:
        self._counts, self._lock, self._has_colours = np.zeros(2**16, dtype=np.int64), Lock(), False

    def add(self, image: Image.Image, was_sixteen_bits: bool) -> None:
        """Count the values of an image, once it is decoded. Of colours PIL keeps the upper 8 of 16 bits alone."""
        if image.mode.startswith("I;16"):
            counts = np.bincount(np.asarray(image).ravel(), minlength=2**16)
        elif was_sixteen_bits:
            counts = np.zeros(2**16, dtype=np.int64)
            counts[::256] = np.bincount(np.asarray(image).ravel(), minlength=256)
        else:
            return
        with self._lock:
            self._counts += counts
            self._has_colours |= not image.mode.startswith("I;16")

    def problem(self) -> Problem | None:
        """The question whether this is the range that is meant, if it is a quarter of what there is, or less."""
        total = self._counts.sum()
        if not total:
            return None
        low, high = np.searchsorted(self._counts.cumsum(), [LEFT_ASIDE * total, (1 - LEFT_ASIDE) * total]).tolist()
        if high - low >= 2**14:
            return None
        low, high = (0, 2 ** max(8, high.bit_length()) - 1) if low < high / 4 else (low, high)
        reason = f"values of 16 bits from {low:,} to {high:,} are read as {low >> 8} to {high >> 8} of 255: "
        cure = f"`--set grey_range={low},{high}` makes them black and white"
        return Problem(ASKS, FEW_GREYS, reason + ("save them with 8 bits" if self._has_colours else cure))


def has_sixteen_bits(image: Image.Image) -> bool:
    """Whether a file that PIL has opened and not decoded holds 16 bits for each value."""
    return image.mode.startswith("I;16") or any(";16" in str(tile) for tile in image.tile)


def question_about_greys(paths: Iterable[Path]) -> Problem | None:
    """`GreyRange.problem` of a few pictures. Those that cannot be read are passed over."""
    greys, paths = GreyRange(), list(paths)
    for path in paths[:: 1 + len(paths) // SAMPLE]:
        with suppress(OSError, ValueError), open_image(path) as image:
            if has_sixteen_bits(image):
                image.load()
                greys.add(image, True)
    return greys.problem()
