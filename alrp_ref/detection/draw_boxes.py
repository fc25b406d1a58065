"""Draw boxes on an image."""

import functools
import importlib.util
from collections.abc import Sequence
from pathlib import Path

import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from alrp_ref.palette import BLUE, COLOURS, VERMILION

DARK = (BLUE, VERMILION)
"""Colours on which text is white, not black."""


def draw_boxes(image: Image.Image, found: dict[str, Tensor], class_names: Sequence[str] | None) -> Image.Image:
    """A copy of `image` with boxes, each with the name of its class and, if it has one, its score.

    Lines and text grow with the image. A text stands above its box if there is room, otherwise inside.

    Args:
        image: RGB.
        found: {"boxes" (n, 4), "labels" (n,)}, in pixels of `image`, and for detections "scores" (n,), best first.
        class_names: name of each label; None shows labels as numbers, as where no font here has a letter of the name.
    """
    drawn, labels = image.copy(), found["labels"].tolist()
    size = max(10, max(image.size) / 24)
    names = [drawable(class_names[label], label, size) if class_names else str(label) for label in labels]
    if "scores" in found:
        names = [f"{name} {score:.2f}" for name, score in zip(names, found["scores"].tolist(), strict=True)]
    boxes = torch.as_tensor(found["boxes"]).tolist()
    for box, label, name in reversed(list(zip(boxes, labels, names, strict=True))):  # the best last, above the others
        _draw_box(drawn, box, COLOURS[label % len(COLOURS)], name, _font_for(name, size))
    return drawn


def drawable(name: str, label: int, size: float) -> str:
    """What can be drawn of a class's name: all of it, or its number and, for each letter no font here has, a "?"."""
    font = _font_for(name, size)
    missing = {letter for letter in name if not _has(font, letter)}
    if not name.strip() or missing >= {letter for letter in name if not letter.isspace()}:
        return f"#{label}"
    shown = "".join("?" if letter in missing else letter for letter in name)
    return f"#{label} {shown}" if missing else name


def _font_for(text: str, size: float) -> ImageFont.FreeTypeFont:
    """PIL's own font, which has little but the letters of English; where it lacks one, the font of matplotlib."""
    own, wide = _fonts(size)
    return own if all(_has(own, letter) for letter in text) else wide


@functools.lru_cache(maxsize=16)
def _fonts(size: float) -> tuple[ImageFont.FreeTypeFont, ImageFont.FreeTypeFont]:
    """PIL's own font, and DejaVu Sans, which matplotlib brings along (it is not imported), or else PIL's again."""
    own, spec = ImageFont.load_default(size=size), importlib.util.find_spec("matplotlib")
    for folder in (spec and spec.submodule_search_locations) or ():
        if (file := Path(folder, "mpl-data", "fonts", "ttf", "DejaVuSans.ttf")).is_file():
            return own, ImageFont.truetype(str(file), size=size)
    return own, own


@functools.lru_cache(maxsize=4096)
def _has(font: ImageFont.FreeTypeFont, letter: str) -> bool:
    """Whether the font has a glyph for a letter: a missing one renders like U+10FFFF, which no font has."""
    return letter.isspace() or bytes(font.getmask(letter)) != bytes(font.getmask("\U0010ffff"))


def _draw_box(image: Image.Image, box: Sequence[float], colour: str, text: str, font: ImageFont.FreeTypeFont) -> None:
    pen, line = ImageDraw.Draw(image), max(1, round(max(image.size) / 160))
    pen.rectangle(tuple(box), outline=colour, width=line)
    _, _, width, height = pen.textbbox((line, 0), text, font=font)
    width, height = width + line, height + line
    x = max(0, min(box[0], image.width - width))
    y = box[1] - height if box[1] >= height else box[1]
    pen.rectangle((x, y, x + width, y + height), fill=colour)
    pen.text((x + line, y), text, font=font, fill="white" if colour in DARK else "black")
