"""Draw docs/detections.jpg: what a small detector finds on the first validation images of the shapes.

    make demo
    .venv/bin/python docs/detections.py runs/demo

The images are the first eight with objects, not the best eight. A detection is drawn if its score is above the
LRP-optimal score threshold of its class, as in the report of a run.
"""

import sys
from pathlib import Path

from PIL import Image

from alrp_ref.data import CocoDataset
from alrp_ref.detection.draw_boxes import draw_boxes
from alrp_ref.evaluation.score_iou import by_image
from alrp_ref.reports.report import above_thresholds, read_result, with_objects

COLUMNS, ROWS, GAP = 4, 2, 8
SIDE = 320
"""Side of a drawn image, in pixels; the shapes are drawn at 160."""


def grid(demo: Path, recipe: str = "alrp_tiny") -> Image.Image:
    """The grid of images, from the folder that `alrp demo` writes."""
    run, data = demo / recipe, CocoDataset(demo / "shapes", "val2017", keep_empty=True)
    detections, thresholds = (read_result(run / name) for name in ("detections.json", "metrics.json"))
    detections, thresholds = by_image(detections), thresholds["lrp_thresholds"]
    size = (COLUMNS * (SIDE + GAP) - GAP, ROWS * (SIDE + GAP) - GAP)
    sheet = Image.new("RGB", size, "white")
    for place, image_id in enumerate(with_objects(data, COLUMNS * ROWS)):
        image = data.read_image(image_id)
        found = above_thresholds(data, detections[image_id], thresholds)
        found["boxes"] = found["boxes"] * (SIDE / image.width)
        row, column = divmod(place, COLUMNS)
        drawn = draw_boxes(image.resize((SIDE, SIDE), Image.Resampling.BICUBIC), found, data.class_names)
        sheet.paste(drawn, (column * (SIDE + GAP), row * (SIDE + GAP)))
    return sheet


if __name__ == "__main__":
    target = Path(__file__).with_suffix(".jpg")
    grid(Path(sys.argv[1])).save(target, quality=82, optimize=True)
    print(target)
