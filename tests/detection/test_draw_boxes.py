"""Names of classes are drawn in any script that a font here has, and by number where none has it."""

import pytest
import torch
from PIL import Image, ImageFont

from alrp_ref.detection.draw_boxes import _font_for, _has, draw_boxes, drawable


@pytest.mark.parametrize("name", ["größe", "Ελλάδα", "каска", "шлем №5", "tavşan", "çift düğme", "قطة", "café", "dog"])
def test_a_name_whose_letters_a_font_has_is_drawn_with_them(name):
    """Each letter has its glyph, and none is drawn as an empty box."""
    assert drawable(name, 3, 20) == name and all(_has(_font_for(name, 20), letter) for letter in name)


def test_a_name_whose_letters_no_font_has_is_drawn_with_its_number():
    """Instead of empty boxes; what can be drawn of it stands beside the number."""
    assert drawable("安全帽", 3, 20) == "#3" and drawable("", 3, 20) == "#3" and drawable(" ", 4, 20) == "#4"
    assert drawable("安全 helmet", 3, 20) == "#3 ?? helmet"


def test_english_names_keep_their_font():
    """Pictures with names in the letters of English are drawn as ever."""
    assert _font_for("traffic light 0.95", 20).getname() == ImageFont.load_default(size=20).getname()


def test_names_of_every_script_are_drawn_without_an_error():
    """Whatever the name, the picture changes under its box."""
    found = {"boxes": torch.tensor([[10.0, 10, 60, 50]]), "labels": torch.tensor([0]), "scores": torch.tensor([0.5])}
    for name in ("고양이", "ヘルメット", "कुत्ता", "a\u0301", "😀", "\U0010ffff", "x" * 300):
        image = Image.new("RGB", (80, 60), "white")
        assert draw_boxes(image, found, [name]).tobytes() != image.tobytes()
