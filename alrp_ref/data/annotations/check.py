"""Check a data set before a run: report in one pass whatever stops the run, is left out or may be a mistake."""

import contextlib
import csv
import errno
import io
import os
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from itertools import chain, groupby
from pathlib import Path
from typing import Any

from PIL import Image
from tqdm import tqdm

from alrp_ref.data.annotations.format import (
    ASKS,
    LEFT_OUT,
    MALFORMED,
    NO_BOX,
    NOT_COCO,
    STOPS,
    WORKS,
    Problem,
    fault_of_category,
    fault_of_image,
    left_out,
    stops,
)
from alrp_ref.data.annotations.grey_range import GreyRange, has_sixteen_bits
from alrp_ref.data.annotations.image_folder import ImageFolder, fault_of_size
from alrp_ref.data.annotations.layout import SPLITS, Layout, is_cocos
from alrp_ref.data.annotations.normalise import OF_REGION, is_ignored_class
from alrp_ref.data.annotations.of_the_set import sides_in_words
from alrp_ref.data.annotations.read import not_trained, read_normalised
from alrp_ref.data.annotations.suspicions import suspicions, usable_boxes
from alrp_ref.data.transforms import ZOOM_OUT
from alrp_ref.images import open_image, orientation, to_rgb
from alrp_ref.machine.files import DataError, retried

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
        sizes: of the boxes, in words.
        classes: id of each class by its name.
    """

    split: str
    counts: dict[str, int]
    problems: list[Problem]
    sizes: str = ""
    classes: dict[str, Any] = field(default_factory=dict)

    @property
    def stops(self) -> bool:
        """Whether something stops a run."""
        return any(problem.effect == STOPS for problem in self.problems)

    def __str__(self) -> str:
        lines = [f"{self.split}: " + ", ".join(f"{number:,} {name}" for name, number in self.counts.items())]
        lines += [f"  {self.sizes}"] if self.sizes else []
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
    found: list[Check] = []
    for split in splits:  # all, but the first, have its classes
        found.append(_check_split(layout, split, workers, found[0].classes if found else None))
    return found


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


def _check_split(layout: Layout, split: str, workers: int | None, trained: dict[str, Any] | None) -> Check:
    """Args: `trained`, id of each class that is trained, by its name; None for all that are there."""
    file, images_in = layout.split(split)
    folder = ImageFolder(images_in)
    content, without = read_normalised(file, layout.other_annotations(split), trained or ())
    found = list(stops(content))
    if any(problem.kind == NOT_COCO for problem in found):
        return Check(split, {}, found)
    found += [*left_out(content), *suspicions(content, lambda name: str(folder.find(name)))]
    found += map(_why_without, without)
    classes = {c["name"]: c["id"] for c in content["categories"] if fault_of_category(c) is None}
    found += [] if trained is None else _other_classes(classes, trained)
    images = [image for image in content["images"] if fault_of_image(image) is None]
    if any(problem.kind == f"categories {MALFORMED}" for problem in found):
        found = [problem for problem in found if problem.kind != NO_BOX]  # which only follows
    elif images and sum(problem.kind == NO_BOX for problem in found) == len(images):
        found.append(Problem(STOPS, "no box to learn from", f"none of {len(images):,} images has one"))
    elif not content["images"]:
        found.append(Problem(STOPS, "no box to learn from", "there is no image"))
    found += _problems_of_images(folder, images, workers)
    effects = (STOPS, ASKS, LEFT_OUT, WORKS)
    found.sort(key=lambda problem: (effects.index(problem.effect), problem.kind))
    counts = {key: len(content[key]) for key in ("images", "annotations", "categories")}
    counts["annotations"] -= sum(a.get(OF_REGION) == "copy" for a in content["annotations"] if isinstance(a, dict))
    return Check(split, counts, found, sides_in_words(*usable_boxes(content)), classes)


def _why_without(category: dict[str, Any]) -> Problem:
    """A class that the reader leaves out."""
    name = category.get("name")
    if is_ignored_class(category):
        reason = f"{name!r}: each of its boxes is read as a crowd of every class, where nothing is learned or counted"
        return Problem(ASKS, "classes of regions to ignore", reason)
    reason = f"{name!r} is only the supercategory of other classes, and no box is one"
    return Problem(LEFT_OUT, "classes that are headings", reason)


def _other_classes(classes: dict[str, Any], trained: dict[str, Any]) -> Iterator[Problem]:
    """What differs from the classes of the training split; both are ids by name."""
    for name in classes.keys() - trained.keys():
        yield Problem(STOPS, "classes that are not trained", not_trained(name, trained))
    for name in trained.keys() - classes.keys():
        yield Problem(WORKS, "classes that only the training split has", f"{name!r}: it is not evaluated")
    if any(classes[name] != trained[name] for name in classes.keys() & trained.keys()):
        yield Problem(WORKS, "classes with other ids than in the training split", "they are matched by their names")


def _problems_of_images(folder: ImageFolder, images: list[dict[str, Any]], workers: int | None) -> list[Problem]:
    """Decode every image, one thread per core: PIL leaves Python to the others while it decodes."""
    pool, greys = ThreadPoolExecutor(os.cpu_count() if workers is None else max(1, workers)), GreyRange()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # LARGE says it in our words
            looks = pool.map(partial(_look, folder, greys), images)
            bar = tqdm(looks, desc=folder.folder.name, total=len(images), unit=" images", dynamic_ncols=True)
            found = list(chain.from_iterable(bar))
            return found + [problem for problem in [greys.problem()] if problem is not None]
    finally:
        pool.shutdown(cancel_futures=True)  # after Ctrl-C too


def _look(folder: ImageFolder, greys: GreyRange, listed: dict[str, Any]) -> list[Problem]:
    """What is to be said about one image."""
    about, path = (listed["file_name"], listed["id"]), folder.find(listed["file_name"])
    try:
        return retried(partial(_look_at, path, greys, listed))
    except FileNotFoundError:
        return [Problem(STOPS, "images that are missing", folder.reason_missing(listed["file_name"]), *about)]
    except OSError as error:
        if error.errno in (errno.EMFILE, errno.ENFILE):  # no fault of the image
            raise DataError(
                f"{path} cannot be opened: too many files are open; give fewer --workers, or a higher `ulimit -n`"
            ) from error
        return [Problem(STOPS, "images that cannot be read", str(error.strerror), *about)]
    except ValueError as error:
        reason = str(error).removeprefix(f"{path} cannot be decoded: ")
        return [Problem(STOPS, "images that cannot be decoded", reason, *about)]


def _look_at(path: Path, greys: GreyRange, listed: dict[str, Any]) -> list[Problem]:
    about = (listed["file_name"], listed["id"])
    with open_image(path) as image:
        found = [Problem(WORKS, kind, reason, *about) for kind, reason in _oddities(image, path.suffix)]
        if fault := fault_of_size(image, (listed["width"], listed["height"])):
            found.append(Problem(STOPS, "images of another size", fault, *about))
        of_sixteen = has_sixteen_bits(image)
        image.draft("L", (1, 1))  # a JPEG in an eighth of its size: read to its end in two thirds of the time
        to_rgb(image)
        greys.add(image, of_sixteen)
        return found


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
