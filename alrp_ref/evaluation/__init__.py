"""Evaluation of a detector on a data set: AP, oLRP, and how well its scores rank the boxes."""

try:
    from alrp_ref.evaluation.bootstrap import resampled_ap
    from alrp_ref.evaluation.detection_metric import DetectionMetric
    from alrp_ref.evaluation.evaluate import evaluate, precision_curves, true_pairs
    from alrp_ref.evaluation.inference import detect
    from alrp_ref.evaluation.metrics import IOU_THRESHOLDS, METRICS, Metrics, iou_index
    from alrp_ref.evaluation.score_iou import order_bounds, rank_correlation, true_positives
except ModuleNotFoundError as error:
    text = f"{error}: the evaluation needs more packages: pip install 'alrp-ref[detection]'"
    raise ModuleNotFoundError(text, name=error.name, path=error.path) from error

__all__ = [
    "IOU_THRESHOLDS",
    "METRICS",
    "DetectionMetric",
    "Metrics",
    "detect",
    "evaluate",
    "iou_index",
    "order_bounds",
    "precision_curves",
    "rank_correlation",
    "resampled_ap",
    "true_pairs",
    "true_positives",
]
