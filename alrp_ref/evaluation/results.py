"""Detections in COCO's format, as rows of numbers."""

import re
from collections import Counter
from collections.abc import Callable
from operator import itemgetter
from typing import Any

import numpy as np

from alrp_ref.data.annotations.format import is_finite
from alrp_ref.data.annotations.normalise import Ids
from alrp_ref.evaluation.ground_truth import GroundTruth

NUMBER = (int, float, np.number)


def rows_of(detections: Any, truth: GroundTruth) -> np.ndarray:
    """The detections as rows (number of image, x, y, w, h, score, number of category), (m, 7).

    An `image_id` is an id of the ground truth. If some are not, all are taken for names of files, with or without the
    suffix, or for the number that such a name is; and if that fails, the `file_name` of each detection is taken.

    Raises: ValueError for a detection that is malformed, of an unknown image or category, or whose `file_name` is not
        that of its image; the message shows it.
    """
    if not isinstance(detections, list):
        known = ': give its list "annotations"' if isinstance(detections, dict) and "annotations" in detections else ""
        raise ValueError(f"detections must be a list of dictionaries, got {type(detections).__name__}{known}")
    # Vectorised first, which takes a tenth of the time. If that fails, a loop finds the detection for the message.
    rows = _columns(detections, truth.image_id.get, truth.category_id.get)
    if rows is None:
        for number, detection in enumerate(detections):
            if problem := _problem(detection):
                raise ValueError(f"detections[{number}] {problem}: {detection!r:.200}")
        ids = {"image_id": _images(detections, truth)}
        ids |= {"category_id": _numbers(detections, "category_id", truth.category_id)}
        for key, numbers in ids.items():
            if None in numbers:
                number = numbers.index(None)
                one = detections[number]
                raise ValueError(f"detections[{number}] has the unknown {key} {one.get(key)!r}: {one!r:.200}")
        boxes_and_scores = [[*d["bbox"], d["score"]] for d in detections]
        rows = np.column_stack([ids["image_id"], np.reshape(boxes_and_scores, (-1, 5)), ids["category_id"]])
        rows = rows.astype(np.float64)
    if any("file_name" in detection for detection in detections):
        _check_files(detections, rows[:, 0].astype(int), truth.files)
    return rows[rows[:, -1] > 0]


def _columns(detections: list, image: Callable, category: Callable) -> np.ndarray | None:
    """The rows, vectorised; None if any detection may have a `_problem`, or an id in another form."""
    try:
        boxes, score = ([detection[key] for detection in detections] for key in ("bbox", "score"))
        box, score = np.array(boxes), np.array(score)
        finders = {"image_id": image, "category_id": category}
        ids = (list(map(find, map(itemgetter(key), detections))) for key, find in finders.items())
        image, category = (np.array(numbers, dtype=np.float64) for numbers in ids)  # None is NaN
    except (KeyError, TypeError, ValueError):
        return None
    if box.shape != (len(score), 4) or score.ndim != 1 or any(x.dtype.kind not in "iuf" for x in (box, score)):
        return None
    if not all(np.isfinite(x).all() for x in (image, box, score, category)) or (box[:, 2:] < 0).any():
        return None
    return np.column_stack([image, box, score, category]).astype(np.float64, copy=False)


def _problem(detection: Any) -> str | None:
    """What is wrong with a detection, its ids aside."""
    if not isinstance(detection, dict):
        return "is not a dictionary"
    needed = {"image_id", "category_id", "bbox", "score"} - {"image_id" if "file_name" in detection else ""}
    if missing := needed - detection.keys():
        mask = next((key for key in ("segmentation", "keypoints") if key in detection), None)
        others = f" and has {mask}, but only boxes are evaluated" if mask and "bbox" in missing else ""
        return f"lacks {', '.join(sorted(missing))}{others}"
    box, score = detection["bbox"], detection["score"]
    if not (isinstance(score, NUMBER) and is_finite(score)):
        return "has a score that is not a finite number"
    if not (
        isinstance(box, (list, tuple))
        and len(box) == 4
        and all(isinstance(v, NUMBER) and is_finite(v) for v in box)
        and min(box[2:]) >= 0
    ):
        return "has a bbox that is not [x, y, width, height] with finite numbers and no negative size"
    return None


def _images(detections: list[dict[str, Any]], truth: GroundTruth) -> list[int | None]:
    """The number of the image of each detection: by its id, by a file's name in place of it, or by its `file_name`."""
    names = [(name, number) for number, file in truth.files.items() if file for name in set(_names_of(file))]
    times = Counter(name for name, _ in names)
    by_name = {name: number for name, number in names if times[name] == 1}
    ways = (("image_id", truth.image_id), ("image_id", by_name), ("file_name", by_name))
    found = [_numbers(detections, key, known) for key, known in ways]
    return next((numbers for numbers in found if None not in numbers), found[0])


def _numbers(detections: list[dict[str, Any]], key: str, known: dict[int | str, int]) -> list[int | None]:
    """The number of the id of each detection, None where it is not known."""
    ids = Ids(known)

    def number(value: Any) -> int | None:
        names = [ids.find(value), *(_names_of(value) if isinstance(value, str) and key != "category_id" else [])]
        return next((known[name] for name in names if isinstance(name, int | str) and name in known), None)

    return [number(detection.get(key)) for detection in detections]


def _names_of(file: str) -> list[int | str]:
    """What a file is called: its path, its name, its name without the suffix, and the number that this is."""
    name = re.split(r"[/\\]", file)[-1]
    stem = re.sub(r"\.[A-Za-z]\w{1,3}$", "", name)
    return [file, name, stem, *([int(stem)] if re.fullmatch("[0-9]{1,20}", stem) else [])]


def _check_files(detections: list[dict[str, Any]], images: np.ndarray, files: dict[int, str]) -> None:
    """Raise ValueError if a detection says that it is of another file than that of its image."""
    for number, (detection, image) in enumerate(zip(detections, images.tolist(), strict=True)):
        named, file = detection.get("file_name"), files.get(image)
        if file and isinstance(named, str) and _names_of(named)[2] != _names_of(file)[2]:
            raise ValueError(
                f"detections[{number}] is of {named}, but image {detection.get('image_id')!r} is {file}: give the "
                "image_id of the annotations, or the file name in its place"
            )
