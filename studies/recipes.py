"""The recipe of each long run by its name in `results.csv`, as `alrp train --recipe` takes it.

The learning rates are the best ones of the sweep, which is the study `rates`; 0.06 is that of `alrp_tiny`.
"""

LOSSES = {"alrp": "alrp_tiny", "ap": "ap_tiny", "focal": "focal_tiny:lr=0.019"}


def constant(weight: int, loc_error: str = "giou") -> str:
    """aLRP Loss whose weight of the boxes stays."""
    error = "" if loc_error == "giou" else f":loss.loc_error={loc_error}"
    return f"alrp_tiny{error}:loss.first_weight={weight}:loss.self_balance_epochs=0"


def separate(scores: str, boxes: str, weight: int = 1) -> str:
    """The scores by one loss, the boxes by another one at a constant weight."""
    times = "" if weight == 1 else f", weight={weight}"
    return f"alrp_tiny:loss=Separate(scores={scores}, boxes={boxes}{times})"


IOU_ANCHORS = "alrp_tiny:assigner=iou:ratios=(0.5, 1.0, 2.0)"
TABLE_2 = {
    "ap_iou_anchors": f"{IOU_ANCHORS}:loss=AP()",
    "alrp_iou_weight_1": f"{IOU_ANCHORS}:loss.loc_error=iou:loss.first_weight=1:loss.self_balance_epochs=0",
    "alrp_iou_sb": f"{IOU_ANCHORS}:loss.loc_error=iou",
    "alrp_giou_sb": IOU_ANCHORS,
}
TABLE_3 = {
    f"{error}_weight_{weight}": constant(weight, error) for weight in (1, 2, 5, 10, 20, 50) for error in ("giou", "iou")
} | {"iou_self_balance": "alrp_tiny:loss.loc_error=iou"}
TABLE_4 = {f"first_weight_{weight}": f"alrp_tiny:loss.first_weight={weight}" for weight in (1, 10, 200)}
RENEWED = {"alrp_renewed_5": "alrp_tiny:loss.self_balance_epochs=0.2"}
MEAN_GIOU = {f"ap_alike_{weight}": separate("AP()", "MeanGIoU()", weight) for weight in (3, 10, 1)}
SMOOTH_L1 = {f"ap_smooth_l1_{weight}": separate("AP()", "SmoothL1()", weight) for weight in (3, 10, 30)}
TWO_BY_TWO = {
    "alrp_alike_3": separate("ALRP()", "MeanGIoU()", 3),
    "ap_ordered": separate("AP()", "ALRP()"),
    "ap_ordered_5": separate("AP()", "ALRP(first_weight=5, self_balance_epochs=0)"),
}
RANK_SORT = {
    "rs": "rs_tiny",
    "rs_alike_3": separate("RankSort()", "MeanGIoU()", 3),
    "ap_scored_2": separate("AP()", "ScoredGIoU()", 2),
    "ap_scored_3": separate("AP()", "ScoredGIoU()", 3),
}
# Trained on a tenth of the pictures, so they are not rows of the tables on shapes.
FEW = {
    "few_alrp": LOSSES["alrp"],
    "few_ap": LOSSES["ap"],
    "few_ap_alike_3": MEAN_GIOU["ap_alike_3"],
}
FIGURE_4 = {
    "cross_entropy": "alrp_tiny:loss=Focal(alpha=None, gamma=0):lr=0.019",
    "focal": LOSSES["focal"],
    "alrp": LOSSES["alrp"],
}
# Their rates are those that the sweep of comparison.md chose for batches of 8, in proportion.
PHOTOGRAPHS = {
    "photographs_alrp": "alrp_mobilenet_320:batch_size=16:lr=0.02",
    "photographs_ap": "ap_mobilenet_320:batch_size=16:lr=0.02",
    "photographs_focal": "focal_mobilenet_320:batch_size=16:lr=0.064",
}
DEMO = {name: f"{name}_tiny" for name in ("alrp", "ap", "rs")}
ON_SHAPES = LOSSES | TABLE_2 | TABLE_3 | TABLE_4 | RENEWED | MEAN_GIOU | SMOOTH_L1 | TWO_BY_TWO | RANK_SORT
