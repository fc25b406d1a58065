"""Optimal LRP of detections: COCO's matching, then the paper's metric on each class."""

from typing import Any

import numpy as np
import torch
from hotcoco import COCO, COCOeval

from alrp_ref.localisation import iou_error
from alrp_ref.lrp import OptimalLRP, optimal_lrp

TAU = 0.5
ALL_AREAS = (0.0, 1e10)
IMAGE, BOX, SCORE, CATEGORY = 0, slice(1, 5), 5, 6  # columns of a row of detections


def optimal_lrp_by_class(
    truth: dict[str, list[dict[str, Any]]],
    rows: np.ndarray,
    area_range: tuple[float, float] = ALL_AREAS,
    max_dets: int = 100,
) -> dict[int, OptimalLRP]:
    """Optimal LRP of each category at IoU 0.5, over all images.

    Detections are matched as COCO does it: in each image and class greedily by score, crowds and boxes
    outside the area range (pixels squared) ignored, at most `max_dets` detections of a class an image.

    Args:
        truth: COCO ground truth whose annotations have the ids 1, 2, 3, ...
        rows: detections (m, 7): image id, x, y, width, height, score, category id.
        area_range, max_dets: which boxes and how many detections take part.

    Returns: category id -> :class:`alrp_ref.lrp.OptimalLRP`.
    Source: LRP (ECCV 2018; TPAMI 2021).
    """
    found = _match(truth, rows, area_range, max_dets)
    takes_part = np.zeros(len(rows), dtype=bool)
    takes_part[_ids(found["dt_status"]) - 1] = True
    ious = np.zeros(len(rows))
    pairs = [(d - 1, g - 1) for d, g in found["dt_match"].items() if found["dt_status"].get(d) == "tp"]
    detection, match = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
    gt_boxes = np.array([a["bbox"] for a in truth["annotations"]], dtype=np.float64).reshape(-1, 4)
    ious[detection] = _iou(rows[detection, BOX], gt_boxes[match])

    gt_categories = np.array([a["category_id"] for a in truth["annotations"]], dtype=np.int64)
    gt_categories = gt_categories[_ids(found["gt_status"]) - 1]
    by_image = np.argsort(rows[:, IMAGE], kind="stable")  # COCO's order among equal scores

    def of_class(category: int) -> OptimalLRP:
        mine = by_image[(takes_part & (rows[:, CATEGORY] == category))[by_image]]
        return optimal_lrp(rows[mine, SCORE], ious[mine], int((gt_categories == category).sum()), tau=TAU)

    return {category["id"]: of_class(category["id"]) for category in truth["categories"]}


def _match(truth: dict, rows: np.ndarray, area_range: tuple[float, float], max_dets: int) -> dict[str, dict]:
    """Ask the evaluator which detection is matched to which box, by id; ignored ones have no status."""
    gt = COCO(truth)
    evaluator = COCOeval(gt, gt.load_res(rows), "bbox")
    evaluator.params.iou_thrs = [TAU]
    evaluator.params.area_rng, evaluator.params.area_rng_lbl = [list(area_range)], ["all"]
    evaluator.params.max_dets = [max_dets]
    evaluator.evaluate()
    return evaluator.image_diagnostics(iou_thr=TAU)


def _ids(status: dict[int, str]) -> np.ndarray:
    return np.fromiter(status, dtype=np.int64, count=len(status))


def _iou(boxes: np.ndarray, matches: np.ndarray) -> np.ndarray:
    """IoU of matched pairs of x, y, width, height: (k,)."""
    corners = [torch.from_numpy(np.hstack([xywh[:, :2], xywh[:, :2] + xywh[:, 2:]])) for xywh in (boxes, matches)]
    # Rounding may push an IoU that was just enough for the match below tau: it stays a match.
    return (1 - iou_error(*corners, tau=0.0)).clamp(min=TAU).numpy()
