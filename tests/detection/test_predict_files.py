"""`alrp predict` takes pictures as people have them, and never writes over a file that it did not write itself."""

import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from detection.small import SMALL
from PIL import ExifTags, Image

from alrp_ref import cli
from alrp_ref.detection import build_detector
from alrp_ref.detection.predict_files import find_pictures
from alrp_ref.detection.preprocess import to_input
from alrp_ref.detection.saved_model import save_model


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """A detector of two classes that was not trained: it finds something everywhere."""
    model = build_detector(replace(SMALL["alrp_tiny"], test_size=(64, 64)), num_classes=2)
    model.class_names = ["cat", "安全帽"]
    path = tmp_path_factory.mktemp("model") / "checkpoint.pt"
    save_model(path, model, ["first", 7])
    return path


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The folder that the command is given in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def photograph(path: str, **options) -> Path:
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (48, 32), "green").save(path, **options)
    return path


def predict(checkpoint, *arguments) -> int:
    return cli.main(["predict", "--checkpoint", str(checkpoint), "--threshold", "0.0001", *map(str, arguments)])


def same(path):
    return path


def by_way_of_a_folder(path):
    (path.parent / "sub").mkdir()
    return path.parent / "sub" / ".." / path.name


def by_a_link(path):
    (path.parent / "elsewhere").mkdir()
    link = path.parent / "elsewhere" / path.name
    link.symlink_to(path.resolve())
    return link


def by_a_second_name(path):
    (path.parent / "elsewhere").mkdir()
    os.link(path, path.parent / "elsewhere" / path.name)
    return path.parent / "elsewhere" / path.name


@pytest.mark.parametrize("way", [same, by_way_of_a_folder, by_a_link, by_a_second_name])
def test_a_picture_is_never_written_over(checkpoint, folder, capsys, way):
    """By its own path, a detour, a link or a second name of the same file: refused before the first picture."""
    first, given = photograph("other/first.png"), way(photograph("street.png"))
    before = Path("street.png").read_bytes()
    assert predict(checkpoint, "--out", ".", first, given) == 2
    assert "would be written over" in capsys.readouterr().err
    assert Path("street.png").read_bytes() == before and not Path("first.png").exists()


def test_a_folder_that_is_a_link_to_that_of_the_pictures_is_no_way_round(checkpoint, folder):
    """A picture that is reached by a link is not written over either."""
    photograph("photos/street.png")
    Path("drawn").symlink_to("photos")
    assert predict(checkpoint, "--out", "drawn", "photos/street.png") == 2


def test_a_file_of_somebody_else_is_not_overwritten(checkpoint, folder, capsys):
    """A drawing of a former call is, a picture that only has its name is not."""
    photograph("a/street.jpg")
    assert predict(checkpoint, "--out", "out", "a/street.jpg") == 0 and predict(checkpoint, "--out", "out", "a") == 0
    mine = photograph("out/street.png").read_bytes()
    assert predict(checkpoint, "--out", "out", "a/street.jpg") == 2
    assert "`alrp predict` did not write it" in capsys.readouterr().err and Path("out/street.png").read_bytes() == mine


def test_detections_are_not_written_over_a_picture_a_checkpoint_or_annotations(checkpoint, folder):
    """`--json` overwrites a list of detections, and nothing else."""
    photograph("a.jpg")
    Path("instances.json").write_text('{"images": []}')
    Path("list.json").write_text('[{"image": "a.jpg"}]')
    for file in ("a.jpg", checkpoint, "instances.json", "list.json"):
        before = Path(file).read_bytes()
        assert predict(checkpoint, "--json", file, "a.jpg") == 2 and Path(file).read_bytes() == before
    Path("found.json").write_text("[]")
    assert predict(checkpoint, "--json", "found.json", "a.jpg") == 0 and len(Path("found.json").read_text()) > 100


def test_pictures_that_would_be_drawn_over_each_other_are_refused(checkpoint, folder, capsys):
    """Two of the same name, before the first is drawn; two that differ in their suffix keep it."""
    photograph("a/1.png"), photograph("b/1.png"), photograph("a/1.jpg")
    assert predict(checkpoint, "a/1.png", "b/1.png") == 2
    assert "two of the pictures would be drawn in predictions/1.png" in capsys.readouterr().err
    assert predict(checkpoint, "a/1.png", "a/1.jpg") == 0
    assert sorted(path.name for path in Path("predictions").iterdir()) == ["1.jpg.png", "1.png.png"]


def test_folders_and_patterns_are_taken(folder):
    """Files, what a folder holds by name, patterns that no shell expanded; each once, and no other files."""
    for name in ("b.JPG", "a.png", "deep/c.jpeg", "odd[1].png"):
        photograph(name)
    Path("notes.txt").write_text("no picture")
    assert find_pictures(["."]) == [Path("a.png"), Path("b.JPG"), Path("odd[1].png")]
    assert find_pictures(["**/*.jpeg", "a.png", "a.*"]) == [Path("deep/c.jpeg"), Path("a.png")]
    assert find_pictures(["odd[1].png"]) == [Path("odd[1].png")]


def test_hidden_files_are_read_only_where_they_are_named(folder):
    """A Mac leaves a ._NAME beside each NAME: it is no picture."""
    for name in ("photos/a.png", "photos/._a.png", "photos/.b.jpg"):
        photograph(name)
    assert find_pictures(["photos"]) == find_pictures(["photos/*"]) == [Path("photos/a.png")]
    assert find_pictures(["photos/._a.png"]) == [Path("photos/._a.png")]


def test_a_film_and_a_phones_format_are_named_with_the_cure(checkpoint, folder, capsys):
    """Neither is passed over in silence."""
    photograph("photos/a.png")
    for name in ("photos/b.heic", "films/c.mp4"):
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_bytes(b"something else")
    assert predict(checkpoint, "photos") == 2 and "pip install pillow-heif" in capsys.readouterr().err
    assert predict(checkpoint, "films") == 2 and "ffmpeg -i c.mp4 %06d.png" in capsys.readouterr().err
    assert predict(checkpoint, "films/c.mp4") == 2 and "it is a film: cut it" in capsys.readouterr().err


def test_greys_of_sixteen_bits_are_read_as_in_training(folder):
    """By the range of the recipe, also from a path; a range that is none is refused."""
    values = np.linspace(29_000, 31_500, 64 * 64).astype(np.uint16).reshape(64, 64)
    Image.fromarray(values).save("thermal.png")
    recipe = replace(SMALL["alrp_tiny"], test_size=(64, 64), grey_range=(29_000, 31_500))
    pixels, *_ = to_input("thermal.png", recipe.test_size, recipe.grey_range)
    assert pixels.max() - pixels.min() > 4 > 1 > np.ptp(to_input("thermal.png", recipe.test_size)[0][0].numpy())
    model, seen = build_detector(recipe, num_classes=2), []
    model.detect = lambda images, **options: seen.append(images[0]) or [{"boxes": torch.zeros(0, 4)}]
    model.predict(["thermal.png"])
    assert torch.equal(seen[0], pixels)
    with pytest.raises(ValueError, match=r"grey_range must be \(low, high\) with low < high"):
        replace(recipe, grey_range=(5, 5))


def test_a_picture_that_is_broken_does_not_cost_the_others(checkpoint, folder, capsys):
    """They are drawn; the command ends with 2 and names it."""
    photograph("photos/a.png"), photograph("photos/c.png")
    Path("photos/b.png").write_bytes(b"no picture")
    assert predict(checkpoint, "photos") == 2
    assert "1 of 3 pictures cannot be read, photos/b.png" in capsys.readouterr().err
    assert sorted(path.name for path in Path("predictions").iterdir()) == ["a.png", "c.png"]


def test_detections_of_a_phones_photograph_are_those_of_the_upright_one(checkpoint, folder):
    """Drawn upright, with boxes in the pixels that one sees."""
    upright = Image.effect_noise((32, 48), 60).convert("RGB")
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    Path("a").mkdir(), Path("b").mkdir()
    upright.save("a/1.png")
    upright.transpose(Image.Transpose.ROTATE_90).save("b/1.png", exif=exif)
    for name in "ab":
        assert predict(checkpoint, "--out", f"out_{name}", "--json", f"{name}.json", name) == 0
    assert Path("a.json").read_text() == Path("b.json").read_text()
    with Image.open("out_b/1.png") as drawn:
        assert drawn.size == (32, 48)


def test_detections_are_in_cocos_format(checkpoint, folder):
    """The category ids of the checkpoint, x, y, width, height; the id of an image is the name of its file, also where
    that is a number: whether it is the id is not known."""
    photograph("photos/000000000139.jpg")
    assert predict(checkpoint, "--json", "found.json", "photos") == 0
    rows = json.loads(Path("found.json").read_text())
    assert {row["image_id"] for row in rows} == {row["file_name"] for row in rows} == {"000000000139.jpg"}
    assert {row["category_id"] for row in rows} <= {"first", 7}
    assert all(len(row["bbox"]) == 4 and row["bbox"][0] + row["bbox"][2] <= 48.01 for row in rows)


def write_annotations(*names) -> str:
    """A file that lists images, with the ids 70, 71, ..."""
    images = [{"id": 70 + n, "file_name": name, "width": 48, "height": 32} for n, name in enumerate(names)]
    Path("instances.json").write_text(json.dumps({"images": images, "annotations": [], "categories": []}))
    return "instances.json"


@pytest.mark.parametrize(
    "first, second", [("1.png", "2.png"), ("photos/1.png", "other/1.png"), ("C:\\me\\1.png", "http://x/train/2.png")]
)
def test_the_ids_of_images_are_those_of_the_annotations(checkpoint, folder, first, second):
    """By the name of the file, or as much of its path as tells it from the others."""
    photograph("photos/1.png")
    annotations = write_annotations(second, first)
    assert predict(checkpoint, "--json", "found.json", "--annotations", annotations, "photos") == 0
    assert {row["image_id"] for row in json.loads(Path("found.json").read_text())} == {71}


def test_a_picture_that_no_or_several_images_name_is_refused(checkpoint, folder, capsys):
    """Before the first is drawn."""
    photograph("photos/1.png")
    for names, said in (
        (("2.png",), "photos/1.png is no image of instances.json"),
        (("a/1.png", "b/1.png"), "photos/1.png may be several images of instances.json: 70, 71"),
    ):
        assert predict(checkpoint, "--json", "found.json", "--annotations", write_annotations(*names), "photos") == 2
        assert said in capsys.readouterr().err and not Path("predictions").exists()
    assert predict(checkpoint, "--annotations", "instances.json", "photos") == 2
    assert predict(checkpoint, "--json", "instances.json", "--annotations", "instances.json", "photos") == 2
