"""COCO's average precision (AP) and optimal LRP (oLRP) of a set of detections."""

import math
import os
from collections.abc import Iterable
from operator import itemgetter
from typing import Any, NamedTuple

import numpy as np
from hotcoco import COCO, COCOeval

from alrp_ref.data.annotations.format import is_finite, stops
from alrp_ref.data.annotations.normalise import Ids, id_order, normalised
from alrp_ref.evaluation.metrics import Metrics, iou_index
from alrp_ref.evaluation.olrp import optimal_lrp_by_class
from alrp_ref.machine.files import DataError, read_json
from alrp_ref.machine.garbage import without_garbage_collection

# Indices into the evaluator's arrays: precision has the axes (IoU, recall, class, area, detections), recall the same
# without the second.
AREAS = ("all", "small", "medium", "large")
ALL, SMALL, MEDIUM, LARGE = range(4)
ONE, TEN, HUNDRED = range(3)

NUMBER = (int, float, np.number)
PathLike = str | os.PathLike[str]


@without_garbage_collection()
def evaluate(gt: PathLike | dict[str, Any], detections: PathLike | list[dict[str, Any]]) -> Metrics:
    """Evaluate detections against ground truth in COCO's format.

    Args:
        gt: an annotation file, or its content: ``{"images": ..., "annotations": ..., "categories": ...}``. An
            annotation without an area gets that of its box. One whose box is not finite is ignored.
        detections: a result file, or its content: ``[{"image_id", "category_id", "bbox", "score"}, ...]``, the box
            as x, y, width, height in pixels. An empty list is valid: AP 0, oLRP 1. Ids are whole numbers or texts.

    Returns:
        :class:`Metrics`. AP and AR are equal to pycocotools', bit for bit. oLRP is the exact minimum over all score
        thresholds.

    Raises:
        ValueError: a detection that is malformed, or of an unknown image or category; the message shows it.
        DataError: a file that is missing or has another format.
    """
    truth, rows, evaluator = _evaluated(gt, detections)
    precision, recall = (np.asarray(evaluator.eval[name]) for name in ("precision", "recall"))
    lrp_of = optimal_lrp_by_class(truth, rows, evaluator)

    names = {c["id"]: c["name"] for c in truth["categories"]}
    category_ids = sorted(names)  # the order of the evaluator's class axis
    return Metrics(
        overall=_average_precision(precision, recall) | _optimal_lrp(lrp_of.values()),
        per_class={
            names[c]: _average_precision(precision[:, :, [k]], recall[:, [k]]) | _optimal_lrp([lrp_of[c]])
            for k, c in enumerate(category_ids)
        },
        lrp_thresholds={names[c]: float(lrp_of[c].threshold) for c in category_ids},
    )


def precision_curves(
    gt: PathLike | dict[str, Any], detections: PathLike | list[dict[str, Any]], area: str = "all"
) -> np.ndarray:
    """Precision at each of COCO's 10 IoU thresholds (rows) and 101 recalls (columns), mean over the classes.

    The mean of a row is the AP at its threshold. Arguments and errors: as `evaluate`; `area` is the size of the objects
    that count: "all", "small" (below 32² pixels), "medium" or "large" (above 96²).
    """
    if area not in AREAS:
        raise ValueError(f"area must be one of {', '.join(AREAS)}; got {area!r}")
    precision = np.asarray(_evaluated(gt, detections)[2].eval["precision"])[..., AREAS.index(area), HUNDRED]
    has_objects = (precision > -1).all(axis=(0, 1))
    return precision[..., has_objects].mean(axis=-1)


def _evaluated(
    gt: PathLike | dict[str, Any], detections: PathLike | list[dict[str, Any]]
) -> tuple[dict, np.ndarray, COCOeval]:
    """Validated ground truth, validated detections, and the evaluator that has accumulated them.

    Images and categories are numbered 1, 2, 3, ... in the order of their ids: the evaluator takes no other ids, and so
    they may be negative, longer than 64 bits, or texts.
    """
    truth, numbers = _ground_truth(gt)
    if isinstance(detections, (str, os.PathLike)):
        detections = _load_json(detections)
    rows = _rows(detections, numbers)
    coco = COCO(truth)
    evaluator = COCOeval(coco, coco.load_res(rows), "bbox")
    evaluator.evaluate()
    evaluator.accumulate()
    return truth, rows, evaluator


def _average_precision(precision: np.ndarray, recall: np.ndarray) -> dict[str, float]:
    """AP and AR: means over IoU thresholds, recall levels and classes."""
    best = precision[..., HUNDRED]
    return {
        "AP": _mean(best[..., ALL]),
        "AP50": _mean(best[iou_index(0.5), ..., ALL]),
        "AP75": _mean(best[iou_index(0.75), ..., ALL]),
        "AP90": _mean(best[iou_index(0.9), ..., ALL]),
        "APs": _mean(best[..., SMALL]),
        "APm": _mean(best[..., MEDIUM]),
        "APl": _mean(best[..., LARGE]),
        "AR1": _mean(recall[..., ALL, ONE]),
        "AR10": _mean(recall[..., ALL, TEN]),
        "AR100": _mean(recall[..., ALL, HUNDRED]),
    }


def _optimal_lrp(classes: Iterable) -> dict[str, float]:
    olrp, loc, fp, fn, _ = np.array([[float(part) for part in one] for one in classes]).reshape(-1, 5).T
    return {"oLRP": _mean(olrp), "oLRP_loc": _mean(loc), "oLRP_fp": _mean(fp), "oLRP_fn": _mean(fn)}


def _mean(values: np.ndarray) -> float:
    """Mean over the defined values. Classes without ground truth have -1 in COCO's arrays, and NaN for LRP."""
    defined = values[values > -1]
    return float(defined.mean()) if defined.size else math.nan


def _load_json(path: PathLike) -> Any:
    try:
        return read_json(path)
    except FileNotFoundError:
        raise DataError(f"{path} is missing; check its name") from None
    except ValueError as error:
        raise DataError(f"{path} is not JSON ({error}); write it again") from error


class _Numbers(NamedTuple):
    """The number of each image and each category by its id; 0 for a category that is left out."""

    image_id: dict[int | str, int]
    category_id: dict[int | str, int]


def _ground_truth(gt: PathLike | dict[str, Any]) -> tuple[dict[str, list], _Numbers]:
    """The fields that the evaluation of boxes needs, renumbered. Most of a COCO file is segmentations."""
    name = "gt" if isinstance(gt, dict) else gt
    content, left_out = normalised(gt if isinstance(gt, dict) else _load_json(gt))
    try:
        truth = {
            "images": [{"file_name": ""} | {k: i[k] for k in ("id", "width", "height")} for i in content["images"]],
            "annotations": [
                {"id": number, "iscrowd": a.get("iscrowd", 0)}
                | {k: a[k] for k in ("image_id", "category_id", "bbox", "area") if k != "area" or k in a}
                for number, a in enumerate(content["annotations"], 1)
            ],
            "categories": [{k: c[k] for k in ("id", "name")} for c in content["categories"]],
        }
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise DataError(
            f"{name} is not COCO ground truth ({type(error).__name__}: {error}); it must hold images (id, "
            "width, height), annotations (image_id, category_id, bbox, area) and categories (id, name)"
        ) from error
    if problem := next(stops(truth), None):
        raise DataError(f"{name} is not COCO ground truth: {problem}")
    images, categories = (_numbered(truth[key]) for key in ("images", "categories"))
    for entries, number in ((truth["images"], images), (truth["categories"], categories)):
        for entry in entries:
            entry["id"] = number[entry["id"]]
    usable = [a for a in truth["annotations"] if a["image_id"] in images and all(map(is_finite, a["bbox"]))]
    for number, a in enumerate(usable, 1):
        a.setdefault("area", a["bbox"][2] * a["bbox"][3])
        a.update(id=number, image_id=images[a["image_id"]], category_id=categories[a["category_id"]])
    truth["annotations"] = usable
    return truth, _Numbers(images, categories | {category["id"]: 0 for category in left_out})


def _numbered(entries: list[dict[str, Any]]) -> dict[int | str, int]:
    return {id: number for number, id in enumerate(sorted((e["id"] for e in entries), key=id_order), 1)}


def _rows(detections: Any, numbers: _Numbers) -> np.ndarray:
    """Validate the detections; return them as rows (number of image, x, y, w, h, score, number of category): (m, 7)."""
    if not isinstance(detections, list):
        raise ValueError(f"detections must be a list of dictionaries, got {type(detections).__name__}")
    # Vectorised first, which takes a tenth of the time. If that fails, a loop finds the detection for the message.
    rows = _columns(detections, numbers)
    if rows is None:
        ids = {key: Ids(known) for key, known in numbers._asdict().items()}
        for number, detection in enumerate(detections):
            if problem := _problem(detection, ids):
                raise ValueError(f"detections[{number}] {problem}: {detection!r:.200}")
        image, category = (
            [known[ids[key].find(d[key])] for d in detections] for key, known in numbers._asdict().items()
        )
        rows = np.array(
            [[i, *d["bbox"], d["score"], c] for d, i, c in zip(detections, image, category, strict=True)],
            dtype=np.float64,
        ).reshape(-1, 7)
    return rows[rows[:, -1] > 0]


def _columns(detections: list, numbers: _Numbers) -> np.ndarray | None:
    """The rows, vectorised; None if any detection may have a `_problem`, or an id in another form."""
    try:
        box, score = (np.array(list(map(itemgetter(key), detections))) for key in ("bbox", "score"))
        ids = (list(map(known.get, map(itemgetter(key), detections))) for key, known in numbers._asdict().items())
        image, category = (np.array(numbers, dtype=np.float64) for numbers in ids)  # None is NaN
    except (KeyError, TypeError, ValueError):
        return None
    if box.shape != (len(detections), 4) or any(x.dtype.kind not in "iuf" for x in (box, score)):
        return None
    if not all(np.isfinite(x).all() for x in (image, box, score, category)) or (box[:, 2:] < 0).any():
        return None
    return np.column_stack([image, box, score, category]).astype(np.float64, copy=False)


def _problem(detection: Any, ids: dict[str, Ids]) -> str | None:
    if not isinstance(detection, dict):
        return "is not a dictionary"
    if missing := {"image_id", "category_id", "bbox", "score"} - detection.keys():
        return f"lacks {', '.join(sorted(missing))}"
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
    for key, known in ids.items():
        id = known.find(detection[key])
        if not isinstance(id, int | str) or id not in known.known:
            return f"has the unknown {key} {detection[key]!r}"
    return None
