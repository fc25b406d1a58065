"""COCO's matching of detections and objects at one IoU threshold, for all images and classes at once."""

from typing import NamedTuple

import numpy as np

IMAGE, BOX, SCORE, CATEGORY = 0, slice(1, 5), 5, 6  # columns of a row of detections


class Objects(NamedTuple):
    """The objects of a data set, g of them: image and category (g,), box (g, 4) as x, y, width, height, area (g,), and
    whether it is a crowd (g,)."""

    image: np.ndarray
    category: np.ndarray
    box: np.ndarray
    area: np.ndarray
    is_crowd: np.ndarray


class Pairs(NamedTuple):
    """Pairs of a detection and an object of the same image and class: their places (n,), and their IoU (n,)."""

    detection: np.ndarray
    object: np.ndarray
    iou: np.ndarray


class Matches(NamedTuple):
    """What counts, class by class and in COCO's order among equal scores: category, image, score and IoU of each
    detection, 0 for a false one, and category and image of each object."""

    category: np.ndarray
    image: np.ndarray
    score: np.ndarray
    iou: np.ndarray
    object_category: np.ndarray
    object_image: np.ndarray


def best_first(rows: np.ndarray, max_detections: int) -> np.ndarray:
    """The detections sorted by class, image and score, the best `max_detections` of each class and image.

    Shape: `rows` (m, 7), the columns above.
    """
    cell = (rows[:, CATEGORY] * (1 + rows[:, IMAGE].max(initial=0)) + rows[:, IMAGE]).astype(np.int64)
    order = (-rows[:, SCORE]).argsort(kind="stable")  # as COCO's
    order = order[cell[order].argsort(kind="stable")]
    cell = cell[order]
    return rows.take(order[np.arange(len(rows)) - np.searchsorted(cell, cell) < max_detections], axis=0)


def pairs_of(rows: np.ndarray, objects: Objects) -> Pairs:
    """All pairs, detection by detection. The IoU with a crowd is the part of the detection that it covers.

    Shape: `rows` (m, 7), the columns above.
    """
    wide = 1 + max(objects.category.max(initial=0), rows[:, CATEGORY].max(initial=0))
    key, wanted = objects.image * wide + objects.category, rows[:, IMAGE] * wide + rows[:, CATEGORY]
    by_key = key.argsort(kind="stable")
    begin, end = (np.searchsorted(key[by_key], wanted, side) for side in ("left", "right"))
    number = end - begin
    detection = np.repeat(np.arange(len(rows)), number)
    found = by_key[np.arange(len(detection)) - np.repeat(number.cumsum() - number - begin, number)]
    return Pairs(detection, found, iou(rows[detection, BOX], objects.box[found], objects.is_crowd[found]))


def iou(boxes: np.ndarray, others: np.ndarray, is_crowd: np.ndarray) -> np.ndarray:
    """IoU of pairs of x, y, width, height: (n, 4), (n, 4) -> (n,); NaN for two boxes without area."""
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        end = np.minimum(boxes[:, :2] + boxes[:, 2:], others[:, :2] + others[:, 2:])
        side = (end - np.maximum(boxes[:, :2], others[:, :2])).clip(0)
        inside, area = side[:, 0] * side[:, 1], boxes[:, 2] * boxes[:, 3]
        return inside / np.where(is_crowd, area, area + others[:, 2] * others[:, 3] - inside)


@np.errstate(over="ignore", invalid="ignore")  # sides may be as large as a float can be
def matched(rows: np.ndarray, objects: Objects, pairs: Pairs, area: tuple[float, float]) -> Matches:
    """Match by COCO's rule: in each image and class, best score first, each to the free object of highest IoU.

    Crowds and objects outside the area range are ignored, and so are the detections that match them, and those without
    a match outside the range. A crowd stays free.

    Args: `rows`, those of `best_first`; `pairs` of them whose IoU is high enough.
    """

    def outside(areas: np.ndarray) -> np.ndarray:
        return (areas < area[0]) | (areas > area[1])

    is_ignored = objects.is_crowd | outside(objects.area)
    # Of equal IoUs the last; an ignored object only where no other is free.
    wish = np.lexsort((-pairs.object, -pairs.iou, is_ignored[pairs.object], pairs.detection))
    detection, found, ious = (x[wish] for x in pairs)
    own, taken, last = [], set(), -1
    is_crowd = objects.is_crowd[found].tolist()
    for n, (d, g) in enumerate(zip(detection.tolist(), found.tolist(), strict=True)):
        if d != last and (g not in taken or is_crowd[n]):
            own.append(n)
            taken.add(g)
            last = d
    own = np.array(own, dtype=np.int64)
    counts, iou_of = ~outside(rows[:, 3] * rows[:, 4]), np.zeros(len(rows))
    counts[detection[own]] = ~is_ignored[found[own]]
    iou_of[detection[own]] = ious[own]
    of_detections = (rows[:, column][counts] for column in (CATEGORY, IMAGE, SCORE))
    return Matches(*of_detections, iou_of[counts], objects.category[~is_ignored], objects.image[~is_ignored])
