"""The same augmentation as `transforms.py`, two to five times as fast: draw first, then touch each pixel once.

The readable transforms change a whole image five times, mostly to throw the pixels away: a zoomed-out canvas has up to
sixteen times as many, and the crop keeps a part of them. Here all random numbers of a sample are drawn first, by the
readable transforms themselves, into an :class:`Augmentation`. Then only those pixels of the source that are seen in the
end change their colours, and zoom-out, crop and resize become one resize of a part of the source with a border.

Boxes and labels are equal to those of the readable transforms, which the tests check. Pixels differ by .1 to .2 grey
levels on average, since OpenCV rounds colours where PIL cuts their fractions off.

Each step is done by the fastest library that keeps to this, as measured on photographs of 640 x 480: OpenCV changes
colours 4 to 10 times as fast as PIL; torchvision's resize gives the very pixels of the readable one, in OpenCV's time.
"""

import math
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
import torch
from PIL import Image
from torchvision import tv_tensors
from torchvision.transforms import v2

from alrp_ref.data.transforms import MEAN_COLOUR, Augmented, RandomIoUCrop, random_transforms

# Data workers are the parallelism; and a pool of threads that OpenCV starts would not survive the fork of a worker.
cv2.setNumThreads(0)

LUMA = np.array([0.299, 0.587, 0.114])  # PIL's grey: the weights of red, green and blue
GREY_SAMPLES = 128  # the mean grey of an image is that of about as many columns and rows
NEAR = 0.03  # pixels: what is so close to a whole pixel is taken for one


@dataclass(frozen=True)
class Augmentation:
    """All that is random in one sample, and nothing else.

    The image lies on a canvas; a part of the canvas is cut out, and resized to the square that the detector sees.
    """

    colours: tuple[tuple[str, float], ...] = ()
    """What changes the colours, in its order: "brightness", "contrast", "saturation" or "hue", and its factor."""
    channels: tuple[int, ...] = (0, 1, 2)
    """Red, green and blue become these channels of the image."""
    padding: tuple[int, int, int, int] = (0, 0, 0, 0)
    """The canvas' pixels to the left of the image, above it, to its right and below it."""
    crop: tuple[int, int, int, int] | None = None
    """The part of the canvas that is kept: left, top, width, height in pixels; None for all of it."""
    kept: np.ndarray | None = None
    """(n,) bool: the boxes whose centre lies in the crop; None without a crop."""
    flip: bool = False
    """Whether left and right change places."""


class FastTransform:
    """What a pipeline of readable transforms does, planned first.

    Args:
        transforms: the readable ones, of the kinds that :func:`draw` knows; only their random numbers are used.
        size: S, the side of the square that they resize to, in pixels.
        border: the colour of the canvas: red, green, blue in 0..255.
    """

    def __init__(self, transforms: list[v2.Transform], size: int, border: tuple[int, int, int]):
        self.transforms, self.size, self.border = transforms, size, border

    def __call__(self, image: Image.Image | torch.Tensor, target: dict[str, Any]) -> tuple[torch.Tensor, dict]:
        """An RGB image, PIL's or uint8 (3, H, W), and its target: see :func:`alrp_ref.data.train_transform`."""
        pixels = _pixels(image)
        height, width = pixels.shape[:2]
        boxes = target["boxes"].as_subclass(torch.Tensor).numpy()
        drawn = draw_augmentation(self.transforms, boxes, (width, height))
        moved, valid = move_boxes(drawn, boxes, (width, height), self.size)
        target = target | {
            "boxes": torch.from_numpy(moved[valid]),
            "labels": target["labels"][torch.from_numpy(valid)],
        }
        if "ignored" in target:  # what is left of these regions, also where their centre was cropped away
            regions, valid = move_boxes(
                replace(drawn, kept=None), target["ignored"].numpy(), (width, height), self.size
            )
            target["ignored"] = torch.from_numpy(regions[valid])
        square = move_pixels(drawn, pixels, self.size, self.border)
        return torch.from_numpy(square).permute(2, 0, 1), target


def train_transform(recipe: Augmented) -> FastTransform:
    """The transform of a training sample: augment, resize to a square, flip.

    It draws the random numbers of :func:`~alrp_ref.data.readable_transform` and gives the same boxes and labels, in
    half to a fifth of the time; pixels differ by under half a grey level on average.

    Args:
        recipe: reads ``recipe.augmentation`` ("ssd", "light" or "none") and ``recipe.train_size`` S (pixels).

    Returns:
        A transform for :class:`~alrp_ref.data.CocoDataset`: ``(image, target)`` becomes a uint8 image (3, S, S), which
        :func:`alrp_ref.detection.preprocess.normalise` makes ready for a detector, and a target whose boxes lie in it.
        Boxes whose centre was cropped away, or that are thinner than a pixel, are dropped; none may be left.

    Raises:
        ValueError: an unknown augmentation.
    """
    return FastTransform(random_transforms(recipe), recipe.train_size, MEAN_COLOUR)


def _pixels(image: Image.Image | torch.Tensor) -> np.ndarray:
    """The pixels (H, W, 3) of an RGB image."""
    return image.permute(1, 2, 0).numpy() if isinstance(image, torch.Tensor) else np.asarray(image)


# ---- The draws


def draw_augmentation(transforms: list[v2.Transform], boxes: np.ndarray, size: tuple[int, int]) -> Augmentation:
    """Draw for a sample: torch's generator gives the same numbers, in the same order, as in `transforms` themselves.

    Args:
        transforms: RandomPhotometricDistort, ColorJitter, RandomZoomOut, RandomIoUCrop and RandomHorizontalFlip in the
            order of the pipeline. Others draw nothing, and are passed over.
        boxes: (n, 4) float32, x1, y1, x2, y2 in pixels of the image.
        size: width and height of the image in pixels.
    """
    drawn: dict[str, Any] = {}
    width, height = size
    for transform in transforms:
        shape = [tv_tensors.Image(torch.empty(3, height, width, device="meta"))]
        match transform:
            case v2.RandomPhotometricDistort() | v2.ColorJitter():
                drawn |= _colours(transform.make_params(shape))
            case v2.RandomZoomOut():
                if torch.rand(1) < transform.p:
                    left, top, right, bottom = drawn["padding"] = tuple(transform.make_params(shape)["padding"])
                    width, height = left + width + right, top + height + bottom
                    boxes = boxes + np.array([left, top, left, top], dtype=np.float32)
            case RandomIoUCrop():
                drawn |= _crop(transform, boxes, (width, height))
            case v2.RandomHorizontalFlip():
                drawn["flip"] = bool(torch.rand(1) < transform.p)
    return Augmentation(**drawn)


def _colours(params: dict[str, Any]) -> dict[str, Any]:
    """The colours of an augmentation, from the parameters of torchvision's two transforms of colours."""
    names = ("brightness", "contrast", "saturation", "hue")
    if "fn_idx" in params:  # ColorJitter
        order = [names[i] for i in params["fn_idx"]]
    elif params["contrast_before"]:
        order = names
    else:
        order = ("brightness", "saturation", "hue", "contrast")
    factors = {name: params[f"{name}_factor"] for name in order}
    drawn = {"colours": tuple((name, factor) for name, factor in factors.items() if factor is not None)}
    if (channels := params.get("channel_permutation")) is not None:
        drawn["channels"] = tuple(channels.tolist())
    return drawn


def _crop(transform: RandomIoUCrop, boxes: np.ndarray, size: tuple[int, int]) -> dict[str, Any]:
    """The readable transform's search for a crop, with all trials of one option at once: 1 ms for its 2 to 10.

    A trial takes two random numbers for its sides and, if their ratio will do, two for its place. All numbers that the
    trials may take are drawn; then the generator is set back, and moved on by those that were taken.
    """
    width, height = size
    if min(size) * transform.min_scale < 1 or not len(boxes):  # as in the readable one: too thin to be cropped
        return {}
    while True:
        option = transform.options[int(torch.randint(low=0, high=len(transform.options), size=(1,)))]
        if option >= 1:
            return {}
        before = torch.get_rng_state()
        crops, taken = _candidates(transform, torch.rand(4 * transform.trials).numpy(), width, height)
        good, held = _acceptable(crops, boxes, option)
        first = next(iter(np.flatnonzero(good)), None)
        torch.set_rng_state(before)
        torch.rand(taken[-1 if first is None else first])
        if first is not None:
            left, top, right, bottom = crops[first].tolist()
            return {"crop": (left, top, right - left, bottom - top), "kept": held[first]}


def _candidates(transform: RandomIoUCrop, numbers: np.ndarray, width: int, height: int) -> tuple[np.ndarray, list[int]]:
    """The trials whose ratio of sides will do, and how many of the `numbers` are taken up to each.

    Returns:
        int (k, 4): left, top, right, bottom in pixels; and k + 1 counts, the last that of all trials.
    """
    pairs, whole = numbers.reshape(-1, 2), np.array([width, height])
    sides = (whole * (transform.min_scale + (transform.max_scale - transform.min_scale) * pairs)).astype(int)
    ratio = sides[:, 0] / sides[:, 1]
    will_do = ((transform.min_aspect_ratio <= ratio) & (ratio <= transform.max_aspect_ratio)).tolist()
    chosen, at = [], 0  # at: the pair that the next trial begins with
    for _ in range(transform.trials):
        if will_do[at]:
            chosen.append(at)
        at += 2 if will_do[at] else 1
    sides, places = sides[chosen], pairs[[i + 1 for i in chosen]]
    corner = ((whole - sides).astype(np.float32) * places).astype(int)
    return np.hstack([corner, corner + sides]), [2 * (i + 2) for i in chosen] + [2 * at]


def _acceptable(crops: np.ndarray, boxes: np.ndarray, least_iou: float) -> tuple[np.ndarray, np.ndarray]:
    """Which crops have enough IoU with every box and hold the centre of one (k,); whose centres they hold (k, n)."""
    crops = crops[:, None].astype(np.float32)  # (k, 1, 4) beside (n, 4)
    centres = np.float32(0.5) * (boxes[:, :2] + boxes[:, 2:])
    held = ((crops[..., :2] < centres) & (centres < crops[..., 2:])).all(-1)
    overlap = np.minimum(boxes[:, 2:], crops[..., 2:]) - np.maximum(boxes[:, :2], crops[..., :2])
    shared = overlap.clip(0).prod(-1)
    iou = shared / ((boxes[:, 2:] - boxes[:, :2]).prod(-1) + (crops[..., 2:] - crops[..., :2]).prod(-1) - shared)
    return held.any(-1) & (iou >= np.float32(least_iou)).all(-1), held


# ---- What becomes of the boxes


def move_boxes(
    drawn: Augmentation, boxes: np.ndarray, size: tuple[int, int], side: int
) -> tuple[np.ndarray, np.ndarray]:
    """Where boxes lie in the square, and which of them are still there.

    Args:
        boxes: (n, 4) float32, x1, y1, x2, y2 in pixels of the image.
        size: width and height of the image in pixels.
        side: of the square in pixels.

    Returns:
        (n, 4) float32 in pixels of the square, inside it; and (n,) bool: False for a box whose centre was cropped away,
        or that is thinner than a pixel.
    """
    left, top, width, height = _crop_of(drawn, size)
    # Two steps, since floats are rounded after each.
    boxes = boxes + np.array(drawn.padding[:2] * 2, dtype=np.float32)
    boxes = boxes - np.array([left, top] * 2, dtype=np.float32)
    boxes = boxes.clip(0, np.array([width, height, width, height], dtype=np.float32))
    boxes *= np.array([side / width, side / height] * 2, dtype=np.float32)
    if drawn.flip:
        boxes[:, [0, 2]] = side - boxes[:, [2, 0]]
    boxes = boxes.clip(0, np.float32(side))
    sides = boxes[:, 2:] - boxes[:, :2]
    valid = (sides >= 1).all(-1) & (sides.prod(-1) >= 1)
    return boxes, valid if drawn.kept is None else valid & drawn.kept


def _crop_of(drawn: Augmentation, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """The drawn crop, or all of the canvas."""
    left, top, right, bottom = drawn.padding
    return drawn.crop or (0, 0, left + size[0] + right, top + size[1] + bottom)


# ---- What becomes of the pixels


def move_pixels(drawn: Augmentation, image: np.ndarray, side: int, border: tuple[int, int, int]) -> np.ndarray:
    """The square (side, side, 3) that is seen of an `image` (height, width, 3), both uint8, as planned."""
    height, width = image.shape[:2]
    left, top, *cropped = _crop_of(drawn, (width, height))
    x, y = drawn.padding[0] - left, drawn.padding[1] - top  # the image's corner in the crop
    seen = image[max(0, -y) : cropped[1] - y, max(0, -x) : cropped[0] - x]
    seen = change_colours(seen, image, drawn)

    # Far from the image a border is a border before the resize or after it: what is resized is the image with just
    # enough around it.
    before_x, before_y = max(0, x), max(0, y)
    after_x, after_y = cropped[0] - before_x - seen.shape[1], cropped[1] - before_y - seen.shape[0]
    margins = (before_y, after_y, before_x, after_x)
    late = [_late_border(margin, cropped[1 - i // 2], side) for i, margin in enumerate(margins)]
    early = [margin - pixels for margin, (_, pixels) in zip(margins, late, strict=True)]
    late = [n for n, _ in late]

    seen = cv2.copyMakeBorder(seen, *early, cv2.BORDER_CONSTANT, value=border)
    target = [side - late[0] - late[1], side - late[2] - late[3]]
    resized = v2.functional.resize(torch.from_numpy(seen).permute(2, 0, 1), target).permute(1, 2, 0).numpy()
    square = cv2.copyMakeBorder(resized, *late, cv2.BORDER_CONSTANT, value=border)
    return cv2.flip(square, 1) if drawn.flip else square


def _late_border(margin: int, length: int, side: int) -> tuple[int, int]:
    """How much of a border can wait until `length` pixels have been resized to `side`, in pixels after that and before.

    A resize looks no further than one pixel of the coarser grid, so twice that is left around the image. The cut must
    lie between two pixels of both grids, or so near that nobody sees it.
    """
    step = length / side
    most = math.floor((margin - 2 * max(step, 1)) / step)
    late = next(n for n in range(max(most, 0), -1, -1) if abs(n * step - round(n * step)) < NEAR)
    return late, round(late * step)


def change_colours(seen: np.ndarray, image: np.ndarray, drawn: Augmentation) -> np.ndarray:
    """The pixels `seen` of an `image`, both uint8 (., ., 3), in the drawn colours.

    Contrast is a change relative to the mean grey of the whole image, which a sample of its pixels tells.
    """
    every = 1 + min(image.shape[:2]) // GREY_SAMPLES
    sample = np.ascontiguousarray(image[::every, ::every])
    for name, factor in drawn.colours:
        grey = cv2.mean(cv2.cvtColor(sample, cv2.COLOR_RGB2GRAY))[0] if name == "contrast" else 0
        seen, sample = (_change(pixels, name, factor, grey) for pixels in (seen, sample))
    return seen if drawn.channels == (0, 1, 2) else cv2.transform(seen, np.eye(3)[list(drawn.channels)])


def _change(pixels: np.ndarray, name: str, factor: float, grey: float) -> np.ndarray:
    """One change of colours, as PIL defines it: hues are turned; all others mix the image with one that lacks them.

    Without brightness it is black, without contrast of the level `grey`, without saturation each pixel's own grey.
    """
    if name == "hue":
        hsv = cv2.cvtColor(pixels, cv2.COLOR_RGB2HSV_FULL)
        # One less, since PIL cuts off what OpenCV rounds. 256 is 0 again, as it should be for an angle.
        hsv[..., 0] += np.uint8((int(factor * 255) - 1) % 256)
        return cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB_FULL)
    if name == "saturation":
        mix = factor * np.eye(3) + (1 - factor) * LUMA
        return cv2.transform(pixels, np.hstack([mix, np.full((3, 1), -0.5)]))  # here half a level less
    level = int(grey + 0.5)
    table = level + factor * (np.arange(256) - level)
    return cv2.LUT(pixels, table.clip(0, 255).astype(np.uint8))
