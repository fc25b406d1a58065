"""COCO's average precision (AP) and optimal LRP (oLRP) of a set of detections."""

import math
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from hotcoco import COCO, COCOeval

from alrp_ref import checks
from alrp_ref.evaluation import ground_truth
from alrp_ref.evaluation.doubts import doubts
from alrp_ref.evaluation.ground_truth import Content, PathLike, objects_of
from alrp_ref.evaluation.matching import Matches, Objects, Pairs, best_first, matched, pairs_of
from alrp_ref.evaluation.metrics import MAX_DETECTIONS, Metrics, iou_index
from alrp_ref.evaluation.olrp import TAU, lrp_by_class, optimal_lrp_by_class
from alrp_ref.evaluation.results import rows_of
from alrp_ref.machine.garbage import without_garbage_collection
from alrp_ref.paper.lrp import OptimalLRP

# Indices into the evaluator's arrays: precision has the axes (IoU, recall, class, area, detections), recall the same
# without the second. The first area is the one that is asked for.
AREAS = {"all": (0.0, 1e10), "small": (0.0, 32.0**2), "medium": (32.0**2, 96.0**2), "large": (96.0**2, 1e10)}
FIRST, SMALL, MEDIUM, LARGE = range(4)
ONE, TEN, MOST = range(3)


@np.errstate(over="ignore", invalid="ignore")  # sides may be as large as a float can be
@without_garbage_collection()
def evaluate(
    gt: PathLike | dict[str, Any],
    detections: PathLike | list[dict[str, Any]],
    *,
    max_detections: int = MAX_DETECTIONS,
    area: str = "all",
    threshold: float | None = None,
) -> Metrics:
    """Evaluate detections against ground truth in COCO's format.

    Args:
        gt: an annotation file, or its content: ``{"images": ..., "annotations": ..., "categories": ...}``. An
            annotation without an area gets that of its box. One whose box is not finite is ignored.
        detections: a result file, or its content: ``[{"image_id", "category_id", "bbox", "score"}, ...]``, the box
            as x, y, width, height in pixels. An empty list is valid: AP 0, oLRP 1. Ids are whole numbers or texts; the
            name of the file may stand for the id of an image. A `file_name` must be that of the image.
        max_detections: how many detections of a class count in an image, the best ones; COCO's limit is 100.
        area: the size of the objects that count, in all metrics but APs, APm, APl and oLRPs, oLRPm, oLRPl: "all",
            "small" (below 32² pixels), "medium" or "large" (above 96²).
        threshold: add LRP and its parts for the detections with this score or more.

    Returns:
        :class:`Metrics`. AP and AR are equal to pycocotools', bit for bit. oLRP is the exact minimum over all score
        thresholds.

    Raises:
        ValueError: a detection that is malformed, or of an unknown image or category; the message shows it.
        DataError: a file that is missing or has another format.
    Warns: UserWarning of areas that cannot be, of more objects of a class in an image than `max_detections`, and of
        boxes that are probably written in another form.
    """
    truth, rows = read(gt, detections, area, max_detections)
    objects = objects_of(truth.content)
    for doubt in doubts(truth, objects, rows, max_detections):
        checks.warn(doubt)
    return metrics_of(truth.content, objects, rows, area=area, max_detections=max_detections, threshold=threshold)


def metrics_of(
    content: Content, objects: Objects, rows: np.ndarray, *, area: str, max_detections: int, threshold: float | None
) -> Metrics:
    """`evaluate` for ground truth and detections that have been read. Args: `rows`, those of `rows_of`."""
    names = {c["id"]: c["name"] for c in content["categories"]}
    categories = sorted(names)  # the order of the evaluator's class axis
    with ThreadPoolExecutor(1) as beside:  # the evaluator is Rust, which leaves Python free meanwhile
        curves = beside.submit(_accumulated, content, rows, area, max_detections)
        found = _matches(rows, objects, area, max_detections)
        lrps = {name: optimal_lrp_by_class(one, categories) for name, one in found.items()}
        precision, recall = curves.result()
    at = [] if threshold is None else lrp_by_class(found["first"], categories, threshold)

    def metrics(classes: list[int]) -> dict[str, float]:
        of = {name: [values[k] for k in classes] for name, values in lrps.items()}
        sizes = {f"oLRP{size[0]}": _mean_lrp("", of[size])[""] for size in ("small", "medium", "large")}
        given = _mean_lrp("LRP", [at[k] for k in classes]) if at else {}
        average = _average_precision(precision[:, :, classes], recall[:, classes], max_detections)
        return average | _mean_lrp("oLRP", of["first"]) | sizes | given

    return Metrics(
        overall=metrics(list(range(len(categories)))),
        per_class={names[c]: metrics([k]) for k, c in enumerate(categories)},
        lrp_thresholds={names[c]: float(lrps["first"][k].threshold) for k, c in enumerate(categories)},
        area=area,
        max_detections=max_detections,
    )


def _matches(rows: np.ndarray, objects: Objects, area: str, max_detections: int) -> dict[str, Matches]:
    """COCO's matches at IoU 0.5 by size, "first" the one that is asked for."""
    rows = best_first(rows, max_detections)
    pairs = pairs_of(rows, objects)
    near = pairs.iou >= TAU
    sizes = {"first": area, "small": "small", "medium": "medium", "large": "large"}
    return {name: matched(rows, objects, Pairs(*(x[near] for x in pairs)), AREAS[size]) for name, size in sizes.items()}


def precision_curves(
    gt: PathLike | dict[str, Any], detections: PathLike | list[dict[str, Any]], area: str = "all"
) -> np.ndarray:
    """Precision at each of COCO's 10 IoU thresholds (rows) and 101 recalls (columns), mean over the classes.

    The mean of a row is the AP at its threshold. Arguments and errors: as `evaluate`.
    """
    truth, rows = read(gt, detections, area, MAX_DETECTIONS)
    precision = _accumulated(truth.content, rows, area, MAX_DETECTIONS)[0][..., FIRST, MOST]
    has_objects = (precision > -1).all(axis=(0, 1))
    return precision[..., has_objects].mean(axis=-1)


def true_pairs(gt: PathLike | dict[str, Any], detections: PathLike | list[dict[str, Any]]) -> tuple[np.ndarray, ...]:
    """Scores and IoUs of the true positives at IoU 0.5, (k,) each. Arguments and errors: as `evaluate`."""
    truth, rows = read(gt, detections, "all", MAX_DETECTIONS)
    found = _matches(rows, objects_of(truth.content), "all", MAX_DETECTIONS)["first"]
    return found.score[found.iou > 0], found.iou[found.iou > 0]


def read(
    gt: PathLike | dict[str, Any], detections: PathLike | list[dict[str, Any]], area: str, max_detections: int
) -> tuple[ground_truth.GroundTruth, np.ndarray]:
    """The ground truth, and the detections as rows of `rows_of`; arguments and errors as for `evaluate`."""
    if area not in AREAS:
        raise ValueError(f"area must be one of {', '.join(AREAS)}; got {area!r}")
    if isinstance(max_detections, bool) or not isinstance(max_detections, int) or max_detections < 1:
        raise ValueError(f"max_detections must be a whole number from 1 on, got {max_detections!r}")
    truth = ground_truth.read(gt)
    if not isinstance(detections, (list, dict)):
        detections = ground_truth.read_file(detections)
    return truth, rows_of(detections, truth)


def _accumulated(content: Content, rows: np.ndarray, area: str, max_detections: int) -> tuple[np.ndarray, np.ndarray]:
    """The evaluator's precision and recall; their last axes are (asked, small, medium, large) and (1, 10, most)."""
    coco, limits = COCO(content), sorted({min(limit, max_detections) for limit in (1, 10, max_detections)})
    evaluator = COCOeval(coco, coco.load_res(rows), "bbox")
    evaluator.params.max_dets = limits  # each once: of two that are equal the evaluator fills the last
    evaluator.evaluate()
    evaluator.accumulate()
    areas = [list(AREAS).index(name) for name in (area, "small", "medium", "large")]
    most = [limits.index(min(limit, max_detections)) for limit in (1, 10, max_detections)]
    return tuple(np.asarray(evaluator.eval[name])[..., areas, :][..., most] for name in ("precision", "recall"))


def _average_precision(precision: np.ndarray, recall: np.ndarray, most: int) -> dict[str, float]:
    """AP and AR: means over IoU thresholds, recall levels and classes."""
    best = precision[..., MOST]
    return {
        "AP": _mean(best[..., FIRST]),
        "AP50": _mean(best[iou_index(0.5), ..., FIRST]),
        "AP75": _mean(best[iou_index(0.75), ..., FIRST]),
        "AP90": _mean(best[iou_index(0.9), ..., FIRST]),
        "APs": _mean(best[..., SMALL]),
        "APm": _mean(best[..., MEDIUM]),
        "APl": _mean(best[..., LARGE]),
        "AR1": _mean(recall[..., FIRST, ONE]),
        "AR10": _mean(recall[..., FIRST, TEN]),
        f"AR{most}": _mean(recall[..., FIRST, MOST]),
    }


def _mean_lrp(name: str, classes: Iterable[OptimalLRP]) -> dict[str, float]:
    error, loc, fp, fn, _ = np.array([[float(part) for part in one] for one in classes]).reshape(-1, 5).T
    return {name: _mean(error), f"{name}_loc": _mean(loc), f"{name}_fp": _mean(fp), f"{name}_fn": _mean(fn)}


def _mean(values: np.ndarray) -> float:
    """Mean over the defined values. Classes without ground truth have -1 in COCO's arrays, and NaN for LRP."""
    defined = values[values > -1]
    return float(defined.mean()) if defined.size else math.nan
