"""Check a data set before a run: report in one pass whatever stops the run, is left out or may be a mistake."""

import contextlib
import csv
import errno
import io
import os
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import chain, groupby
from pathlib import Path
from typing import Any

from PIL import Image
from tqdm import tqdm

from alrp_ref.data.annotations.format import (
    ASKS,
    LEFT_OUT,
    NO_BOX,
    NOT_COCO,
    STOPS,
    WORKS,
    Problem,
    fault_of_image,
    left_out,
    stops,
)
from alrp_ref.data.annotations.image_folder import ImageFolder, fault_of_size
from alrp_ref.data.annotations.layout import SPLITS, Layout, is_cocos
from alrp_ref.data.annotations.read import read_normalised
from alrp_ref.data.annotations.suspicions import suspicions
from alrp_ref.data.transforms import ZOOM_OUT
from alrp_ref.images import open_image, orientation, to_rgb
from alrp_ref.machine.files import DataError

SHOWN = 5  # problems of a kind in a report; its CSV holds all
LARGE = 20_000_000  # pixels
CSV_HEADER = ("split", "effect", "kind", "file", "image_id", "annotation_id", "reason")


@dataclass
class Check:
    """What was found in one split.

    Attributes:
        split: its name.
        counts: of images, annotations and categories.
        problems: all that was found, those that stop a run first.
    """

    split: str
    counts: dict[str, int]
    problems: list[Problem]

    @property
    def stops(self) -> bool:
        """Whether something stops a run."""
        return any(problem.effect == STOPS for problem in self.problems)

    def __str__(self) -> str:
        lines = [f"{self.split}: " + ", ".join(f"{number:,} {name}" for name, number in self.counts.items())]
        for effect, of_effect in groupby(self.problems, key=lambda problem: problem.effect):
            lines.append(f"  {effect}")
            for kind, group in groupby(of_effect, key=lambda problem: problem.kind):
                found = list(group)
                lines.append(f"    {kind}: {len(found):,}")
                shown = 0 if effect == WORKS else SHOWN
                lines += [f"      {problem}" for problem in found[:shown]]
                if len(found) > shown > 0:
                    lines.append(f"      ... and {len(found) - shown:,} more")
        return "\n".join(lines)


def check_data(
    root: str | os.PathLike[str] | Layout, splits: Sequence[str] | None = None, workers: int | None = None
) -> list[Check]:
    """Look at every annotation and every image of a data set in COCO's layout, on all cores, with a progress bar.

    Args:
        root: folder with ``annotations/`` and the image folders, or a :class:`Layout`.
        splits: those to look at; None: both, or the one that is there in a layout other than COCO's.
        workers: threads that read images; None: one for each core.

    Returns: what was found in each split. If nothing stops a run, then :class:`CocoDataset` reads the whole split.
    Raises: DataError for a split whose annotations or folder is missing, or whose annotations are not JSON; ValueError
        for a negative number of workers.
    """
    if workers is not None and workers < 0:
        raise ValueError(f"workers must be 0 or more, got {workers}")
    layout = Layout.of(root)
    if splits is None:
        splits = SPLITS if is_cocos(layout) else list(layout.splits)
    for split in splits:  # a missing split raises before any image is read
        layout.split(split)
    return [_check_split(layout, split, workers) for split in splits]


def as_csv(checks: Sequence[Check]) -> str:
    """Every problem as a line of CSV: split, effect, kind, file, image_id, annotation_id, reason."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(CSV_HEADER)
    for check in checks:
        for p in check.problems:
            rows.writerow([check.split, p.effect, p.kind, p.file, p.image_id, p.annotation_id, p.reason])
    return text.getvalue()


def is_csv_of_a_check(path: Path) -> bool:
    """Whether a file is what `as_csv` made."""
    with contextlib.suppress(OSError):
        return path.is_file() and path.read_bytes().startswith(",".join(CSV_HEADER).encode())
    return False


def _check_split(layout: Layout, split: str, workers: int | None) -> Check:
    file, images_in = layout.split(split)
    folder = ImageFolder(images_in)
    content, headings = read_normalised(file, layout.other_annotations(split))
    found = list(stops(content))
    if any(problem.kind == NOT_COCO for problem in found):
        return Check(split, {}, found)
    found += [*left_out(content), *suspicions(content, lambda name: str(folder.find(name)))]
    for one in headings:
        reason = f"{one.get('name')!r} is only the supercategory of other classes, and no box is one"
        found.append(Problem(LEFT_OUT, "classes that are headings", reason))
    images = [image for image in content["images"] if fault_of_image(image) is None]
    if sum(problem.kind == NO_BOX for problem in found) == len(images):
        found.append(Problem(STOPS, "no box to learn from", f"none of {len(images):,} images has one"))
    found += _problems_of_images(folder, images, workers)
    effects = (STOPS, ASKS, LEFT_OUT, WORKS)
    found.sort(key=lambda problem: (effects.index(problem.effect), problem.kind))
    return Check(split, {key: len(content[key]) for key in ("images", "annotations", "categories")}, found)


def _problems_of_images(folder: ImageFolder, images: list[dict[str, Any]], workers: int | None) -> list[Problem]:
    """Decode every image, one thread per core: PIL leaves Python to the others while it decodes."""
    pool = ThreadPoolExecutor(os.cpu_count() if workers is None else max(1, workers))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # LARGE says it in our words
            looks = pool.map(partial(_look, folder), images)
            bar = tqdm(looks, desc=folder.folder.name, total=len(images), unit=" images", dynamic_ncols=True)
            return list(chain.from_iterable(bar))
    finally:
        pool.shutdown(cancel_futures=True)  # after Ctrl-C too


def _look(folder: ImageFolder, listed: dict[str, Any]) -> list[Problem]:
    """What is to be said about one image."""
    about, path = (listed["file_name"], listed["id"]), folder.find(listed["file_name"])
    try:
        with open_image(path) as image:
            found = [Problem(WORKS, kind, reason, *about) for kind, reason in _oddities(image, path.suffix)]
            if fault := fault_of_size(image, (listed["width"], listed["height"])):
                found.append(Problem(STOPS, "images of another size", fault, *about))
            image.draft("L", (1, 1))  # a JPEG in an eighth of its size: read to its end in two thirds of the time
            to_rgb(image)
            return found
    except FileNotFoundError:
        return [Problem(STOPS, "images that are missing", folder.reason_missing(listed["file_name"]), *about)]
    except ValueError as error:
        if getattr(error.__cause__, "errno", None) in (errno.EMFILE, errno.ENFILE):  # no fault of the image
            raise DataError(
                f"{path} cannot be opened: too many files are open; give fewer --workers, or a higher `ulimit -n`"
            ) from error
        reason = str(error).removeprefix(f"{path} cannot be decoded: ")
        return [Problem(STOPS, "images that cannot be decoded", reason, *about)]


def _oddities(image: Image.Image, suffix: str) -> Iterator[tuple[str, str]]:
    """Kind and reason of all about an image that is out of the ordinary and does no harm."""
    kinds = {"L": "greyscale images", "CMYK": "CMYK images", "I;16": "images of 16 bits"}
    if image.mode != "RGB":
        yield kinds.get(image.mode, "images with other pixels than RGB"), f"read as RGB, from PIL's mode {image.mode}"
    if Image.registered_extensions().get(suffix.lower(), image.format) != image.format:
        yield "images in another format than their name says", f"read as {image.format}, what it is"
    if orientation(image) != 1:
        yield "images with an EXIF tag to turn them", "read as it is stored, as COCO's tools do"
    if image.width * image.height > LARGE:
        most = ZOOM_OUT**2 * image.width * image.height * 3 / 1e9
        yield "large images", f"{image.width} x {image.height} pixels; zoomed out, they can take {most:.1f} GB"
