"""Find an image by the name that annotations have for it, which may be that of another computer."""

import contextlib
import os
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import parse_qsl, unquote, unquote_plus, urlsplit

from PIL import Image

from alrp_ref.images import orientation, read_image
from alrp_ref.machine.files import NO_ANSWER, DataError

TURNED = (5, 6, 7, 8)  # EXIF's orientations by a quarter turn


class ImageFolder:
    """A folder of images, in which files are found by the names that tools write.

    Tried one after the other: the name as it is; without what only the computer of the export had (scheme, host, drive,
    folders), with `/` for a backslash, with letters for `%20` and the like; the same letters in another normal form;
    the one file whose name differs in escapes and capitals only, which other computers take for equal.

    Args: `folder`; it is read only when a name is not found as it is.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self._listings: dict[Path, dict[str, Path]] = {}

    def find(self, name: str) -> Path:
        """The file that `name` means; if there is none, where it would be by its name."""
        direct = self.folder / name
        with contextlib.suppress(OSError, ValueError):  # a name that no disk can hold: reading it says why
            if direct.is_file():
                return direct
            for other in other_names(name):
                path = self.folder / other
                if path.is_file():
                    return path
                listing = self._listing(path.parent)
                alike = listing.get(_letters(path.name)) or listing.get(_loosely(path.name))
                if alike is not None:
                    return alike
        return direct

    def _listing(self, folder: Path) -> dict[str, Path]:
        """The files of a folder by the letters of their names, whatever the locale makes of these."""
        if folder not in self._listings:
            names = os.listdir(os.fsencode(folder)) if folder.is_dir() else []
            files = {name.decode("utf-8", "surrogateescape"): folder / os.fsdecode(name) for name in names}
            loose = {name: _loosely(name) for name in files}
            times = Counter(loose.values())
            alike = {loose[name]: path for name, path in files.items() if times[loose[name]] == 1}
            self._listings[folder] = alike | {_letters(name): path for name, path in files.items()}
        return self._listings[folder]

    def read(
        self, name: str, size: Sequence[int], image_id: int | str, annotations: Path, grey_range: tuple[int, int]
    ) -> Image.Image:
        """The RGB image that an annotation file lists under a name, with a width and height in pixels.

        Raises: DataError for an image that is missing, cannot be read or decoded, or has another size.
        """
        path = self.find(name)
        try:
            image = read_image(path, grey_range=grey_range)
        except FileNotFoundError:
            remedy = "download the image again, or remove it from the annotations"
            if is_of_another_computer(name):
                remedy = self.reason_missing(name)
            raise DataError(f"{path} is missing, but {annotations} lists it (image id {image_id}); {remedy}") from None
        except OSError as error:
            remedy = "the disk does not answer: give the same command again once it does"
            if error.errno not in NO_ANSWER:
                remedy = "see to it that it can be read"
            raise DataError(f"{error} (image id {image_id}); {remedy}") from error
        except ValueError as error:
            raise DataError(f"{error} (image id {image_id}); download the image again") from error
        if fault := fault_of_size(image, size):
            raise DataError(f"{path} (image id {image_id}) {fault}, as {annotations} says")
        return image

    def reason_missing(self, name: str) -> str:
        """Why an image is not there, in words."""
        if is_of_another_computer(name):
            bare = list(other_names(name))[-1]
            return (
                f"{name!r} is a name that the tool which exported the annotations wrote, and {bare!r} is not in "
                f"{self.folder} either: give the folder of the images, or export with their bare names"
            )
        return f"not in {self.folder}"


def fault_of_size(image: Image.Image, listed: Sequence[int]) -> str | None:
    """What is wrong if an image has not the size that the annotations list: its boxes would be misplaced.

    Args: `listed`, width and height in pixels.
    """
    wanted = tuple(listed)
    if image.size == wanted:
        return None
    fault = f"has {image.width} x {image.height} pixels, not {wanted[0]} x {wanted[1]}"
    turned = orientation(image) in TURNED and image.size == wanted[::-1]
    # COCO's boxes are those of the pixels as they are stored, and its tools ignore the tag, as we do.
    return f"{fault} (its EXIF tag asks viewers to turn it: store it upright)" if turned else fault


def is_of_another_computer(name: str) -> bool:
    """Whether a name has a scheme, a drive, a backslash or an escape, or begins at the root."""
    return bool(re.search(r"://|\\|%[0-9A-Fa-f]{2}|^[A-Za-z]:|^/", name))


def other_names(name: str) -> Iterator[str]:
    """Paths inside a folder that a name may mean, the longest first."""
    texts = [name, unquote(name), re.sub(r"^\w+:", "", name)]  # C:1.jpg, file:1.jpg
    if "://" in name or "?" in name:
        address = urlsplit(name)
        texts += [unquote(address.path), *(value for _, value in parse_qsl(address.query))]  # ?d=local/files/1.jpg
    seen = set()
    for text in texts:
        parts = [part for part in re.split(r"[/\\]", text) if part not in ("", ".", "..") and not part.endswith(":")]
        for first in range(len(parts)):
            path = "/".join(parts[first:])
            if path not in seen:
                seen.add(path)
                yield path


def _letters(name: str) -> str:
    """A name in one normal form: a Mac writes an accent as a letter of its own."""
    return unicodedata.normalize("NFC", name)


def _loosely(name: str) -> str:
    """What two names for one file have in common if one of them was escaped, or has other capitals."""
    return _letters(unquote_plus(name)).casefold()
