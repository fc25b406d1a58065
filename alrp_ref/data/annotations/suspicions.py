"""Annotations that are valid but probably wrong: duplicates, another box format, empty classes."""

import os
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import groupby
from typing import Any

import numpy as np

from alrp_ref.data.annotations.format import (
    ASKS,
    OUTSIDE,
    STOPS,
    Problem,
    category_ids,
    fault_of_annotation,
    fault_of_category,
    fault_of_image,
    read_boxes,
    sizes_of_images,
)
from alrp_ref.data.annotations.of_the_set import about_the_set

FRACTIONS, OTHER_NUMBERS = "boxes in fractions of the image", "boxes that are not x, y, width, height"
BEYOND, TINY, TWICE = "boxes that reach beyond their image", "boxes below a pixel", "boxes that are there twice"
SAME_FILE, NO_OBJECT = "files that several images name", "classes without a box"

ENOUGH = 20  # boxes, for a statement about all of them that stops a run
MANY = 3  # boxes, for a question
SAMPLE = 20_000  # boxes that are looked at first, before each run
FAR = 1e12  # pixels; sums of what is farther away may exceed any float

FORMS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "x1, y1, x2, y2": lambda b: b,
    "y1, x1, y2, x2": lambda b: b[:, [1, 0, 3, 2]],
    "x1, x2, y1, y2": lambda b: b[:, [0, 2, 1, 3]],
    "y, x, height, width": lambda b: np.stack([b[:, 1], b[:, 0], b[:, 1] + b[:, 3], b[:, 0] + b[:, 2]], axis=1),
    "centre x, centre y, width, height": lambda b: np.hstack([b[:, :2] - b[:, 2:] / 2, b[:, :2] + b[:, 2:] / 2]),
}
"""The corners x1, y1, x2, y2 of boxes, (n, 4), that were written in another form than COCO's."""

UNITS = {"percent": 100, "thousandths": 1000}
"""What a side of the image has, where boxes are written in parts of it."""


def suspicions(content: dict[str, list], file_of: Callable[[str], str] = os.path.normpath) -> Iterator[Problem]:
    """What may be a mistake, and what makes a run pointless, in annotations that `stops` has nothing to say of.

    Args:
        content: of an annotation file, normalised; entries with a fault are passed over.
        file_of: the file that a `file_name` stands for.
    """
    usable, images = usable_boxes(content)
    yield from _about_all_boxes(usable, images)
    yield from _about_each_box(usable, images)
    yield from _about_files(images.values(), file_of)
    yield from about_the_set(usable, images)
    with_boxes = {annotation["category_id"] for annotation in usable}
    names = {c["id"]: c["name"] for c in content["categories"] if fault_of_category(c) is None}
    all_is_well = len(images) == len(content["images"])  # else its boxes may be on an image that has a fault
    for id, name in names.items():
        if id not in with_boxes and all_is_well:
            yield Problem(ASKS, NO_OBJECT, f"no box is a {name!r}")


def pointless(content: dict[str, list]) -> Iterator[Problem]:
    """Those of the `suspicions` that stop a run: all of its boxes would be wrong."""
    every = 1 + len(content["annotations"]) // SAMPLE
    for some in dict.fromkeys((every, 1)):  # what not even a sample says need not be asked of all
        usable, images = usable_boxes(content | {"annotations": content["annotations"][::some]})
        found = [problem for problem in _about_all_boxes(usable, images) if problem.effect == STOPS]
        if not found:
            return
    yield from found


def usable_boxes(content: dict[str, list]) -> tuple[list[dict[str, Any]], dict[int | str, dict[str, Any]]]:
    """The annotations whose boxes say how boxes are written here, and all images, by their id."""
    images = {image["id"]: image for image in content["images"] if fault_of_image(image) is None}
    categories = category_ids(content)
    listed = [
        annotation
        for annotation in content["annotations"]
        if fault_of_annotation(annotation, categories) is None and annotation["image_id"] in images
    ]
    faults = read_boxes(listed, sizes_of_images(listed, images)).faults.tolist()
    usable = [annotation for annotation, fault in zip(listed, faults, strict=True) if fault in ("", OUTSIDE)]
    return usable, images


def in_words(problems: Iterator[Problem]) -> list[str]:
    """A line for each kind of problem: how many there are, and the first of them."""
    lines = []
    for kind, group in groupby(sorted(problems, key=lambda p: p.kind), key=lambda p: p.kind):
        found = list(group)
        lines.append(f"{kind}: {len(found):,} ({found[0]})" if len(found) > 1 else f"{kind}: {found[0]}")
    return lines


def _about_all_boxes(usable: list[dict[str, Any]], images: dict) -> Iterator[Problem]:
    if not usable:
        return
    boxes, sizes = _arrays(usable, images)
    count, image_wide = len(boxes), np.hstack([sizes, sizes])
    if (np.abs(boxes) <= 1).all() and (sizes > 2).all():
        reason = (
            f"all {count:,} boxes lie in the first pixel of their image: are they fractions of it? COCO's are pixels"
        )
        yield Problem(STOPS, FRACTIONS, reason)
        return
    corners = np.hstack([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]])
    beyond = int(_reaches_beyond(corners, sizes).sum())
    if beyond >= MANY and beyond > 0.05 * count:
        forms = {name: form(boxes) for name, form in FORMS.items()}
        forms |= {
            f"{name} of the image": corners / unit * image_wide
            for name, unit in UNITS.items()
            if _ends_at(corners, unit)
        }
        fitting = {name: int(_fits(form, sizes).sum()) for name, form in forms.items()}
        best = max(fitting.values())
        if best >= 0.98 * count:
            forms = " or ".join(name for name, number in fitting.items() if number == best)
            is_certain = count >= ENOUGH and best == count and beyond > 0.3 * count
            reason = (
                f"{beyond:,} of {count:,} boxes reach beyond their image, and {best:,} lie inside as {forms}: are they?"
            )
            yield Problem(STOPS if is_certain else ASKS, OTHER_NUMBERS, f"{reason} COCO's are x, y, width, height")
    elif unit := _unit(corners, image_wide):
        reason = f"none of {count:,} boxes reaches beyond pixel {UNITS[unit]}: are they {unit} of the image?"
        yield Problem(ASKS, OTHER_NUMBERS, reason)
    twice = count - len({_what(annotation) for annotation in usable})
    if twice >= MANY and twice >= 0.4 * count:
        reason = f"{twice:,} of {count:,} boxes are there before: was a set exported or merged twice?"
        yield Problem(ASKS, "every box twice", reason)


def _unit(corners: np.ndarray, image_wide: np.ndarray) -> str | None:
    """The unit of boxes that all end at 100, or 1,000, while their images do not."""
    if len(corners) < ENOUGH or (corners < 0).any():
        return None
    side = np.median(image_wide)
    for name, unit in UNITS.items():
        if (_ends_at(corners, unit) and side > 1.1 * unit) or (unit == 100 and corners.max() <= 100.5 and side > 200):
            return name
    return None


def _ends_at(corners: np.ndarray, unit: int) -> bool:
    """Whether the last of many corners is where an image has its end in this unit."""
    return 0.95 * unit <= corners.max() <= 1.005 * unit


def _about_each_box(usable: list[dict[str, Any]], images: dict) -> Iterator[Problem]:
    if not usable:
        return
    boxes, sizes = _arrays(usable, images)
    corners = np.hstack([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]])
    whats = list(map(_what, usable))
    is_first = np.zeros(len(usable), dtype=bool)
    is_first[list({what: n for n, what in reversed(list(enumerate(whats)))}.values())] = True
    for kind, holds in (
        (BEYOND, _reaches_beyond(corners, sizes)),
        (TINY, (boxes[:, 2:] < 1).any(axis=1)),
        (TWICE, ~is_first),
    ):
        for annotation in (usable[n] for n in holds.nonzero()[0]):
            image = images[annotation["image_id"]]
            reason = f"bbox {annotation['bbox']} in {image['width']} x {image['height']} pixels"
            yield Problem(ASKS, kind, reason, image["file_name"], image["id"], annotation.get("id"))


def _about_files(images: Any, file_of: Callable[[str], str]) -> Iterator[Problem]:
    images = [(file_of(image["file_name"]), image) for image in images]
    times = Counter(file for file, _ in images)
    first: dict[str, Any] = {}
    for file, image in images:
        if times[file] > 1 and first.setdefault(file, image["id"]) != image["id"]:
            reason = f"image {first[file]} has the same file: was a set merged with another, or listed twice?"
            yield Problem(ASKS, SAME_FILE, reason, image["file_name"], image["id"])


def _arrays(usable: list[dict[str, Any]], images: dict) -> tuple[np.ndarray, np.ndarray]:
    """Boxes (n, 4), and width and height of their images (n, 2)."""
    boxes = np.array([annotation["bbox"] for annotation in usable], dtype=np.float64).clip(-FAR, FAR)
    return boxes, sizes_of_images(usable, images).astype(np.float64)


def _reaches_beyond(corners: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Which boxes do by more than a pixel: rounding is no mistake."""
    return (corners[:, :2] < -1).any(axis=1) | (corners[:, 2:] > sizes + 1).any(axis=1)


def _fits(corners: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Which corners are those of a box inside its image."""
    return (corners[:, :2] < corners[:, 2:]).all(axis=1) & ~_reaches_beyond(corners, sizes)


def _what(annotation: dict[str, Any]) -> tuple:
    return annotation["image_id"], annotation["category_id"], *annotation["bbox"]
