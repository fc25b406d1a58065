"""COCO's annotation format: find entries that violate it, and the boxes that a detector can learn from."""

import math
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from alrp_ref.data.annotations.normalise import OF_REGION, ids_of

LONGEST_SIDE = 1_000_000  # pixels; no format that PIL reads goes so far
NOT_COCO, NO_BOX, CROWD = "not a COCO file", "images without a box to learn from", "crowds"
FLAGGED, REGION = "objects with a flag to ignore them", "regions to ignore"
MALFORMED = "that are malformed"
NOT_FINITE, NO_AREA = "boxes that are not finite", "boxes without area"
OUTSIDE = "boxes outside their image"

STOPS, ASKS, LEFT_OUT, WORKS = "stops a run", "may be a mistake", "left out of training", "works"
"""What a problem does: an error; nothing, but a person should look at it; a box or an annotation that training does
without; nothing at all."""


class Problem(NamedTuple):
    """Something about a data set that a person may want to repair.

    Attributes:
        effect: STOPS, ASKS, LEFT_OUT or WORKS.
        kind: the problem in a few words, the same for all of its kind.
        reason: what exactly is wrong here.
        file: name of the image's file, if it is about an image.
        image_id, annotation_id: COCO's ids, as far as known.
    """

    effect: str
    kind: str
    reason: str
    file: str | None = None
    image_id: Any = None
    annotation_id: Any = None

    def __str__(self) -> str:
        about = {"": self.file, "image ": self.image_id, "annotation ": self.annotation_id}
        where = ", ".join(f"{name}{value}" for name, value in about.items() if value is not None)
        return f"{where}: {self.reason}" if where else self.reason


def stops(content: Any) -> Iterator[Problem]:
    """What stops a run in the content of an annotation file, which may be anything that `normalised` returns."""
    keys = ("images", "annotations", "categories")
    missing = [key for key in keys if not isinstance(content, dict) or not isinstance(content.get(key), list)]
    if missing:
        yield Problem(STOPS, NOT_COCO, f"there is no list of {' and '.join(missing)}{_what_it_is(content)}")
        return
    if next((a for a in content["annotations"] if isinstance(a, dict) and "segments_info" in a), None):
        yield Problem(STOPS, NOT_COCO, "it is a panoptic file, of segments: give the file of instances, with boxes")
        return
    yield from _stops_of_entries("images", content["images"], fault_of_image)
    yield from _stops_of_entries("categories", content["categories"], fault_of_category)
    yield from _stops_of_names([c for c in content["categories"] if fault_of_category(c) is None])
    categories, listed = category_ids(content), set(ids_of(content["categories"]))
    for number, annotation in enumerate(content["annotations"]):
        if fault := fault_of_annotation(annotation, categories):
            if fault == NO_CATEGORY and annotation["category_id"] in listed:
                continue  # the fault is that of its class
            yield Problem(STOPS, f"annotations {MALFORMED}", f"annotations[{number}] {fault}: {annotation!r:.100}")


def _what_it_is(content: Any) -> str:
    """What a file without COCO's three lists is, as far as it can be told."""
    first = content[0] if isinstance(content, list) and content and isinstance(content[0], dict) else {}
    if "score" in first:
        return ": it is a list of detections: give the file that they are evaluated on"
    if isinstance(content, list):
        return ": it is a list, as of annotations alone: give the whole file"
    return ""


def left_out(content: dict[str, list]) -> Iterator[Problem]:
    """Annotations and images without a box to learn from, as far as `stops` says nothing of them."""
    images = {image["id"]: image for image in content["images"] if fault_of_image(image) is None}
    categories = category_ids(content)
    annotations = [a for a in content["annotations"] if fault_of_annotation(a, categories) is None]
    listed = [a for a in annotations if a["image_id"] in images]
    faults = iter(read_boxes(listed, sizes_of_images(listed, images)).faults.tolist())
    learnable, malformed = set(), set(ids_of(content["images"])) - images.keys()
    for annotation in annotations:
        ids, bbox = (annotation["image_id"], annotation["id"]), f"bbox {annotation['bbox']}"
        if annotation["image_id"] not in images:
            if annotation["image_id"] not in malformed:  # else the fault is that of the image
                yield Problem(LEFT_OUT, "annotations of images that are not listed", bbox, None, *ids)
        elif fault := next(faults):
            image = images[annotation["image_id"]]
            reason = f"{bbox} in {image['width']} x {image['height']} pixels{WHY_IGNORED.get(fault, '')}"
            works, kind = fault == CROWD, REGION if OF_REGION in annotation else fault
            if annotation.get(OF_REGION) != "copy":
                yield Problem(WORKS if works else LEFT_OUT, kind, reason, image["file_name"], *ids)
        else:
            learnable.add(annotation["image_id"])
    for image_id, image in images.items():
        if image_id not in learnable:
            yield Problem(LEFT_OUT, NO_BOX, "no box is left of it", image["file_name"], image_id)


WHY_IGNORED = {
    CROWD: "; what is found there is neither right nor wrong",
    FLAGGED: "; not learned, and no background; an evaluation counts it, as pycocotools does: iscrowd 1 leaves it out",
}
FLAGS = ("ignore", "ignored", "isignore", "isignored", "isgroupof", "groupof", "difficult", "isdifficult", "dontcare")
"""Fields that say, if they are set, that an object is not to be learned: their letters, in lower case."""
NESTED = ("attributes", "extra")
"""Fields of an annotation whose fields may be such flags."""


def _flagged(annotations: Sequence[dict[str, Any]]) -> np.ndarray:
    """Which annotations have one of the `FLAGS` set: (n,) bool."""
    found = np.array([_is_set(a) for a in annotations], dtype=bool) if _has_flag(annotations) else False
    for key in NESTED:
        inner = [value if isinstance(value := a.get(key), dict) else {} for a in annotations]
        if _has_flag(inner):
            found |= np.array([_is_set(one) for one in inner], dtype=bool)
    return np.zeros(len(annotations), dtype=bool) | found


def _has_flag(entries: Sequence[dict[str, Any]]) -> bool:
    return any(map(_is_flag, set().union(*entries)))


def _is_flag(key: str) -> bool:
    return re.sub("[^a-z]", "", key.lower()) in FLAGS


def _is_set(entry: dict[str, Any]) -> bool:
    flags = (value for key, value in entry.items() if value and _is_flag(key))
    return any(str(value).lower() not in ("0", "0.0", "false", "no") for value in flags)


def sizes_of_images(annotations: Sequence[dict[str, Any]], images: dict[int | str, dict[str, Any]]) -> np.ndarray:
    """Width and height of the image of each annotation: (n, 2), in pixels. Args: `images`, by their id."""
    return np.array([[images[a["image_id"]][side] for side in SIDES] for a in annotations]).reshape(-1, 2)


class Boxes(NamedTuple):
    """Boxes as a detector reads them, and why it cannot learn from some.

    Attributes:
        corners: (n, 4) float32, x1, y1, x2, y2 in pixels, inside the image.
        faults: (n,) text, a kind of problem, or "" for a box that a detector can learn from.
    """

    corners: np.ndarray
    faults: np.ndarray


def read_boxes(annotations: Sequence[dict[str, Any]], sizes: np.ndarray) -> Boxes:
    """The boxes of annotations that `stops` says nothing of. Args: `sizes` (n, 2), width and height of their images."""
    listed = [annotation["bbox"] for annotation in annotations]
    try:
        bbox = np.array(listed, dtype=np.float64).reshape(-1, 4)
    except OverflowError:  # JSON's whole numbers have no limit; floats have
        bbox = np.array([four if all(map(is_finite, four)) else [math.nan] * 4 for four in listed])
    crowd = np.array([annotation.get("iscrowd", 0) for annotation in annotations], dtype=bool)
    with np.errstate(over="ignore", invalid="ignore"):  # what is not finite is found below
        corners = np.hstack([bbox[:, :2], bbox[:, :2] + bbox[:, 2:]])
    corners = corners.clip(0, np.hstack([sizes, sizes])).astype(np.float32)
    faults = np.select(
        [
            crowd,  # one box around many objects is not a target for a detector
            _flagged(annotations),
            ~np.isfinite(bbox).all(axis=1),
            (bbox[:, 2:] <= 0).any(axis=1),
            (corners[:, :2] >= corners[:, 2:]).any(axis=1),
        ],
        [CROWD, FLAGGED, NOT_FINITE, NO_AREA, OUTSIDE],
        default="",
    )
    return Boxes(corners, faults)


def _stops_of_entries(key: str, entries: list, fault_of: Callable[[Any], str | None]) -> Iterator[Problem]:
    seen = set()
    for number, entry in enumerate(entries):
        if fault := fault_of(entry):
            yield Problem(STOPS, f"{key} {MALFORMED}", f"{key}[{number}] {fault}: {entry!r:.100}")
        elif entry["id"] in seen:
            image = (entry["file_name"], entry["id"]) if key == "images" else ()
            yield Problem(STOPS, f"{key} whose id occurs twice", f"{key}[{number}] has id {entry['id']} again", *image)
        else:
            seen.add(entry["id"])


def _stops_of_names(categories: list[dict[str, Any]]) -> Iterator[Problem]:
    """Results are told apart by the name of their class."""
    ids: dict[str, int | str] = {}
    for category in categories:
        first = ids.setdefault(category["name"], category["id"])
        if first != category["id"]:
            reason = f"categories {first} and {category['id']} are both named {category['name']!r}"
            yield Problem(STOPS, "categories whose name occurs twice", reason)


def fault_of_image(image: Any) -> str | None:
    """What is wrong with an entry of `images`, or None."""
    if fault := _fault_of_fields(
        image, {"id": _not_an_id, "file_name": _not_a_text} | dict.fromkeys(SIDES, _not_whole)
    ):
        return fault
    possible = all(0 < image[side] <= LONGEST_SIDE for side in SIDES)
    return None if possible else f"has a side that is not in 1 to {LONGEST_SIDE:,} pixels"


SIDES = ("width", "height")


def fault_of_category(category: Any) -> str | None:
    """What is wrong with an entry of `categories`, or None."""
    return _fault_of_fields(category, {"id": _not_an_id, "name": _not_a_text})


def _fault_of_fields(entry: Any, faults: dict[str, Callable[[Any], str | None]]) -> str | None:
    if not isinstance(entry, dict):
        return "is not an object"
    for key, fault_of in faults.items():
        if key not in entry:
            return f"has no {key}"
        if fault := fault_of(entry[key]):
            return f"has {'an' if key[0] in 'ai' else 'a'} {key} {fault}"
    return None


def _not_whole(value: Any) -> str | None:
    return None if isinstance(value, int) and not isinstance(value, bool) else "that is not a whole number"


def _not_a_text(value: Any) -> str | None:
    if not isinstance(value, str):
        return "that is not a text"
    hidden = any(c < " " or "\ud800" <= c <= "\udfff" for c in value)
    return "with characters that no terminal or file can show" if hidden else None


def _not_an_id(value: Any) -> str | None:
    if isinstance(value, str):
        return _not_a_text(value)
    return "that is neither a whole number nor a text" if _not_whole(value) else None


def _not_a_box(value: Any) -> str | None:
    is_box = isinstance(value, list) and len(value) == 4 and all(map(_is_number, value))
    return None if is_box else "that is not four numbers x, y, width, height"


FIELDS_OF_ANNOTATION = dict.fromkeys(("id", "image_id", "category_id"), _not_an_id) | {"bbox": _not_a_box}


def category_ids(content: dict[str, list]) -> set[int | str]:
    """The ids of the classes that are well formed."""
    return {category["id"] for category in content["categories"] if fault_of_category(category) is None}


NO_CATEGORY = "has a category_id that no category has"


def fault_of_annotation(annotation: Any, categories: set) -> str | None:
    """What is wrong with an entry of `annotations`, or None; `categories` are the ids of the classes."""
    if fault := _fault_of_fields(annotation, FIELDS_OF_ANNOTATION):
        return fault
    if not _is_number(annotation.get("area", 0)):
        return "has an area that is not a number"
    if annotation.get("iscrowd", 0) not in (0, 1):
        return "has an iscrowd that is not 0 or 1"
    if annotation["category_id"] not in categories:
        return NO_CATEGORY
    return None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def is_finite(value: float) -> bool:
    """Whether a number is one that a float can hold: JSON's whole numbers have no limit."""
    try:
        return math.isfinite(value)
    except OverflowError:
        return False
