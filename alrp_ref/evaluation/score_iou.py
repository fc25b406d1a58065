"""Scores against IoUs of the true positives: their correlation, and AP with the best and the worst order."""

import math
from collections import Counter, defaultdict
from typing import Any

import numpy as np
import torch
from torchvision.ops import box_convert, box_iou

from alrp_ref.data.dataset import CocoDataset
from alrp_ref.evaluation.metrics import IOU_THRESHOLDS

MATCH_IOU = 0.5

ORDERS = ("lower", "as it is", "upper")


def true_positives(data: CocoDataset, detections: list[dict[str, Any]]) -> tuple[np.ndarray, np.ndarray]:
    """Scores and IoUs of the true positives at IoU 0.5.

    In each image and class, best score first, a detection is matched to the box of highest IoU that is still free.
    """
    scores, ious = zip(*true_positives_by_class(data, detections).values(), strict=True)
    return np.concatenate(scores), np.concatenate(ious)


def true_positives_by_class(
    data: CocoDataset, detections: list[dict[str, Any]]
) -> dict[int, tuple[np.ndarray, np.ndarray]]:
    """`true_positives` of each category id."""
    pairs = {category: [] for category in data.category_ids}
    for image_id, found in by_image(detections).items():
        target = data.target(image_id)
        for label in target["labels"].unique().tolist():
            category = data.category_ids[label]
            truth = torch.as_tensor(target["boxes"][target["labels"] == label], dtype=torch.float64)
            own = [d for d in found if d["category_id"] == category]
            iou = box_iou(xyxy(own), truth).numpy()
            for row, detection in zip(iou, own, strict=True):
                box = row.argmax()
                if row[box] >= MATCH_IOU:
                    pairs[category].append((detection["score"], row[box]))
                    iou[:, box] = -1.0  # taken
    return {category: tuple(np.array(rows, dtype=np.float64).reshape(-1, 2).T) for category, rows in pairs.items()}


def rank_correlation(data: CocoDataset, detections: list[dict[str, Any]]) -> float:
    """The paper's rho: Spearman's correlation of score and IoU over the true positives of a class, mean over classes.

    It is Pearson's coefficient of the two rankings. Equal scores rank in the order of `detections`. Classes without a
    defined correlation are left out.
    """
    rhos = [
        correlation(*(x.argsort(kind="stable").argsort() for x in scores_and_ious))
        for scores_and_ious in true_positives_by_class(data, detections).values()
    ]
    known = [rho for rho in rhos if not math.isnan(rho)]
    return sum(known) / len(known) if known else math.nan


def correlation(x: np.ndarray, y: np.ndarray) -> float:
    """Pearson's correlation; NaN if x or y is constant."""
    return float(np.corrcoef(x, y)[0, 1]) if len(x) > 1 and np.ptp(x) > 0 and np.ptp(y) > 0 else math.nan


def order_bounds(data: CocoDataset, detections: list[dict[str, Any]]) -> dict[str, np.ndarray]:
    """AP at each IoU threshold with the true positives in the worst order, in their own order, and in the best one.

    The detections, and the set of true positives at IoU 0.5, do not change. If n of them are true at a higher
    threshold, the n with the *highest* scores count as true ("upper"), or the n with the *lowest* ("lower"). AP50 is
    the same in all orders. A class with n = 0 has AP 0 at that threshold. Equal scores keep the order of the file.

    Source: Table 5.
    """
    objects = Counter(a["category_id"] for a in data.coco.dataset["annotations"] if not a.get("iscrowd"))
    scores = defaultdict(list)
    for detection in detections:
        scores[detection["category_id"]].append(detection["score"])
    true, ap = true_positives_by_class(data, detections), {order: [] for order in ORDERS}
    for category, number in sorted(objects.items()):
        for order, rows in ap.items():
            hits = (reordered(np.array(scores[category]), *true[category], iou, order) for iou in IOU_THRESHOLDS)
            rows.append([average_precision(one, number) for one in hits])
    return {order: np.mean(rows, axis=0) for order, rows in ap.items()}


def reordered(scores: np.ndarray, tp_scores: np.ndarray, tp_ious: np.ndarray, iou: float, order: str) -> np.ndarray:
    """Mask of the detections of a class, best score first, that count as true at `iou`; see `order_bounds`."""
    best_first = (-tp_scores).argsort(kind="stable")
    hits = tp_ious[best_first] >= iou - 1e-9
    n, place = hits.sum(), np.arange(len(hits))
    if order == "upper":
        hits = place < n
    elif order == "lower":
        hits = place >= len(hits) - n
    places = np.searchsorted(np.sort(-scores), -tp_scores[best_first])
    is_true, taken = np.zeros(len(scores), dtype=bool), set()
    for free, hit in zip(places.tolist(), hits, strict=True):
        while free in taken:  # of equal scores, the next place
            free += 1
        taken.add(free)
        is_true[free] = hit
    return is_true


def average_precision(is_true: np.ndarray, num_objects: float, times: np.ndarray | None = None) -> float:
    """COCO's AP of one list, best score first: mean of the interpolated precision at 101 recalls.

    Args: `times`, how often each detection counts, whole numbers; default: once.
    """
    times = np.ones(len(is_true)) if times is None else times
    true, found = (times * is_true).cumsum(), times.cumsum()
    precision = np.maximum.accumulate((true / np.maximum(found, 1))[::-1])[::-1]
    place = np.searchsorted(true / num_objects, np.linspace(0, 1, 101))
    return float(np.append(precision, 0.0)[place].mean())


def by_image(detections: list[dict[str, Any]]) -> dict[int, list[dict[str, Any]]]:
    """Detections of each image, best first."""
    found = defaultdict(list)
    for detection in sorted(detections, key=lambda d: -d["score"]):
        found[detection["image_id"]].append(detection)
    return found


def xyxy(detections: list[dict[str, Any]]) -> torch.Tensor:
    boxes = torch.tensor([d["bbox"] for d in detections], dtype=torch.float64).reshape(-1, 4)
    return box_convert(boxes, "xywh", "xyxy")
