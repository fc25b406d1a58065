"""`alrp check-data` finds before a run all that would stop it, and a data set in which it finds nothing trains.

The fuzz test draws 500 data sets; HYPOTHESIS_PROFILE=long, 100,000.
"""

import csv
import errno
import io
import json
import random
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from data.conftest import annotation
from data.fuzz import FUZZ, bboxes, change_of
from hypothesis import given
from hypothesis import strategies as st
from PIL import ExifTags, Image

from alrp_ref.cli import main
from alrp_ref.data import CocoDataset, ReadAs, check_data, train_transform
from alrp_ref.data.annotations.check import SHOWN, as_csv
from alrp_ref.data.annotations.format import ASKS, LEFT_OUT, STOPS, WORKS
from alrp_ref.data.annotations.grey_range import FEW_GREYS, question_about_greys
from alrp_ref.data.annotations.of_the_set import AREAS, DENSE
from alrp_ref.data.annotations.suspicions import (
    BEYOND,
    FRACTIONS,
    NO_OBJECT,
    OTHER_NUMBERS,
    SAME_FILE,
    TINY,
    TWICE,
    pointless,
    suspicions,
)
from alrp_ref.detection import RECIPES
from alrp_ref.evaluation import evaluate
from alrp_ref.machine import files
from alrp_ref.machine.files import DataError


@pytest.fixture
def content():
    """One photograph-like JPEG, 5.jpg of 40 x 30 pixels, with one box."""
    return {
        "images": [{"id": 5, "file_name": "5.jpg", "width": 40, "height": 30}],
        "annotations": [{"id": 1} | annotation(5, 7, [10, 5, 20, 10])],
        "categories": [{"id": 7, "name": "dog"}],
    }


@pytest.fixture
def coco(coco):
    noise("RGB").save(coco / "val2017" / "5.jpg")
    return coco


def write(root: Path, content) -> None:
    (root / "annotations" / "instances_val2017.json").write_text(json.dumps(content))


def noise(mode: str, size: tuple[int, int] = (40, 30)) -> Image.Image:
    pixels = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    return Image.fromarray(pixels).convert(mode)


def check(root: Path):
    (found,) = check_data(root, ["val2017"])
    return found


def test_a_sound_data_set_has_no_problem(coco, capsys):
    """The counts are there, and nothing else; the command ends with 0."""
    found = check(coco)
    sides = "in percent of the image's: 33 (a tenth is below), 33 (half), 33 (nine tenths)"
    assert str(found) == f"val2017: 1 images, 1 annotations, 1 categories\n  shorter sides of the boxes, {sides}"
    assert found.problems == []
    assert main(["check-data", "--coco", str(coco), "--split", "val2017"]) == 0
    assert capsys.readouterr().out.endswith("Nothing here stops a run.\n")


def truncated(path: Path):
    noise("RGB").save(path)
    path.write_bytes(path.read_bytes()[:-200])


def sixteen_bits(path: Path):
    Image.fromarray(np.full((30, 40), 0x80FF, dtype=np.uint16)).save(path, format="PNG")


def thirty_two_bits(path: Path):
    Image.fromarray(np.ones((30, 40), dtype=np.float32)).save(path, format="TIFF")


def turned(image: Image.Image):
    """With the tag of a photograph that was taken upright and stored on its side."""
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    return lambda path: image.save(path, exif=exif)


# What is done to 5.jpg; the effect and kind that are found; what its reason says.
FILES = {
    "missing": (Path.unlink, STOPS, "images that are missing", "not in"),
    "empty": (lambda path: path.write_bytes(b""), STOPS, "images that cannot be decoded", "it is empty"),
    "no image": (lambda path: path.write_bytes(b"GIF"), STOPS, "images that cannot be decoded", "no such format"),
    "truncated": (truncated, STOPS, "images that cannot be decoded", "truncated"),
    "another size": (noise("RGB", (41, 30)).save, STOPS, "images of another size", "41 x 30 pixels, not 40 x 30"),
    "turned, boxes upright": (turned(noise("RGB", (30, 40))), STOPS, "images of another size", "store it upright"),
    "turned, boxes as stored": (turned(noise("RGB")), WORKS, "images with an EXIF tag to turn them", "as it is stored"),
    "32 bits": (thirty_two_bits, STOPS, "images that cannot be decoded", "32 bits"),
    "16 bits": (sixteen_bits, WORKS, "images of 16 bits", "from PIL's mode I;16"),
    "greyscale": (noise("L").save, WORKS, "greyscale images", "from PIL's mode L"),
    "CMYK": (noise("CMYK").save, WORKS, "CMYK images", "from PIL's mode CMYK"),
    "PNG": (
        lambda path: noise("RGB").save(path, format="PNG"),
        WORKS,
        "images in another format than their name says",
        "read as PNG",
    ),
    "palette": (
        lambda path: noise("P").save(path, format="PNG"),
        WORKS,
        "images with other pixels than RGB",
        "from PIL's mode P",
    ),
}


@pytest.mark.parametrize("fault, effect, kind, reason", FILES.values(), ids=list(FILES))
def test_a_file_with_a_fault_is_named_or_works(coco, fault, effect, kind, reason):
    """The check finds it, with file, id and reason; the data set refuses it if, and only if, it stops a run."""
    fault(coco / "val2017" / "5.jpg")
    problem = next(p for p in check(coco).problems if p.kind == kind)
    assert (problem.effect, problem.file, problem.image_id) == (effect, "5.jpg", 5) and reason in problem.reason
    if effect == STOPS:
        with pytest.raises(DataError, match=r"5\.jpg.*image id 5"):
            CocoDataset(coco, "val2017")[0]
    else:
        image, _ = CocoDataset(coco, "val2017")[0]
        assert image.mode == "RGB" and image.size == (40, 30)


def test_a_name_that_is_too_long_and_a_folder_that_is_closed_are_listed(coco, content):
    """A name that no disk can hold is a missing image, and the check goes on."""
    content["images"].append(content["images"][0] | {"id": 6, "file_name": 300 * "a" + ".jpg"})
    write(coco, content)
    found = [p for p in check(coco).problems if p.effect == STOPS]
    assert [p.image_id for p in found] == [6] and "File name too long" in found[0].reason


def test_too_many_open_files_are_no_fault_of_an_image(coco, monkeypatch):
    """The check stops and names the limit, instead of a list of images that are in order."""

    def fails(path):
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(Image, "open", fails)
    with pytest.raises(DataError, match=r"5\.jpg cannot be opened: too many files are open; give fewer --workers"):
        check(coco)


def test_an_exif_tag_that_cannot_be_read_stops_nothing(coco):
    """PIL itself reads the pixels all the same."""
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    path = coco / "val2017" / "5.jpg"
    noise("RGB").save(path, format="WEBP", exif=exif)
    path.write_bytes(path.read_bytes().replace(b"MM\x00*", b"MX\x00*").replace(b"II*\x00", b"IX*\x00"))
    assert not check(coco).stops and CocoDataset(coco, "val2017")[0][0].size == (40, 30)


def test_sixteen_bits_keep_their_greys(coco):
    """Half of 16 bits is half of 8: PIL's own conversion would make it white."""
    sixteen_bits(coco / "val2017" / "5.jpg")
    assert CocoDataset(coco, "val2017")[0][0].getpixel((0, 0)) == (128, 128, 128)


def change(where, **values):
    """A change of the content: of the first entry of a list."""
    return lambda content: content[where][0].update(values)


def add(where, **values):
    """A change of the content: a copy of the first entry of a list, with other values."""
    return lambda content: content[where].append(content[where][0] | values)


def empty(*keys):
    return lambda content: content.update({key: [] for key in keys})


# The change; effect and kind of what is found; its reason.
ANNOTATIONS = {
    "outside": (add("annotations", bbox=[50, 5, 9, 9]), LEFT_OUT, "boxes outside their image", "50, 5"),
    "no width": (add("annotations", bbox=[5, 5, 0, 9]), LEFT_OUT, "boxes without area", "5, 5, 0, 9"),
    "negative": (add("annotations", bbox=[5, 5, -3, 9]), LEFT_OUT, "boxes without area", "-3"),
    "below 32 bits": (
        add("annotations", bbox=[33, 5, 1e-9, 9]),
        LEFT_OUT,
        "boxes outside their image",
        "1e-09",
    ),
    "NaN": (add("annotations", bbox=[5, 5, float("nan"), 9]), LEFT_OUT, "boxes that are not finite", "nan"),
    "infinite": (add("annotations", bbox=[5, 5, 9, float("inf")]), LEFT_OUT, "boxes that are not finite", "inf"),
    "huge": (add("annotations", bbox=[5, 5, 9, 10**400]), LEFT_OUT, "boxes that are not finite", "1000"),
    "crowd": (add("annotations", iscrowd=1), WORKS, "crowds", "10, 5, 20, 10"),
    "image not listed": (
        add("annotations", image_id=6),
        LEFT_OUT,
        "annotations of images that are not listed",
        "10, 5, 20, 10",
    ),
    "crowd only": (change("annotations", iscrowd=1), STOPS, "no box to learn from", "none of 1 images"),
    "no annotation": (empty("annotations"), STOPS, "no box to learn from", "none of 1 images"),
    "no image": (empty("images", "annotations"), STOPS, "no box to learn from", "there is no image"),
    "flagged": (
        add("annotations", attributes={"difficult": True}),
        LEFT_OUT,
        "objects with a flag to ignore them",
        "not learned, and no background",
    ),
    "a polygon for a box": (
        add("annotations", bbox=None, segmentation=[[50, 5, 55, 5, 55, 9]]),
        LEFT_OUT,
        "boxes outside their image",
        "bbox [50.0, 5.0, 5.0, 4.0]",
    ),
    "an area of no shape": (change("annotations", area=-1), ASKS, "areas that do not belong to their box", "area -1"),
    "labelled in part": (
        change("images", neg_category_ids=[7]),
        ASKS,
        "images labelled in part",
        "neg_category_ids of 1 images are not read",
    ),
    "panoptic": (change("annotations", segments_info=[]), STOPS, "not a COCO file", "a panoptic file"),
    "image twice": (
        add("images", file_name="6.jpg"),
        STOPS,
        "images whose id occurs twice",
        "has id 5 again",
    ),
    "category twice": (add("categories", name="fox"), STOPS, "categories whose id occurs twice", "id 7 again"),
    "name twice": (
        add("categories", id=8),
        STOPS,
        "categories whose name occurs twice",
        "both named 'dog'",
    ),
    "unknown category": (
        add("annotations", category_id=8),
        STOPS,
        "annotations that are malformed",
        "a category_id that no category has",
    ),
    "three numbers": (add("annotations", bbox=[1, 2, 3]), STOPS, "annotations that are malformed", "not four numbers"),
    "flat image": (change("images", width=0), STOPS, "images that are malformed", "not in 1 to 1,000,000"),
    "half an id": (
        change("images", id=2.5),
        STOPS,
        "images that are malformed",
        "an id that is neither a whole number nor a text",
    ),
    "box as an object": (
        change("annotations", bbox={"x": 1, "y": 2, "width": 3, "height": 4}),
        STOPS,
        "annotations that are malformed",
        "a bbox that is not four numbers x, y, width, height",
    ),
    "null for a box": (
        change("annotations", bbox=None),
        STOPS,
        "annotations that are malformed",
        "a bbox that is not four numbers x, y, width, height",
    ),
    "no character": (change("images", file_name="\ud800.jpg"), STOPS, "images that are malformed", "can show"),
    "half a pixel": (change("images", width=40.5), STOPS, "images that are malformed", "not a whole number"),
    "no lists": (dict.clear, STOPS, "not a COCO file", "no list of images and annotations and categories"),
}


@pytest.mark.parametrize("fault, effect, kind, reason", ANNOTATIONS.values(), ids=list(ANNOTATIONS))
def test_an_annotation_with_a_fault_is_named_or_works(coco, content, fault, effect, kind, reason):
    """The check finds it; the data set refuses it if it stops a run, and else goes on without the box."""
    fault(content)
    write(coco, content)
    problem = next(p for p in check(coco).problems if p.kind == kind)
    assert problem.effect == effect and reason in problem.reason
    if effect == STOPS:
        with pytest.raises(DataError, match=r"instances_val2017\.json"):
            CocoDataset(coco, "val2017")
    else:
        _, target = CocoDataset(coco, "val2017")[0]
        assert target["boxes"].tolist() == [[10, 5, 30, 15]]


def several(content, boxes):
    """Boxes, ten in each image of 400 x 300 pixels, as the annotations of a set that looks sound."""
    images = [{"id": i, "file_name": f"{i}.jpg", "width": 400, "height": 300} for i in range(1 + len(boxes) // 10)]
    annotations = [{"id": n, "image_id": n // 10, "category_id": 7, "bbox": box} for n, box in enumerate(boxes)]
    return content | {"images": images, "annotations": annotations}


def random_boxes(count=94):
    """x, y, width, height inside an image of 400 x 300 pixels."""
    draws = np.random.default_rng(0)
    corners = np.sort(draws.uniform(0, [[390], [290]], (count, 2, 2)), axis=2)
    return [[float(x1), float(y1), float(x2 - x1) + 10, float(y2 - y1) + 10] for (x1, x2), (y1, y2) in corners]


# How boxes are written, from x, y, width, height; and what is asked or said.
WRITTEN = {
    "fractions": (lambda x, y, w, h: [x / 400, y / 300, w / 400, h / 300], STOPS, "are they fractions of it?"),
    "corners": (lambda x, y, w, h: [x, y, x + w, y + h], STOPS, "as x1, y1, x2, y2: are they?"),
    "corners, y first": (lambda x, y, w, h: [y, x, y + h, x + w], STOPS, "as y1, x1, y2, x2: are they?"),
    "sides": (lambda x, y, w, h: [x, x + w, y, y + h], STOPS, "as x1, x2, y1, y2: are they?"),
    "y first": (lambda x, y, w, h: [y, x, h, w], STOPS, "y, x, height, width"),
    "centres": (lambda x, y, w, h: [x + w / 2, y + h / 2, w, h], STOPS, "centre x, centre y, width, height"),
    "percent": (lambda x, y, w, h: [x / 4, y / 3, w / 4, h / 3], ASKS, "are they percent of the image?"),
    "thousandths": (
        lambda x, y, w, h: [2.5 * x, 10 * y / 3, 2.5 * w, 10 * h / 3],
        STOPS,
        "as thousandths of the image",
    ),
}


@pytest.mark.parametrize("form, effect, question", WRITTEN.values(), ids=list(WRITTEN))
def test_boxes_that_are_written_otherwise_are_noticed(content, form, effect, question):
    """All boxes together tell it: what would make all of them wrong for certain stops a run, the rest is asked."""
    found = list(suspicions(several(content, [form(*box) for box in random_boxes()])))
    (problem,) = (p for p in found if p.kind in (FRACTIONS, OTHER_NUMBERS))
    assert problem.effect == effect and question in problem.reason
    assert [p.reason for p in pointless(several(content, [form(*box) for box in random_boxes()]))] == (
        [problem.reason] if effect == STOPS else []
    )


@pytest.mark.parametrize(
    "side, unit, asked",
    [(150, 100, "percent of the image?"), (60, 100, "as percent of the image"), (90, 1000, "as thousandths of the")],
)
def test_parts_of_a_small_image_are_noticed(content, side, unit, asked):
    """Percent and thousandths, on images whose sides are near these numbers, or below them."""
    boxes = [[x / 400 * unit, y / 300 * unit, w / 400 * unit, h / 300 * unit] for x, y, w, h in random_boxes()]
    small = several(content, [*boxes, [0, 0, unit, unit]])
    small["images"] = [image | {"width": side, "height": side} for image in small["images"]]
    assert any(p.kind == OTHER_NUMBERS and asked in p.reason for p in suspicions(small))


@pytest.mark.parametrize("count", [1, 3, 94])
def test_boxes_as_cocos_are_not_suspicious(content, count):
    """Also if a few are cut off by the edge of their image, or one is there twice."""
    boxes = random_boxes(count)
    kinds = {p.kind for p in suspicions(several(content, boxes))}
    assert not kinds
    boxes[0] = [0, 0, 402, 200]
    kinds = {p.kind for p in suspicions(several(content, [*boxes, boxes[-1]])) if p.kind != TWICE}
    assert kinds == {BEYOND}


def test_what_may_be_a_mistake_is_counted(coco, content, capsys):
    """Boxes beyond their image, below a pixel, there twice; a file under two ids; a class without a box."""
    add("annotations", id=2, bbox=[30, 5, 20, 10])(content)
    add("annotations", id=3, bbox=[5, 5, 0.5, 9])(content)
    add("annotations", id=4)(content)
    add("images", id=6)(content)
    add("annotations", id=5, image_id=6)(content)
    add("categories", id=90, name="emu")(content)
    write(coco, content)
    found = check(coco)
    kinds = Counter(p.kind for p in found.problems if p.effect == ASKS)
    assert kinds == dict.fromkeys((BEYOND, TINY, TWICE, SAME_FILE, NO_OBJECT), 1) and not found.stops
    assert main(["check-data", "--coco", str(coco), "--split", "val2017"]) == 0
    out = capsys.readouterr().out
    assert "may be a mistake\n" in out and "image 5 has the same file: was a set merged with another" in out
    assert "no box is a 'emu'" in out and "bbox [30, 5, 20, 10] in 40 x 30 pixels" in out


def written_areas(content, area):
    """A set that looks sound, with an area for each box of a width and a height."""
    some = several(content, random_boxes())
    for one in some["annotations"]:
        one["area"] = area(*one["bbox"][2:])
    return [p for p in suspicions(some) if p.kind == AREAS]


@pytest.mark.parametrize(
    "area, number",
    [
        (lambda w, h: w * h, 0),
        (lambda w, h: (0.3 + w % 0.5) * w * h, 0),  # of shapes
        (lambda w, h: 0, 94),
        (lambda w, h: 1.0, 94),
        (lambda w, h: -w * h, 94),
        (lambda w, h: float("nan"), 94),
        (lambda w, h: 1e400, 94),
        (lambda w, h: 4 * w * h, 94),
        (lambda w, h: 0.25 * w * h, 1),  # of images that were half as wide
    ],
)
def test_an_area_that_no_shape_in_its_box_has_is_asked_about(content, area, number):
    """Each by itself, or all together if all are the same part of their boxes."""
    assert len(written_areas(content, area)) == number


def test_images_with_more_objects_than_are_counted_are_asked_about(content):
    """With how many there are, and where recall ends: 100 of 240 objects, and all of 60."""
    some = several(content, random_boxes(300))
    for number, one in enumerate(some["annotations"]):
        one["image_id"] = int(number >= 240)
    (reason,) = (p.reason for p in suspicions(some) if p.kind == DENSE)
    assert reason.startswith("in 1 images are more than 100 objects, in one 240") and "recall can end at 0.53" in reason


@pytest.mark.parametrize("low, high, said", [(0, 2**14 - 1, "0 to 63"), (20_000, 24_000, "78 to 93"), (0, 40_000, "")])
@pytest.mark.parametrize("suffix", ["png", "tiff"])
def test_few_greys_of_sixteen_bits_are_asked_about(coco, content, low, high, said, suffix):
    """Over all pictures of the set, whatever a few pixels say; with the range that is given they are all there."""
    grey = np.random.default_rng(0).integers(low, high + 1, (30, 40)).astype(np.uint16)
    grey[0, 0] = 65_535
    name = f"5.{suffix}"
    Image.fromarray(grey).save(coco / "val2017" / name)
    change("images", file_name=name)(content)
    write(coco, content)
    found = [p for p in check(coco).problems if p.kind == FEW_GREYS]
    assert len(found) == bool(said) and all(f"are read as {said} of 255" in p.reason for p in found)
    data = CocoDataset(coco, "val2017", read_as=ReadAs(grey_range=(low, high)))
    assert len(np.unique(np.asarray(data[0][0]))) > 200
    assert (question_about_greys([coco / "val2017" / name]) is None) == (not said)


def test_what_follows_from_a_fault_is_not_listed_again(coco, content):
    """Of an image without a name, and of a class that is named by a number, their boxes have no fault of their own."""
    content["images"].append({"id": 6, "width": 40, "height": 30})
    content["categories"].append({"id": 8, "name": 1})
    content["annotations"] += [{"id": n} | annotation(*of, [1, 1, 9, 9]) for n, of in ((2, (6, 7)), (3, (5, 8)))]
    write(coco, content)
    found = [p for p in check(coco).problems if p.kind != AREAS]
    assert sorted(p.kind for p in found) == ["categories that are malformed", "images that are malformed"]


def test_an_image_without_a_name_has_that_of_its_address(coco, content):
    """As in LVIS, whose images are those of COCO's two folders."""
    content["images"][0]["coco_url"] = f"http://images.cocodataset.org/val2017/{content['images'][0].pop('file_name')}"
    write(coco, content)
    assert not check(coco).stops and CocoDataset(coco, "val2017")[0][0].size == (40, 30)


def test_a_file_of_another_kind_is_named_as_what_it_is(coco):
    """A list of detections, a list of annotations."""
    for content, what in (([{"score": 1}], "a list of detections"), ([{"id": 1}], "a list, as of annotations alone")):
        write(coco, content)
        with pytest.raises(DataError, match=what):
            CocoDataset(coco, "val2017")


@pytest.mark.parametrize("name", ["ignored regions", "Ignore", "DontCare", "don't care", "ignored_region"])
def test_regions_to_ignore_are_crowds_of_every_class(coco, content, name):
    """They are no class and no target; the check counts each once."""
    content["categories"] += [{"id": 0, "name": name}, {"id": 8, "name": "emu"}]
    content["annotations"].append({"id": 2} | annotation(5, 0, [1, 1, 30, 20]))
    write(coco, content)
    data = CocoDataset(coco, "val2017")
    assert data.class_names == ["dog", "emu"] and len(data[0][1]["boxes"]) == 1
    assert data[0][1]["ignored"].tolist() == [[1, 1, 31, 21]]
    found = check(coco)
    assert found.counts["annotations"] == 2 and sum(p.kind == "regions to ignore" for p in found.problems) == 1
    assert any(p.effect == ASKS and repr(name) in p.reason for p in found.problems)
    detections = [{"image_id": 5, "bbox": [2, 2, 9, 9], "score": 0.9, "category_id": c} for c in (7, 8)]
    detections.append({"image_id": 5, "bbox": [10, 5, 20, 10], "score": 0.5, "category_id": 7})
    assert evaluate(data.annotation_file, detections)["AP"] == pytest.approx(
        1
    )  # what is found in the region counts for nothing


@pytest.mark.parametrize(
    "flag, ignored",
    [
        ({"ignore": 1}, True),
        ({"isGroupOf": "true"}, True),
        ({"is_difficult": True, "extra": None}, True),
        ({"extra": {"ignore": 1}}, True),
        ({"ignore": 0, "attributes": {"difficult": "0"}}, False),
        ({"occluded": 1, "attributes": [1]}, False),
    ],
)
def test_a_flag_to_ignore_is_found_however_it_is_written(coco, content, flag, ignored):
    """Its object is no target, but a region where nothing is learned; without a box to learn from a run stops."""
    content["annotations"].append({"id": 2} | annotation(5, 7, [1, 1, 9, 9]))
    content["annotations"][0].update(flag)
    write(coco, content)
    _, target = CocoDataset(coco, "val2017")[0]
    assert len(target["boxes"]) == 2 - ignored and len(target.get("ignored", [])) == ignored
    content["annotations"].pop()
    write(coco, content)
    assert check(coco).stops == ignored


def test_a_disk_that_does_not_answer_is_asked_again_and_told_from_a_broken_image(coco, monkeypatch):
    """Once: nothing is said. Always: the image cannot be read, and nobody should download it again."""
    monkeypatch.setattr(files, "PAUSES", (0, 0, 0))
    opened, answers = Image.open, []

    def fails(path):
        if not answers:
            return opened(path)
        raise OSError(answers.pop(), "Stale file handle")

    monkeypatch.setattr(Image, "open", fails)
    answers[:] = [errno.ESTALE, errno.EIO]
    assert check(coco).problems == []
    answers[:] = [errno.ESTALE, errno.EIO]
    assert CocoDataset(coco, "val2017")[0][0].size == (40, 30)
    answers[:] = 4 * [errno.ESTALE]
    assert [p.kind for p in check(coco).problems] == ["images that cannot be read"]
    answers[:] = 4 * [errno.ESTALE]
    with pytest.raises(DataError, match=r"5\.jpg cannot be read: Stale file handle .*the disk does not answer"):
        CocoDataset(coco, "val2017")[0]


# What the validation file's classes 1 cat, 2 dog become; effect and kind of what is said; the labels that are read.
OTHER_CLASSES = {
    "other ids": ({5: "cat", 9: "dog"}, WORKS, "classes with other ids than in the training split"),
    "another order": ({1: "dog", 2: "cat"}, WORKS, "classes with other ids than in the training split"),
    "one less": ({2: "dog"}, WORKS, "classes that only the training split has"),
    "one more": ({1: "cat", 2: "dog", 3: "cats"}, STOPS, "classes that are not trained"),
}


@pytest.mark.parametrize("classes, effect, kind", OTHER_CLASSES.values(), ids=list(OTHER_CLASSES))
def test_classes_of_two_splits_are_matched_by_name(coco, content, classes, effect, kind):
    """The check says what a run does: it goes by the names, and stops at one that is not trained."""
    (coco / "train2017").symlink_to("val2017")
    content["categories"] = [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}]
    content["annotations"][0]["category_id"] = 2
    (coco / "annotations" / "instances_train2017.json").write_text(json.dumps(content))
    content["categories"] = [{"id": id, "name": name} for id, name in classes.items()]
    content["annotations"][0]["category_id"] = next(id for id, name in classes.items() if name == "dog")
    write(coco, content)
    found = [p for one in check_data(coco) for p in one.problems if "class" in p.kind and p.kind != NO_OBJECT]
    assert [(p.effect, p.kind) for p in found] == [(effect, kind)]
    read_as = ReadAs(class_names=("cat", "dog"))
    if effect == STOPS:
        with pytest.raises(DataError, match=r"instances_val2017\.json: the class 'cats' .* \(is 'cat' meant\?\)"):
            CocoDataset(coco, "val2017", read_as=read_as)
    else:
        data = CocoDataset(coco, "val2017", read_as=read_as)
        assert data.class_names == ["cat", "dog"] and data[0][1]["labels"].tolist() == [1]
        assert [classes.get(id) for id in data.category_ids] == [
            name if name in classes.values() else None for name in ("cat", "dog")
        ]


def test_a_set_with_every_box_twice_is_asked_about(content):
    """As of two annotators, or of an export that was done twice."""
    boxes = [box for box in random_boxes(20) for _ in range(2)]
    (reason,) = (p.reason for p in suspicions(several(content, boxes)) if p.kind == "every box twice")
    assert reason.startswith("20 of 40 boxes are there before")


@pytest.mark.parametrize("recipe", ["alrp_tiny", "alrp_retinanet_r50_500"])
@pytest.mark.parametrize("size", [(1, 1), (20_000, 2), (2, 20_000), (20_000, 1_000)], ids=str)
def test_the_smallest_and_the_widest_image_can_be_trained_on(coco, content, recipe, size):
    """Of an image one pixel wide no crop is taken, where torchvision's would divide by zero."""
    content["images"][0].update(width=size[0], height=size[1])
    content["annotations"][0]["bbox"] = [0, 0, *size]
    write(coco, content)
    Image.new("RGB", size).save(coco / "val2017" / "5.jpg")
    assert not check(coco).stops
    data = CocoDataset(coco, "val2017", train_transform(RECIPES[recipe]))
    for seed in range(2 if max(size) * min(size) > 1e6 else 10):
        torch.manual_seed(seed)
        image, target = data[0]
        assert image.shape[1:] == (RECIPES[recipe].train_size,) * 2 and image.isfinite().all()
        assert target["boxes"].isfinite().all()


def test_an_image_too_large_for_pil_is_named(coco, content):
    """Beyond PIL's limit against bombs an image is refused; below, a large one is only mentioned."""
    content["images"][0].update(width=20_000, height=1_500)
    write(coco, content)
    path = coco / "val2017" / "5.jpg"
    Image.new("L", (20_000, 1_500)).save(path)
    (reason,) = (p.reason for p in check(coco).problems if p.kind == "large images")
    assert reason == "20000 x 1500 pixels; zoomed out, they can take 1.4 GB"
    Image.new("1", (20_000, 10_000)).save(path, format="PNG")
    (reason,) = (p.reason for p in check(coco).problems if p.effect == STOPS)
    assert "exceeds limit of 178956970 pixels" in reason


def test_the_report_shows_a_few_of_each_kind_and_the_csv_all(coco, content, capsys):
    """Counts are exact, and what the terminal leaves out is in the file; a run that would stop ends with 2."""
    content["annotations"] += [content["annotations"][0] | {"id": i, "bbox": [5, 5, 0, i]} for i in range(2, 40)]
    content["images"] += [content["images"][0] | {"id": i, "file_name": f"{i}.jpg"} for i in range(6, 16)]
    write(coco, content)
    file = coco / "problems.csv"
    assert main(["check-data", "--coco", str(coco), "--split", "val2017", "--out", str(file)]) == 2
    out = capsys.readouterr().out
    assert "stops a run\n    images that are missing: 10\n      6.jpg, image 6: not in" in out
    assert "boxes without area: 38\n" in out and f"... and {38 - SHOWN} more" in out
    assert out.endswith("This would stop a run: repair it first.\n")
    rows = list(csv.DictReader(io.StringIO(file.read_text())))
    assert Counter(row["kind"] for row in rows) == {
        "images that are missing": 10,
        "images without a box to learn from": 10,
        "boxes without area": 38,
    }
    assert as_csv([check(coco)]) == file.read_text()


def test_the_list_of_a_check_overwrites_nothing_else(coco, capsys):
    """`--out` replaces a former list, and leaves the annotations, an image or any other file alone."""
    annotations, listed = coco / "annotations" / "instances_val2017.json", coco / "found.csv"
    arguments = ["check-data", "--coco", str(coco), "--split", "val2017", "--out"]
    for file in (annotations, coco / "val2017" / "5.jpg"):
        before = file.read_bytes()
        assert main([*arguments, str(file)]) == 2 and file.read_bytes() == before
    assert "`alrp check-data` did not write it" in capsys.readouterr().err
    assert main([*arguments, str(listed)]) == main([*arguments, str(listed)]) == 0 and listed.stat().st_size > 0


def test_every_cut_of_a_photograph_is_found(coco):
    """Wherever a JPEG ends early, the check, which decodes an eighth of its size, and a run agree about it."""
    path, draws = coco / "val2017" / "5.jpg", random.Random(0)
    whole = path.read_bytes()
    for length in draws.sample(range(len(whole)), 50):
        path.write_bytes(whole[:length])
        stops = check(coco).stops
        try:
            CocoDataset(coco, "val2017")[0]
        except DataError:
            assert stops
        else:
            assert not stops


@st.composite
def contents(draw):
    """Annotations like those of the fixture, with drawn boxes, and up to three fields of anything at all."""
    images = [{"id": i, "file_name": "5.jpg", "width": 40, "height": 30} for i in (5, 9)]
    boxes = draw(st.lists(bboxes, min_size=1, max_size=4))
    annotations = [
        {"id": i} | annotation(draw(st.sampled_from([5, 9])), draw(st.sampled_from([7, 7, 8])), box)
        for i, box in enumerate(boxes)
    ]
    categories = [{"id": 7, "name": "dog"}, {"id": 8, "name": draw(st.sampled_from(["emu", "ignore"]))}]
    content = {"images": images, "annotations": annotations, "categories": categories}
    for _ in range(draw(st.integers(0, 3))):
        fields = ("segmentation", "ignore", "attributes", "coco_url")
        draw(change_of(content[draw(st.sampled_from(list(content)))], fields))
    return content


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("fuzz")
    (root / "annotations").mkdir()
    (root / "val2017").mkdir()
    noise("RGB").save(root / "val2017" / "5.jpg")
    return root


@FUZZ
@given(content=contents())
def test_whatever_the_annotations_hold_they_are_refused_or_every_item_can_be_trained_on(root, content):
    """The reader raises DataError, for training or for an evaluation, which reads images without boxes, too, where the
    check found that a run would stop; where not, all boxes are sound."""
    write(root, content)
    found = check(root)
    if found.stops:
        with pytest.raises(DataError):
            for keep_empty in (False, True):
                list(CocoDataset(root, "val2017", keep_empty=keep_empty))
        return
    data = CocoDataset(root, "val2017")
    left_out = sum(p.kind == "images without a box to learn from" for p in found.problems)
    assert len(data) + left_out == len(content["images"])
    for _, target in data:
        x1, y1, x2, y2 = target["boxes"].unbind(1)
        assert (0 <= x1).all() and (x1 < x2).all() and (x2 <= 40).all()
        assert (0 <= y1).all() and (y1 < y2).all() and (y2 <= 30).all()
        assert len(target["labels"]) == len(x1) > 0
