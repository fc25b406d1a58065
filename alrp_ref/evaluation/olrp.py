"""Optimal LRP of detections: COCO's matching, then `alrp_ref.paper.lrp.optimal_lrp` for each class."""

from typing import Any

import numpy as np
import torch
from hotcoco import COCOeval

from alrp_ref.paper.localisation import iou_error
from alrp_ref.paper.lrp import OptimalLRP, optimal_lrp

TAU = 0.5
IMAGE, BOX, SCORE, CATEGORY = 0, slice(1, 5), 5, 6  # columns of a row of detections


def optimal_lrp_by_class(
    truth: dict[str, list[dict[str, Any]]], rows: np.ndarray, evaluator: COCOeval
) -> dict[int, OptimalLRP]:
    """Optimal LRP of each category at IoU 0.5, over all images.

    Detections are matched by COCO's rule: greedily by score in each image and class. Crowds and boxes outside the area
    range are ignored. The number of detections per class and image is limited.

    Args:
        truth: COCO ground truth whose annotations have the ids 1, 2, 3, ...
        rows: detections (m, 7): image id, x, y, width, height, score, category id.
        evaluator: after `evaluate()`, with 0.5 among its IoU thresholds. The first of its area ranges and the last of
            its detection limits are used.

    Returns: category id -> :class:`alrp_ref.paper.lrp.OptimalLRP`.
    Source: LRP (ECCV 2018; TPAMI 2021).
    """
    # By id; ignored boxes have no status. No score is above infinity, so no time goes into a list of label errors.
    found = evaluator.image_diagnostics(iou_thr=TAU, score_thr=np.inf)
    ious = np.zeros(len(rows))
    pairs = [(d - 1, g - 1) for d, g in found["dt_match"].items() if found["dt_status"].get(d) == "tp"]
    detection, match = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
    gt_boxes = np.array([a["bbox"] for a in truth["annotations"]], dtype=np.float64).reshape(-1, 4)
    ious[detection] = _iou(rows[detection, BOX], gt_boxes[match])

    categories = [category["id"] for category in truth["categories"]]
    gt_categories = np.array([a["category_id"] for a in truth["annotations"]], dtype=np.int64)
    gt_categories = gt_categories[_ids(found["gt_status"]) - 1]
    # Sort by class, then by image, which is COCO's order among equal scores.
    part = np.sort(_ids(found["dt_status"]) - 1)
    part = part[np.lexsort((rows[part, IMAGE], rows[part, CATEGORY]))]
    begin, end = (np.searchsorted(rows[part, CATEGORY], categories, side) for side in ("left", "right"))

    def of_class(k: int) -> OptimalLRP:
        own = part[begin[k] : end[k]]
        num_gt = int((gt_categories == categories[k]).sum())
        return optimal_lrp(rows[own, SCORE], ious[own], num_gt, tau=TAU)

    return {category: of_class(k) for k, category in enumerate(categories)}


def _ids(status: dict[int, str]) -> np.ndarray:
    return np.fromiter(status, dtype=np.int64, count=len(status))


def _iou(boxes: np.ndarray, matches: np.ndarray) -> np.ndarray:
    """IoU of matched pairs of x, y, width, height: (k,)."""
    corners = [torch.from_numpy(np.hstack([xywh[:, :2], xywh[:, :2] + xywh[:, 2:]])) for xywh in (boxes, matches)]
    # Rounding may put the IoU of a match slightly below tau. It stays a match.
    return (1 - iou_error(*corners, tau=0.0)).clamp(min=TAU).numpy()
