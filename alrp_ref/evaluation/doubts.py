"""What is valid and probably a mistake, in ground truth and detections that are to be evaluated."""

from collections.abc import Iterator

import numpy as np

from alrp_ref.data.annotations.suspicions import FORMS
from alrp_ref.evaluation.ground_truth import GroundTruth
from alrp_ref.evaluation.matching import BOX, IMAGE, SCORE, Objects, iou, pairs_of
from alrp_ref.evaluation.metrics import MAX_DETECTIONS

MANY = 3  # objects, or detections, for a statement about them
SHARE = 0.01  # of the objects, whose area is doubtful
SAMPLE = 2_000  # detections, the best, that are read in other forms
SIDES = (320, 416, 512, 608, 640, 800, 1024, 1280)  # of the inputs of common detectors


def doubts(truth: GroundTruth, objects: Objects, rows: np.ndarray, max_detections: int) -> Iterator[str]:
    """A sentence for each kind of mistake."""
    yield from _about_areas(truth.bad_areas, objects)
    yield from _about_the_limit(objects, max_detections)
    yield from _about_boxes(truth, objects, rows)


def _about_areas(bad: int, objects: Objects) -> Iterator[str]:
    if bad:
        yield f"{bad:,} areas are negative or not finite: the area of the box is taken for them"
    of_box = objects.box[:, 2:].prod(axis=1)
    wrong = ~objects.is_crowd & (of_box > 0) & ((objects.area > 1.05 * of_box) | (objects.area < 0.01 * of_box))
    if wrong.sum() >= MANY and wrong.mean() > SHARE:
        first = f"{objects.area[wrong][0]:g} for a box of {of_box[wrong][0]:g} pixels"
        yield (
            f"{wrong.sum():,} of {len(wrong):,} areas do not belong to their box, such as {first}: the "
            "metrics for small, medium and large objects go by the area"
        )


def _about_the_limit(objects: Objects, most: int) -> Iterator[str]:
    cells = np.stack([objects.image, objects.category], axis=1)[~objects.is_crowd]
    _, numbers = np.unique(cells, axis=0, return_counts=True)
    missed = (numbers - most).clip(0)
    if missed.any() and most >= MAX_DETECTIONS:  # who asks for fewer knows
        images = len(np.unique(np.unique(cells, axis=0)[missed > 0, 0]))
        yield (
            f"{most} detections of a class count in an image, and {images:,} images hold more objects of a class, up "
            f"to {numbers.max():,}: {missed.sum():,} of {len(cells):,} objects cannot be found; "
            f"max_detections={numbers.max()} counts them all"
        )


def _about_boxes(truth: GroundTruth, objects: Objects, rows: np.ndarray) -> Iterator[str]:
    """Read the boxes in other forms: in the right one, far more of them find an object."""
    sample = rows[(-rows[:, SCORE]).argsort()[:SAMPLE]]
    pairs = pairs_of(sample, objects)
    sizes = np.array([[image["width"], image["height"]] for image in truth.content["images"]]).reshape(-1, 2)
    numbers = np.array([image["id"] for image in truth.content["images"]], dtype=int)
    sizes = sizes[numbers.argsort()][sample[pairs.detection, IMAGE].astype(int) - 1].astype(np.float64)
    boxes, found = sample[pairs.detection, BOX], objects.box[pairs.object]

    def hits(read: np.ndarray) -> int:
        near = iou(read, found, objects.is_crowd[pairs.object]) >= 0.5
        return len(np.unique(pairs.detection[near]))

    as_it_is, most = hits(boxes), len(np.unique(pairs.detection))
    if most <= 2 * as_it_is + MANY:
        return
    number, name = max(((hits(read), name) for name, read in _readings(boxes, sizes)), key=lambda one: one[0])
    if number > 2 * as_it_is + MANY and number > 0.05 * len(sample):
        yield (
            f"of {len(sample):,} detections {as_it_is:,} find an object if their boxes are x, y, width, height in "
            f"pixels, and {number:,} if they are {name}: are they?"
        )


def _readings(boxes: np.ndarray, sizes: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """Boxes in other forms, and in other units, as x, y, width, height in pixels. Args: `sizes` of their images."""
    wide, longest = np.hstack([sizes, sizes]), sizes.max(axis=1, keepdims=True)
    units = {"": 1.0, " in fractions of the image": wide, " in percent of the image": wide / 100}
    units |= {f" in pixels of an input of {side} x {side}": longest / side for side in SIDES}
    forms = FORMS | {"x, y, width, height": lambda b: np.hstack([b[:, :2], b[:, :2] + b[:, 2:]])}
    for unit, scale in units.items():
        for form, corners in forms.items():
            read = corners(boxes * scale)
            yield form + unit, np.hstack([read[:, :2], read[:, 2:] - read[:, :2]])
