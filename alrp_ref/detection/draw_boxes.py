"""Draw boxes on an image."""

from collections.abc import Sequence

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
        class_names: name of each label; None shows labels as numbers.
    """
    drawn, labels = image.copy(), found["labels"].tolist()
    names = [class_names[label] if class_names else str(label) for label in labels]
    if "scores" in found:
        names = [f"{name} {score:.2f}" for name, score in zip(names, found["scores"].tolist(), strict=True)]
    boxes = torch.as_tensor(found["boxes"]).tolist()
    for box, label, name in reversed(list(zip(boxes, labels, names, strict=True))):  # the best last, above the others
        _draw_box(drawn, box, COLOURS[label % len(COLOURS)], name)
    return drawn


def _draw_box(image: Image.Image, box: Sequence[float], colour: str, text: str) -> None:
    pen, side = ImageDraw.Draw(image), max(image.size)
    line, font = max(1, round(side / 160)), ImageFont.load_default(size=max(10, side / 24))
    pen.rectangle(tuple(box), outline=colour, width=line)
    _, _, width, height = pen.textbbox((line, 0), text, font=font)
    width, height = width + line, height + line
    x = max(0, min(box[0], image.width - width))
    y = box[1] - height if box[1] >= height else box[1]
    pen.rectangle((x, y, x + width, y + height), fill=colour)
    pen.text((x + line, y), text, font=font, fill="white" if colour in DARK else "black")
