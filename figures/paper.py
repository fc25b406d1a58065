"""The paper's numbers that were read in a text of the authors: the paper's running text, its page, a README of theirs.

A number that nobody has read is not here. Its cell stays open, and the paper's table of the same number has it.
"""

Cell = float | None


def row(text: str) -> list[Cell]:
    """Numbers in one line; - is an open cell."""
    return [None if word == "-" else float(word) for word in text.split()]


def show(cells: list[Cell]) -> list[str]:
    """As the paper prints them: one digit after the point, and .45 below one."""
    return ["" if x is None else f"{x:.1f}" if x >= 1 else f"{x:.2f}".lstrip("0") for x in cells]


TAGS = "The paper's numbers were read in a text of the authors. An open cell is a number that we have not read: it "
TAGS += "stands in the paper's table of this number."

# AP AP50 AP75 AP90 oLRP rho, COCO minival
TABLE_2 = {
    "ap": row("35.5 - - - 71.0 .45"),
    "alrp_iou": row("36.9 - - - - -"),
    "alrp_iou_sb": row("38.7 - - - - -"),  # the row above and the gain of 1.8 that the text prints
    "alrp_giou_sb": row("38.9 - - - 68.4 -"),
    "alrp_giou_sb_atss": row("40.2 60.3 42.3 - 67.3 -"),
}

# AP AP50 AP75 APs APm APl, COCO test-dev
TABLE_6 = {
    "alrp_retinanet_r50_atss_500": row("41.3 - - - - -"),
    "alrp_retinanet_r101_atss_500": row("42.8 - - - - -"),
    "alrp_retinanet_x101_64x4d_atss_500": row("44.6 65.0 47.5 24.6 48.1 58.3"),
    "alrp_retinanet_r101_atss_800": row("45.9 - - - - -"),
    "alrp_retinanet_x101_64x4d_atss_800": row("47.8 - - - - -"),
    "alrp_retinanet_x101_64x4d_dcn_atss_800": row("48.9 - - - - -"),
}

# AP AP50 AP75 AP90 oLRP, COCO minival
TABLE_7 = {
    "focal_foveabox_r50_500": row("38.3 - - - 68.8"),
    "ap_foveabox_r50_500": row("36.5 - - - 69.8"),
    "alrp_foveabox_r50_500": row("39.7 58.8 41.5 - 67.2"),
}
TABLE_8 = {
    "ce_faster_rcnn_r50_500": row("37.8 - - - 69.3"),
    "ce_giou_faster_rcnn_r50_500": row("38.2 - - - 69.0"),
    "alrp_faster_rcnn_r50_500": row("40.7 60.7 43.3 - 66.7"),
}
