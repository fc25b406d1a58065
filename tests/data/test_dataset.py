"""Images and boxes come from disk as a detector needs them; what is broken is named."""

import json

import pytest
import torch
from torchvision import tv_tensors

from alrp_ref.data import CocoDataset
from alrp_ref.machine.files import DataError


def test_labels_are_contiguous_in_the_order_of_the_category_ids(coco):
    """Label k is the k-th smallest category id, whatever the order in the file."""
    dataset = CocoDataset(coco, "val2017")
    assert dataset.category_ids == [3, 7, 90]
    assert dataset.class_names == ["cat", "dog", "emu"]
    _, target = dataset[0]
    assert target["labels"].tolist() == [1, 0] and target["labels"].dtype == torch.int64
    assert target["image_id"] == 5


def test_boxes_are_corners_inside_the_image(coco):
    """Boxes are x1, y1, x2, y2, and what sticks out of the image is cut off."""
    _, target = CocoDataset(coco, "val2017")[0]
    assert isinstance(target["boxes"], tv_tensors.BoundingBoxes)
    assert target["boxes"].canvas_size == (30, 40)
    assert target["boxes"].tolist() == [[10, 5, 30, 15], [0, 20, 6, 30]]


def test_crowd_and_degenerate_boxes_are_dropped(coco):
    """No box is left of an image whose boxes are crowds, empty, outside or not finite."""
    dataset = CocoDataset(coco, "val2017", keep_empty=True)
    assert dataset.ids == [5, 9]
    assert dataset[1][1]["boxes"].shape == (0, 4) and dataset[1][1]["labels"].shape == (0,)


def test_images_without_boxes_are_dropped_or_kept_by_choice(coco):
    """keep_empty decides whether an image without a usable box is in the data set."""
    assert len(CocoDataset(coco, "val2017")) == 1
    assert len(CocoDataset(coco, "val2017", keep_empty=True)) == 2


def test_transform_gets_image_and_target(coco):
    """An item is what transform(image, target) returns."""
    dataset = CocoDataset(coco, "val2017", transform=lambda image, target: (image.size, target["image_id"]))
    assert dataset[0] == ((40, 30), 5)


def test_loading_is_silent(coco, capfd):
    """Nothing is printed while the annotations are read."""
    CocoDataset(coco, "val2017")
    assert capfd.readouterr() == ("", "")


def test_unknown_split_is_refused(coco):
    """A split other than train2017 and val2017 is a ValueError that shows it."""
    with pytest.raises(ValueError, match="train2017, val2017; got 'test'"):
        CocoDataset(coco, "test")


def test_missing_parts_of_the_layout_are_named(coco):
    """A missing root, annotation file or image folder is named."""
    with pytest.raises(DataError, match=r"not a directory: .*nowhere"):
        CocoDataset(coco / "nowhere", "val2017")
    with pytest.raises(DataError, match=r"instances_train2017\.json is missing"):
        CocoDataset(coco, "train2017")
    (coco / "val2017").rename(coco / "elsewhere")
    with pytest.raises(DataError, match="val2017 is missing"):
        CocoDataset(coco, "val2017")


def without(key, where=None):
    def change(content):
        del (content[where][0] if where else content)[key]
        return json.dumps(content)

    return change


@pytest.mark.parametrize("keep_empty", [False, True])
@pytest.mark.parametrize(
    "broken",
    [
        lambda content: "not JSON",
        lambda content: "[1, 2]",
        lambda content: "\x00\xff",
        without("images"),
        without("annotations"),
        without("categories"),
        without("file_name", "images"),
        without("width", "images"),
        without("image_id", "annotations"),
        without("bbox", "annotations"),
        without("name", "categories"),
    ],
)
def test_annotations_that_are_not_coco_are_named(coco, content, broken, keep_empty):
    """A file that is not COCO is named, with what it should hold, when the data set is made."""
    (coco / "annotations" / "instances_val2017.json").write_text(broken(content), encoding="latin-1")
    with pytest.raises(DataError, match=r"instances_val2017\.json is not a COCO annotation file"):
        CocoDataset(coco, "val2017", keep_empty=keep_empty)


def test_real_photographs_load(shared):
    """The sample of COCO has its 80 classes, and boxes inside each image."""
    dataset = CocoDataset(shared / "coco", "val2017", keep_empty=True)
    assert len(dataset) == 204 and len(dataset.class_names) == 80 and dataset.class_names[79] == "toothbrush"
    for index in range(0, 204, 20):
        image, target = dataset[index]
        x1, y1, x2, y2 = target["boxes"].unbind(1)
        assert (0 <= x1).all() and (x1 < x2).all() and (x2 <= image.width).all()
        assert (0 <= y1).all() and (y1 < y2).all() and (y2 <= image.height).all()


def test_cached_images_are_those_of_the_files(coco):
    """With a cache all images are decoded at once: the files are not read again, and the images are equal."""
    read, cached = (CocoDataset(coco, "val2017", keep_empty=True, cache=cache) for cache in (False, True))
    expected = [image.tobytes() for image, _ in read]
    for path in (coco / "val2017").iterdir():
        path.unlink()
    assert [image.tobytes() for image, _ in cached] == expected


def test_a_cache_that_does_not_fit_is_refused(coco, monkeypatch):
    """Images that would take more than half of the memory are not kept; the error says how much they take."""
    monkeypatch.setattr("os.sysconf", lambda name: 10)
    with pytest.raises(ValueError, match=r"decoded images take .* GB"):
        CocoDataset(coco, "val2017", cache=True)
