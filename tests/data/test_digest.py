"""The digest of a data set is another one if, and only if, what is read of it is another."""

import json

import pytest
from PIL import Image

from alrp_ref.data import CocoDataset
from alrp_ref.data.digest import digest, digest_of


def changed(coco, content) -> set[str]:
    """The parts of the digest that differ from those of the fixture, once `content` is written over it."""
    before = digest_of(coco, "val2017")
    (coco / "annotations" / "instances_val2017.json").write_text(json.dumps(content, indent=2))
    after = digest_of(coco, "val2017")
    assert before.keys() == after.keys()
    return {name for name in before if before[name] != after[name]}


def swap_names(content):
    names = [category["name"] for category in content["categories"]]
    for category, name in zip(content["categories"], reversed(names), strict=True):
        category["name"] = name


def other_form(content):
    """All that a second export may write otherwise."""
    for key in ("images", "annotations", "categories"):
        content[key] = [dict(sorted(one.items(), reverse=True)) | {"extra": 1} for one in reversed(content[key])]
    for number, annotation in enumerate(content["annotations"]):
        annotation.update(id=number, bbox=[float(side) for side in annotation["bbox"]])


# What is done to the annotations, and the parts of the digest that notice it.
CHANGES = {
    "nothing": (lambda content: None, set()),
    "another form": (other_form, set()),
    "a box": (lambda c: c["annotations"][0].update(bbox=[10, 5, 20, 11]), {"boxes", "ground truth"}),
    "a class": (lambda c: c["annotations"][0].update(category_id=3), {"classes of the boxes", "ground truth"}),
    "one box less": (lambda c: c["annotations"].pop(0), {"boxes", "classes of the boxes", "ground truth"}),
    "an area": (lambda c: c["annotations"][0].update(area=9), {"ground truth"}),
    "a crowd less": (lambda c: c["annotations"].pop(2), {"regions to ignore", "ground truth"}),
    "the name of a file": (lambda c: c["images"][0].update(file_name="5.png"), {"images"}),
    "the names of classes": (swap_names, {"classes", "ground truth"}),
}


@pytest.mark.parametrize("change, parts", CHANGES.values(), ids=list(CHANGES))
def test_a_digest_tells_what_has_changed(coco, content, change, parts):
    """By its parts; the order, the numbers of annotations and the form of a file are no part of it."""
    change(content)
    assert changed(coco, content) == parts


def test_a_picture_that_was_replaced_is_noticed(coco):
    """By the size of its file; one that is not there is noticed, too."""
    data = CocoDataset(coco, "val2017", keep_empty=True)
    before = digest(data)
    Image.effect_noise((40, 30), 90).save(coco / "val2017" / "5.png")
    replaced = digest(data)
    (coco / "val2017" / "9.png").unlink()
    assert len({one["pictures"] for one in (before, replaced, digest(data))}) == 3
    assert before | {"pictures": ""} == replaced | {"pictures": ""}
