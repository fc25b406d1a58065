"""`alrp check-data` finds before a run all that would stop it, and a data set in which it finds nothing trains.

The fuzz test draws 1,000 data sets; HYPOTHESIS_PROFILE=long, 100,000.
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
from alrp_ref.data import CocoDataset, check_data, train_transform
from alrp_ref.data.annotations.check import SHOWN, as_csv
from alrp_ref.data.annotations.format import ASKS, LEFT_OUT, STOPS, WORKS
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
    assert str(found) == "val2017: 1 images, 1 annotations, 1 categories" and found.problems == []
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
    "no image": (empty("images", "annotations"), STOPS, "no box to learn from", "none of 0 images"),
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
    annotations = [{"id": i} | annotation(draw(st.sampled_from([5, 9])), 7, box) for i, box in enumerate(boxes)]
    content = {"images": images, "annotations": annotations, "categories": [{"id": 7, "name": "dog"}]}
    for _ in range(draw(st.integers(0, 3))):
        draw(change_of(content[draw(st.sampled_from(list(content)))]))
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
