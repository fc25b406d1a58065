"""A tiny data set in COCO's layout, written out for each test."""

import json
from pathlib import Path

import pytest
from PIL import Image


def annotation(image_id, category_id, bbox, **more):
    return {"image_id": image_id, "category_id": category_id, "bbox": bbox, "iscrowd": 0} | more


@pytest.fixture
def content():
    """Two images of 40 x 30 pixels; the second has nothing but boxes that no detector should learn from."""
    annotations = [
        annotation(5, 7, [10, 5, 20, 10]),
        annotation(5, 3, [-4, 20, 10, 30]),  # sticks out to the left and below
        annotation(5, 7, [0, 0, 40, 30], iscrowd=1),
        annotation(9, 3, [5, 5, 0, 10]),
        annotation(9, 3, [5, 5, 10, -1]),
        annotation(9, 3, [float("nan"), 5, 10, 10]),
        annotation(9, 3, [5, 5, float("inf"), 10]),
        annotation(9, 3, [50, 5, 10, 10]),  # beside the image
    ]
    return {
        "images": [{"id": i, "file_name": f"{i}.png", "width": 40, "height": 30} for i in (9, 5)],
        "annotations": [{"id": number} | a for number, a in enumerate(annotations, 1)],
        "categories": [{"id": 7, "name": "dog"}, {"id": 3, "name": "cat"}, {"id": 90, "name": "emu"}],
    }


@pytest.fixture
def coco(tmp_path, content) -> Path:
    """The root of a data set that holds `content` as its val2017."""
    root = tmp_path / "coco"
    (root / "annotations").mkdir(parents=True)
    (root / "val2017").mkdir()
    (root / "annotations" / "instances_val2017.json").write_text(json.dumps(content))
    for image in content["images"]:
        Image.new("L", (40, 30), image["id"]).save(root / "val2017" / image["file_name"])
    return root
