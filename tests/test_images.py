"""Reading pictures."""

import pytest
from PIL import ExifTags, Image, ImageDraw, ImageOps

from alrp_ref.detection import Recipe
from alrp_ref.images import GREYS, TURNS, read_image


@pytest.mark.parametrize("tag", [1, *TURNS])
def test_a_photograph_is_turned_as_its_tag_asks(tmp_path, tag):
    """Whatever the tag, upright is what PIL's own `exif_transpose` gives; without `upright` nothing is turned."""
    stored = Image.new("RGB", (40, 24), "black")
    ImageDraw.Draw(stored).rectangle((0, 0, 9, 5), fill="white")
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = tag
    stored.save(tmp_path / "phone.png", exif=exif)
    with Image.open(tmp_path / "phone.png") as image:
        expected = ImageOps.exif_transpose(image).convert("RGB")
    assert read_image(tmp_path / "phone.png", upright=True).tobytes() == expected.tobytes()
    assert read_image(tmp_path / "phone.png").size == (40, 24)


def test_a_recipe_takes_all_greys_by_default():
    """Its default is written out, so that `alrp recipes` needs no NumPy, and is that of the reader of images."""
    assert Recipe(name="any").grey_range == GREYS
