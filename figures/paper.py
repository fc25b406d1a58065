"""The paper's numbers, each with where it is from.

A number is `read` if it stands in a text of the authors: the paper's page, a README of theirs. It is `recalled` if it
was only remembered and never checked: it is printed in parentheses, and nothing is measured against it.
"""

from typing import NamedTuple


class Number(NamedTuple):
    """A number of the paper."""

    value: float
    is_read: bool

    def __str__(self) -> str:
        text = f"{self.value:.1f}" if self.value >= 1 else f"{self.value:.2f}".lstrip("0")
        return text if self.is_read else f"({text})"


def read(value: float) -> Number:
    return Number(value, True)


def recalled(value: float) -> Number:
    return Number(value, False)


def row(text: str) -> list[Number]:
    """Numbers in one line; those in parentheses are recalled."""
    return [recalled(float(word[1:-1])) if word.startswith("(") else read(float(word)) for word in text.split()]


TAGS = "Numbers of the paper: plain ones were read in a text of the authors; (those in parentheses) are recalled, "
TAGS += "were never checked, and are no target."

TABLE_1 = {
    "AP Loss": 3,
    "Focal Loss": 4,
    "FCOS": 4,
    "DR Loss": 5,
    "FreeAnchor": 8,
    "Faster R-CNN": 9,
    "CenterNet": 10,
    "aLRP Loss": 1,
}
"""Hyper-parameters of the losses; all recalled. "About 6" for the mean of the others is read."""

# AP AP50 AP75 AP90 oLRP rho, COCO minival
TABLE_2 = {
    "ap": row("35.5 (58.0) (37.0) (9.0) 71.0 (.45)"),
    "alrp_iou": row("(36.9) (57.7) (38.4) (13.9) (69.9) (.49)"),
    "alrp_iou_sb": row("(38.7) (58.1) (40.6) (17.4) (68.5) (.48)"),
    "alrp_giou_sb": row("38.9 (58.5) (40.5) (17.4) 68.4 (.48)"),
    "alrp_giou_sb_atss": row("40.2 60.3 42.3 (18.1) 67.3 (.48)"),
}

# AP AP50 AP75 AP90, COCO minival
TABLE_3 = {
    "lower": row("(28.6) (58.1) (23.6) (5.6)"),
    "as it is": row("(38.7) (58.1) (40.6) (17.4)"),
    "upper": row("(48.1) (58.1) (51.9) (33.9)"),
}

# AP AP50 AP75 APs APm APl, COCO test-dev
TABLE_6 = {
    "alrp_retinanet_r50_atss_500": row("41.3 (61.5) (43.7) (21.9) (44.2) (54.0)"),
    "alrp_retinanet_r101_atss_500": row("42.8 (62.9) (45.5) (22.4) (46.2) (56.8)"),
    "alrp_retinanet_x101_64x4d_atss_500": row("44.6 65.0 47.5 24.6 48.1 58.3"),
    "alrp_retinanet_r101_atss_800": row("45.9 (66.4) (49.1) (28.5) (48.9) (56.7)"),
    "alrp_retinanet_x101_64x4d_atss_800": row("47.8 (68.4) (51.1) (30.2) (50.8) (59.1)"),
    "alrp_retinanet_x101_64x4d_dcn_atss_800": row("48.9 (69.3) (52.5) (30.8) (51.5) (62.1)"),
}

# AP AP50 AP75 AP90 oLRP, COCO minival
TABLE_7 = {
    "focal_foveabox_r50_500": row("38.3 (57.8) (40.7) (16.2) 68.8"),
    "ap_foveabox_r50_500": row("36.5 (58.3) (38.2) (11.3) 69.8"),
    "alrp_foveabox_r50_500": row("39.7 58.8 41.5 (18.2) 67.2"),
}
TABLE_8 = {
    "ce_faster_rcnn_r50_500": row("37.8 (58.1) (41.0) (12.1) 69.3"),
    "ce_giou_faster_rcnn_r50_500": row("38.2 (58.2) (41.3) (13.7) 69.0"),
    "alrp_faster_rcnn_r50_500": row("40.7 60.7 43.3 (18.0) 66.7"),
}
