"""What tools write is read: their layouts, their names of files, their encodings, their ids."""

import json
import os
import shutil
import subprocess
import sys
import unicodedata
from pathlib import Path

import pytest
from data.conftest import annotation
from PIL import Image

from alrp_ref.cli import main
from alrp_ref.data import CocoDataset, Layout, check_data, hold_out
from alrp_ref.data.annotations.image_folder import other_names
from alrp_ref.data.annotations.layout import Split
from alrp_ref.machine.files import DataError


def content_of(names):
    """Annotations of images of 40 x 30 pixels with one box each."""
    return {
        "images": [{"id": n, "file_name": name, "width": 40, "height": 30} for n, name in enumerate(names)],
        "annotations": [{"id": n} | annotation(n, n % 2, [10, 5, 20, 10]) for n in range(len(names))],
        "categories": [{"id": 0, "name": "dog"}, {"id": 1, "name": "emu"}],
    }


def draw(folder, names=("a.jpg", "b.jpg", "c.jpg")):
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        Image.new("RGB", (40, 30)).save(folder / name)


def write(path, names=("a.jpg", "b.jpg", "c.jpg"), **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content_of(names), **options), encoding="utf-8")


# For each tool: annotation file and image folder of the training set, and of the validation set if it writes one.
TOOLS = {
    "Roboflow": ("train/_annotations.coco.json", "train", "valid/_annotations.coco.json", "valid"),
    "Roboflow, without valid": ("train/_annotations.coco.json", "train", "test/_annotations.coco.json", "test"),
    "CVAT, one set": ("annotations/instances_default.json", "images/default", None, None),
    "CVAT, one set, older": ("annotations/instances_default.json", "images", None, None),
    "CVAT": (
        "annotations/instances_Train.json",
        "images/Train",
        "annotations/instances_Validation.json",
        "images/Validation",
    ),
    "Label Studio": ("result.json", "images", None, None),
    "VIA": ("via_project_1Jan2026_12h30m_coco.json", ".", None, None),
    "labelme2coco": ("train.json", ".", "val.json", "."),
    "labelme2coco, one set": ("dataset.json", ".", None, None),
    "FiftyOne": ("labels.json", "data", None, None),
    "by hand": ("annotations/train.json", "train", "annotations/val.json", "val"),
    "by hand, images together": ("annotations/train.json", "images", "annotations/val.json", "images"),
}


@pytest.mark.parametrize("train, train_images, val, val_images", TOOLS.values(), ids=list(TOOLS))
def test_the_layouts_of_tools_are_found_by_themselves(tmp_path, capsys, train, train_images, val, val_images):
    """Both splits, or the only one, which is for training; the command says which files it took."""
    for file, folder in ((train, train_images), (val, val_images)):
        if file is not None:
            write(tmp_path / file)
            draw(tmp_path / folder)
    image, target = CocoDataset(tmp_path, "train2017")[0]
    assert image.size == (40, 30) and target["boxes"].tolist() == [[10, 5, 30, 15]]
    if val is not None:
        assert len(CocoDataset(tmp_path, "val2017", keep_empty=True)) == 3
    else:
        with pytest.raises(DataError, match="--val-annotations FILE and --val-images DIR"):
            CocoDataset(tmp_path, "val2017")
    assert main(["check-data", "--coco", str(tmp_path)]) == 0
    assert f"train: {tmp_path / train}, images in {tmp_path / train_images}" in capsys.readouterr().out


def test_labelled_images_in_folders_are_found_from_the_root(tmp_path):
    """Names with folders are relative to the folder that has them all."""
    write(tmp_path / "result.json", ["images/cats/a.jpg", "images/dogs/a.jpg"])
    draw(tmp_path / "images" / "cats", ["a.jpg"]), draw(tmp_path / "images" / "dogs", ["a.jpg"])
    data = CocoDataset(tmp_path, "train2017")
    assert len(list(data)) == 2 and not check_data(tmp_path)[0].problems


def test_any_files_can_be_given_one_by_one(tmp_path, capsys):
    """Each annotation file with the folder of its images; half of a pair, both ways or neither is named."""
    write(tmp_path / "x" / "first.json"), write(tmp_path / "second.json")
    draw(tmp_path / "pictures"), draw(tmp_path / "others")
    train = [f"--train-annotations={tmp_path / 'x' / 'first.json'}", f"--train-images={tmp_path / 'pictures'}"]
    val = [f"--val-annotations={tmp_path / 'second.json'}", f"--val-images={tmp_path / 'others'}"]
    assert main(["check-data", *train, *val]) == 0 and main(["check-data", *val]) == 0
    for wrong, message in (
        (train[:1], "--train-annotations FILE and --train-images DIR belong together"),
        ([*train, "--coco=."], "give the data by --coco DIR, or else"),
        ([], "give the data by --coco DIR, or else"),
        ([*train, "--split=val2017"], "the val set is missing: give --val-annotations FILE"),
        ([f"--val-annotations={tmp_path / 'none.json'}", val[1]], "none.json is missing"),
    ):
        assert main(["check-data", *wrong]) == 2 and message in capsys.readouterr().err


def test_a_part_is_held_out_of_any_layout(tmp_path):
    """A comparison needs it: the new set is in COCO's layout, the images are links."""
    names = [f"{n}.jpg" for n in range(10)]
    write(tmp_path / "result.json", names), draw(tmp_path / "images", names)
    held = hold_out(Layout.of(tmp_path), tmp_path / "held", 10)
    assert len(CocoDataset(held, "train2017")) == 9 and len(list(CocoDataset(held, "val2017"))) == 1


def test_several_annotation_files_are_not_guessed_among(tmp_path):
    """The error lists the files and names the option that chooses one."""
    write(tmp_path / "a_coco.json"), write(tmp_path / "b_coco.json")
    with pytest.raises(
        DataError, match=r"several annotation files \(a_coco.json, b_coco.json\): .*--train-annotations"
    ):
        Layout.of(tmp_path)


# A name in the annotations, and the file that is there.
NAMES = [
    ("images\\1\\a.jpg", "a.jpg"),
    ("C:\\Users\\me\\a.jpg", "a.jpg"),
    ("C:/Users/me/a.jpg", "a.jpg"),
    ("/home/me/data/a.jpg", "a.jpg"),
    ("my%20cat.jpg", "my cat.jpg"),
    ("my%20cat.jpg", "my%20cat.jpg"),
    ("http://localhost:8080/data/upload/1/a.jpg", "a.jpg"),
    ("https://bucket.example/set%201/a.jpg?token=1", "set 1/a.jpg"),
    ("s3://bucket/folder/a.jpg", "a.jpg"),
    ("/data/local-files/?d=folder%2Fa.jpg", "a.jpg"),
    ("./a.jpg", "a.jpg"),
    ("../images/a.jpg", "a.jpg"),
    ("cats\\a.jpg", "cats/a.jpg"),
    (unicodedata.normalize("NFC", "café.jpg"), unicodedata.normalize("NFD", "café.jpg")),
    (unicodedata.normalize("NFD", "größe\\a.jpg"), unicodedata.normalize("NFC", "a.jpg")),
    ("安全帽.jpg", "安全帽.jpg"),
    ("a.jpg", "A.JPG"),
    ("C:a.jpg", "a.jpg"),
    ("file:a.jpg", "a.jpg"),
    ("my+cat.jpg", "my cat.jpg"),
    ("my cat.jpg", "my%20cat.jpg"),
]


@pytest.mark.parametrize("listed, there", NAMES)
def test_a_name_of_another_computer_is_found_by_what_is_left_of_it(tmp_path, listed, there):
    """Scheme, drive and folders of the export do not matter where the bare name is there."""
    write(tmp_path / "a.json", [listed])
    draw((tmp_path / "pictures" / there).parent, [there.rpartition("/")[2]])
    layout = Layout(train=Split(tmp_path / "a.json", tmp_path / "pictures"))
    assert CocoDataset(layout, "train2017")[0][0].size == (40, 30)
    assert not check_data(layout)[0].stops


@pytest.mark.parametrize("listed", ["C:\\me\\a.jpg", "my%20cat.jpg", "https://example.org/a.jpg", "/home/me/a.jpg"])
def test_a_name_of_another_computer_that_is_not_there_is_named_as_the_exporters(tmp_path, listed):
    """Downloading again would not help; the folder or the export is wrong."""
    write(tmp_path / "a.json", [listed]), draw(tmp_path / "pictures", ["other.jpg"])
    layout = Layout(train=Split(tmp_path / "a.json", tmp_path / "pictures"))
    (problem,) = (p for p in check_data(layout)[0].problems if p.kind == "images that are missing")
    assert "the tool which exported the annotations wrote" in problem.reason
    with pytest.raises(DataError, match="the tool which exported the annotations wrote"):
        CocoDataset(layout, "train2017")[0]


def test_a_file_that_is_there_by_its_name_is_not_looked_for_elsewhere(tmp_path):
    """The folder of a name counts first, then what is left of it."""
    assert list(other_names("a/b%20c/d.jpg")) == ["a/b%20c/d.jpg", "b%20c/d.jpg", "d.jpg", "a/b c/d.jpg", "b c/d.jpg"]


def test_of_two_files_that_differ_in_capitals_none_is_taken_for_a_third(tmp_path):
    """Neither A.jpg nor a.JPG is taken for a.jpg: the check says that it is missing."""
    write(tmp_path / "a.json", ["a.jpg"]), draw(tmp_path / "pictures", ["A.jpg", "a.JPG"])
    if len(list((tmp_path / "pictures").iterdir())) == 1:
        pytest.skip("this file system does not tell capitals apart")
    (found,) = check_data(Layout(train=Split(tmp_path / "a.json", tmp_path / "pictures")))
    assert [p.kind for p in found.problems if p.effect == "stops a run"] == ["images that are missing"]


def test_two_names_that_mean_one_file_are_asked_about(tmp_path):
    """Of two folders of the export only one was copied: its image would stand for both."""
    write(tmp_path / "a.json", ["one\\a.jpg", "two\\a.jpg"]), draw(tmp_path / "pictures", ["a.jpg"])
    (found,) = check_data(Layout(train=Split(tmp_path / "a.json", tmp_path / "pictures")))
    assert [p.image_id for p in found.problems if p.kind == "files that several images name"] == [1]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-32"])
def test_a_byte_order_mark_does_no_harm(coco, encoding):
    """Windows tools write one; the files of the three commands are read by one reader."""
    file = coco / "annotations" / "instances_val2017.json"
    file.write_bytes(file.read_text().encode(encoding))
    assert CocoDataset(coco, "val2017").class_names == ["cat", "dog", "emu"]


def test_the_locale_does_not_matter(coco, content):
    """A class and a file in letters of any script, read where the system is set to ASCII or Latin-1."""
    content["categories"][0]["name"] = "größe 安全帽"
    content["images"][1]["file_name"] = "größe 安全帽.png"
    (coco / "val2017" / "5.png").rename(coco / "val2017" / "größe 安全帽.png")
    text = json.dumps(content, ensure_ascii=False)
    (coco / "annotations" / "instances_val2017.json").write_text(text, encoding="utf-8")
    program = (
        "import sys; from alrp_ref.data import CocoDataset; data = CocoDataset(sys.argv[1], 'val2017')\n"
        "print(ascii(data.class_names[1]), data[0][0].size)"
    )
    plain = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    run = subprocess.run(
        [sys.executable, "-c", program, str(coco)], env=os.environ | plain, capture_output=True, text=True
    )
    assert run.stdout.strip() == f"{'größe 安全帽'!a} (40, 30)", run.stderr


def renamed(content, image, category):
    """The content with other ids, those of annotations included."""
    return {
        "images": [one | {"id": image(one["id"])} for one in content["images"]],
        "annotations": [
            one | {"image_id": image(one["image_id"]), "category_id": category(one["category_id"])}
            for one in content["annotations"]
        ],
        "categories": [one | {"id": category(one["id"])} for one in content["categories"]],
    }


IDS = {
    "negative": (lambda i: i - 100, lambda c: c - 5),
    "hashed": (lambda i: 2**63 + 2654435761 * i, lambda c: 2**70 + c),
    "floats": (float, float),
    "texts": ("img_{:03}".format, "class {:03}".format),
    "numbers as texts": (lambda i: f"{i:03}", lambda c: f"{c:03}"),
}


@pytest.mark.parametrize("image, category", IDS.values(), ids=list(IDS))
def test_ids_of_any_kind_are_read(coco, content, image, category):
    """Labels, boxes and classes are those of the same set with COCO's own ids."""
    before = CocoDataset(coco, "val2017")[0][1]
    (coco / "annotations" / "instances_val2017.json").write_text(json.dumps(renamed(content, image, category)))
    data = CocoDataset(coco, "val2017")
    assert data.class_names == ["cat", "dog", "emu"] and data[0][1]["image_id"] == image(5)
    assert data[0][1]["labels"].tolist() == before["labels"].tolist()
    assert data[0][1]["boxes"].tolist() == before["boxes"].tolist()


def test_ids_may_be_written_in_two_ways(coco, content):
    """As texts in the annotations and as numbers in the lists, as VIA and pandas do; without an id, null for a flag."""
    for one in content["annotations"]:
        one.update(image_id=str(one["image_id"]), category_id=float(one["category_id"]), area=None)
        one.pop("id")
        one["iscrowd"] = one["iscrowd"] or None
    for one in content["images"]:
        one.update(width=40.0, height=30.0)
    (coco / "annotations" / "instances_val2017.json").write_text(json.dumps(content))
    assert CocoDataset(coco, "val2017")[0][1]["labels"].tolist() == [1, 0]
    assert not check_data(coco, ["val2017"])[0].stops


def test_a_heading_among_the_classes_is_left_out(tmp_path, capsys):
    """Roboflow's first class stands above the others, may bear the name of one of them, and has no box."""
    for split in ("train", "valid"):
        content = content_of(["a.jpg", "b.jpg"])
        content["categories"] = [
            {"id": 7, "name": "emu", "supercategory": "none"},
            *(one | {"supercategory": "emu"} for one in content["categories"]),
        ]
        (tmp_path / split).mkdir()
        (tmp_path / split / "_annotations.coco.json").write_text(json.dumps(content))
        draw(tmp_path / split)
    data = CocoDataset(tmp_path, "train2017")
    assert data.class_names == ["dog", "emu"] and data.category_ids == [0, 1]
    assert main(["check-data", "--coco", str(tmp_path)]) == 0
    assert "'emu' is only the supercategory of other classes, and no box is one" in capsys.readouterr().out


def test_a_class_with_a_box_in_one_split_stays_in_both(tmp_path):
    """A class that stands above others may well have no box among the validation images."""
    for split in ("train", "valid"):
        content = content_of(["a.jpg", "b.jpg"])
        content["categories"] = [
            {"id": 7, "name": "animal", "supercategory": "none"},
            *(one | {"supercategory": "animal"} for one in content["categories"]),
        ]
        if split == "train":
            content["annotations"][0]["category_id"] = 7
        (tmp_path / split).mkdir()
        (tmp_path / split / "_annotations.coco.json").write_text(json.dumps(content))
        draw(tmp_path / split)
    for split in ("train2017", "val2017"):
        data = CocoDataset(tmp_path, split)
        assert data.class_names == ["dog", "emu", "animal"] and len(data.coco.cats) == 3


def test_a_class_named_like_its_supercategory_stays(coco, content):
    """COCO's own person is one, with boxes or without."""
    for one in content["categories"]:
        one["supercategory"] = one["name"]
    (coco / "annotations" / "instances_val2017.json").write_text(json.dumps(content))
    assert len(CocoDataset(coco, "val2017").class_names) == 3


def test_a_set_in_cocos_layout_is_not_taken_for_another(coco, tmp_path):
    """With COCO's own files in place, other annotation files beside them are not read."""
    shutil.copy(coco / "annotations" / "instances_val2017.json", coco / "train.json")
    layout = Layout.of(coco)
    assert layout.train is None and layout.val == Split(
        Path(coco, "annotations", "instances_val2017.json"), Path(coco, "val2017")
    )


def test_a_hidden_file_is_no_annotation_file(tmp_path, content):
    """As a Mac leaves one beside each file that it copies."""
    (tmp_path / "annotations").mkdir()
    (tmp_path / "images").mkdir()
    (tmp_path / "annotations" / "mine.json").write_text(json.dumps(content))
    (tmp_path / "annotations" / "._mine.json").write_bytes(b"\x00\x05\x16\x07")
    (tmp_path / "._via_coco.json").write_bytes(b"\x00\x05\x16\x07")
    assert Layout.of(tmp_path).train.annotations == tmp_path / "annotations" / "mine.json"
