"""Boxes drawn on pictures."""

from collections.abc import Sequence

import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms.v2.functional import pil_to_tensor, to_pil_image
from torchvision.utils import draw_bounding_boxes

# Okabe and Ito's colours, which also those tell apart who do not see all of them.
COLOURS = ("#E69F00", "#56B4E9", "#009E73", "#F0E442", "#0072B2", "#D55E00", "#CC79A7")


def draw_boxes(image: Image.Image, found: dict[str, Tensor], class_names: Sequence[str] | None) -> Image.Image:
    """A copy of `image` with a coloured box, the name of its class and its score for everything found.

    Args:
        image: RGB.
        found: {"boxes" (n, 4), "labels" (n,)}, in pixels of `image`, and for detections "scores" (n,), best first.
        class_names: name of each label; None, and labels are shown as numbers.
    """
    labels = found["labels"].tolist()
    if not labels:
        return image.copy()
    names = [class_names[label] if class_names else str(label) for label in labels]
    if "scores" in found:
        names = [f"{name} {score:.2f}" for name, score in zip(names, found["scores"].tolist(), strict=True)]
    drawn = draw_bounding_boxes(
        pil_to_tensor(image),
        torch.as_tensor(found["boxes"]).flip(0),  # the best last, on top of the others
        labels=names[::-1],
        colors=[COLOURS[label % len(COLOURS)] for label in labels[::-1]],
        width=max(1, round(max(image.size) / 250)),
        fill_labels=True,
    )
    return to_pil_image(drawn)
