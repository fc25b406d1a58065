"""The generated data set is deterministic, true to its annotations, and careful with other people's files."""

import json
import math

import numpy as np
import pytest
from PIL import Image

from alrp_ref.data import CocoDataset, draw_shapes, make_shapes
from alrp_ref.evaluation import evaluate
from alrp_ref.machine.files import DataError

SPLITS = ("train2017", "val2017")


def files(root):
    """Relative path -> bytes of every file."""
    return {path.relative_to(root): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


@pytest.fixture(scope="module")
def shapes(tmp_path_factory):
    return make_shapes(tmp_path_factory.mktemp("data") / "shapes", train_images=40, val_images=20, size=96)


@pytest.fixture(scope="module")
def annotations(shapes):
    return json.loads((shapes / "annotations" / "instances_train2017.json").read_text())


def test_what_a_killed_process_leaves_is_replaced(tmp_path):
    """The mark half written, not yet with its name, or alone: it is ours to draw over."""
    whole = make_shapes(tmp_path / "whole", train_images=1, val_images=1, size=64)
    mark = (whole / "shapes.json").read_text()
    for name, text in (("shapes.json", mark[:9]), ("shapes.json.part", mark[:9]), ("shapes.json", mark)):
        root = tmp_path / f"{name}{len(text)}"
        (root / "annotations").mkdir(parents=True)
        (root / name).write_text(text)
        make_shapes(root, train_images=1, val_images=1, size=64)
        file = "annotations/instances_train2017.json"
        assert (root / file).read_bytes() == (whole / file).read_bytes()


def test_same_arguments_same_bytes(shapes, tmp_path):
    """Making the set again gives every file again, byte for byte."""
    assert files(make_shapes(tmp_path / "again", 40, 20, size=96)) == files(shapes)


def test_more_images_leave_the_first_as_they_are(shapes, tmp_path):
    """A larger set with the same seed starts with the same pictures, and another seed gives others."""
    name = "train2017/000000000003.png"
    larger, other = (make_shapes(tmp_path / str(seed), 41, 1, size=96, seed=seed) for seed in (0, 1))
    assert (larger / name).read_bytes() == (shapes / name).read_bytes() != (other / name).read_bytes()


def test_splits_share_no_picture(shapes):
    """No validation picture is a training picture."""
    train, val = ({path.read_bytes() for path in (shapes / split).iterdir()} for split in SPLITS)
    assert len(train) == 40 and len(val) == 20 and not train & val


def test_layout_is_coco(shapes):
    """The set loads as any COCO data set; its images have 1 to 8 objects of five classes."""
    dataset = CocoDataset(shapes, "train2017")
    assert dataset.class_names == sorted(draw_shapes.SHAPES) and len(dataset) == 40
    counts = [len(target["boxes"]) for _, target in dataset]
    assert min(counts) >= 1 and max(counts) <= 8 and len(set(counts)) > 3


def test_boxes_lie_in_the_image_and_sizes_vary(annotations):
    """Boxes are whole pixels inside the picture; the longest side is many times the shortest."""
    boxes = np.array([a["bbox"] for a in annotations["annotations"]])
    assert (boxes >= 0).all() and (boxes[:, :2] + boxes[:, 2:] <= 96).all() and (boxes[:, 2:] > 0).all()
    assert boxes.dtype.kind == "i"
    assert boxes[:, 2:].max() > 5 * boxes[:, 2:].min()
    assert all(0 < a["area"] <= a["bbox"][2] * a["bbox"][3] for a in annotations["annotations"])


def test_some_objects_overlap_and_all_classes_occur(annotations):
    """Some boxes overlap, and every class is there."""
    assert {a["category_id"] for a in annotations["annotations"]} == {1, 2, 3, 4, 5}
    overlapping = 0
    for a in annotations["annotations"]:
        for b in annotations["annotations"]:
            if a["image_id"] == b["image_id"] and a["id"] < b["id"]:
                (ax, ay, aw, ah), (bx, by, bw, bh) = a["bbox"], b["bbox"]
                overlapping += ax < bx + bw and bx < ax + aw and ay < by + bh and by < ay + ah
    assert overlapping > 10


def test_boxes_are_tight(monkeypatch):
    """A lone circle fills pi/4 of its square box, a lone square between half and all of it, by its angle."""
    monkeypatch.setattr(draw_shapes, "MAX_OBJECTS", 1)
    objects = [draw_shapes.draw(np.random.default_rng(seed), 128)[1][0] for seed in range(60)]
    circles, squares = ([one for one in objects if one.name == name] for name in ("circle", "square"))
    assert len(circles) > 5 and len(squares) > 5
    for _, (_, _, w, h), area in circles:
        assert abs(w - h) <= 1 and area / (w * h) == pytest.approx(math.pi / 4, abs=0.03)
    for _, (_, _, w, h), area in squares:
        assert 0.45 < area / (w * h) <= 1


def test_every_object_can_be_seen():
    """Of a circle at least 30 % of the disc around its box is visible, however much lies over it."""
    for seed in range(40):
        for name, (_, _, w, h), area in draw_shapes.draw(np.random.default_rng(seed), 128)[1]:
            if name == "circle":  # the visible part of a disc is never wider than the disc
                assert area >= 0.28 * math.pi / 4 * min(w, h) ** 2


def test_the_truth_as_detections_is_perfect(shapes, annotations):
    """Detections equal to the ground truth have AP 1 and oLRP 0."""
    detections = [
        {k: a[k] for k in ("image_id", "category_id", "bbox")} | {"score": 1.0} for a in annotations["annotations"]
    ]
    metrics = evaluate(shapes / "annotations" / "instances_train2017.json", detections)
    assert metrics["AP"] == pytest.approx(1) and metrics["oLRP"] == pytest.approx(0)


def test_a_set_that_is_there_is_kept_and_one_of_other_size_replaced(tmp_path):
    """Same arguments: no file is written again. Other arguments, or a set cut short: made anew, whole."""
    root = make_shapes(tmp_path, 3, 2, size=64)
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*")}
    make_shapes(root, 3, 2, size=64)
    assert {path: path.stat().st_mtime_ns for path in root.rglob("*")} == before

    make_shapes(root, 2, 1, size=80)
    assert len(list((root / "train2017").iterdir())) == 2
    with Image.open(root / "val2017" / "000000000001.png") as picture:
        assert picture.size == (80, 80)

    complete = files(root)
    (root / "annotations" / "instances_val2017.json").unlink()  # as when the run was stopped half way
    assert files(make_shapes(root, 2, 1, size=80)) == complete


def test_other_peoples_files_are_left_alone(tmp_path):
    """A folder that holds anything but a shapes set, or a file, is refused and stays as it is."""
    (tmp_path / "train2017").mkdir()
    (tmp_path / "train2017" / "holiday.jpg").write_bytes(b"precious")
    before = files(tmp_path)
    with pytest.raises(DataError, match="is not a shapes set"):
        make_shapes(tmp_path, 1, 1)
    with pytest.raises(DataError, match="is a file"):
        make_shapes(tmp_path / "train2017" / "holiday.jpg", 1, 1)
    assert files(tmp_path) == before


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ({"train_images": 0}, "train_images must be at least 1, got 0"),
        ({"val_images": -1}, "val_images must be at least 1, got -1"),
        ({"size": 8}, "size must be at least 64, got 8"),
        ({"seed": -2}, "seed must be at least 0, got -2"),
    ],
)
def test_numbers_that_are_too_small_are_refused(tmp_path, arguments, complaint):
    """A number that is too small is named, and nothing is written."""
    with pytest.raises(ValueError, match=complaint):
        make_shapes(tmp_path / "new", **{"train_images": 1, "val_images": 1} | arguments)
    assert not (tmp_path / "new").exists()
