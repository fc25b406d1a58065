"""Ways to read and augment an image as SSD does: ours, torchvision's, albumentations', the release's.

Each changes the colours, zooms out in half of the cases, crops a part with boxes, resizes it to a square and flips half
of the images. A pipeline is made of a data set without a transform and the side of the square in pixels; it is a
function of an index, and returns the image (3, side, side) and the boxes (n, 4), x1, y1, x2, y2 in its pixels.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor
from torchvision.transforms import v2

from alrp_ref.data import CocoDataset, readable_transform, train_transform
from alrp_ref.data.transforms import MEAN_COLOUR
from alrp_ref.detection import RECIPES
from alrp_ref.images import IMAGE_MEAN, IMAGE_STD

Pipeline = Callable[[int], tuple[Tensor, Tensor]]
RECIPE = RECIPES["alrp_retinanet_r50_atss_500"]


def _transformed(data: CocoDataset, transform: Callable) -> Pipeline:
    def sample(index: int) -> tuple[Tensor, Tensor]:
        image, target = transform(*data[index])
        return image, target["boxes"]

    return sample


def ours(data: CocoDataset, side: int) -> Pipeline:
    """What training uses; 8 bits, normalised on the device."""
    return _transformed(data, train_transform(replace(RECIPE, train_size=side)))


def readable(data: CocoDataset, side: int) -> Pipeline:
    """The same, one transform after the other; 8 bits, normalised on the device."""
    return _transformed(data, readable_transform(replace(RECIPE, train_size=side)))


def torchvision(data: CocoDataset, side: int) -> Pipeline:
    """The preset "ssd" of torchvision's reference scripts, v2 on PIL images; floats in 0..1.

    There the model resizes. Here the transform does, as the others do, and in 8 bits, where that is fastest.
    """
    steps = [
        v2.RandomPhotometricDistort(),
        v2.RandomZoomOut(fill=MEAN_COLOUR),
        v2.RandomIoUCrop(),
        v2.RandomHorizontalFlip(0.5),
        v2.ToImage(),
        v2.Resize((side, side)),
        v2.ToDtype(torch.float32, scale=True),
        v2.SanitizeBoundingBoxes(),
        v2.ToPureTensor(),
    ]
    return _transformed(data, v2.Compose(steps))


def albumentations(data: CocoDataset, side: int) -> Pipeline:
    """albumentations' nearest transforms; 8 bits. Its crop asks for no IoU, which saves it the search for a crop.

    Raises: ImportError where albumentations is not installed.
    """
    import albumentations as A  # optional

    same = dict.fromkeys(("brightness", "contrast", "saturation", "hue"), (1, 1)) | {"hue": (0, 0)}
    ranges = {"brightness": (0.875, 1.125), "contrast": (0.5, 1.5), "saturation": (0.5, 1.5), "hue": (-0.05, 0.05)}
    steps = [
        *(A.ColorJitter(**same | {name: limits}, p=0.5) for name, limits in ranges.items()),
        A.ChannelShuffle(p=0.5),
        A.CropAndPad(percent=(0, 1.5), keep_size=False, fill=MEAN_COLOUR, p=0.5),  # up to 4 times each side
        A.OneOf([A.RandomResizedCrop((side, side), (0.09, 1), (0.5, 2), p=6 / 7), A.Resize(side, side, p=1 / 7)], p=1),
        A.HorizontalFlip(p=0.5),
    ]
    augment = A.Compose(steps, bbox_params=A.BboxParams("pascal_voc", label_fields=["labels"]), seed=0)
    read = _reader(data)

    def sample(index: int) -> tuple[Tensor, Tensor]:
        image, boxes, labels = read(index)
        found = augment(image=cv2.cvtColor(image, cv2.COLOR_BGR2RGB), bboxes=boxes, labels=labels)
        boxes = np.asarray(found["bboxes"], dtype=np.float32).reshape(-1, 4)
        return torch.from_numpy(found["image"]).permute(2, 0, 1), torch.from_numpy(boxes)

    return sample


def release(data: CocoDataset, side: int) -> Pipeline:
    """The operations of the release's training, by OpenCV and NumPy, on float32 throughout; normalised."""
    read, rng = _reader(data), np.random.default_rng(0)
    mean, std = (np.array(values, dtype=np.float64) * 255 for values in (IMAGE_MEAN, IMAGE_STD))

    def sample(index: int) -> tuple[Tensor, Tensor]:
        image, boxes, _ = read(index)
        image = _distort(image.astype(np.float32), rng)
        if rng.random() < 0.5:
            image, boxes = expand(image, boxes, mean[::-1], rng)
        image, boxes = crop(image, boxes, rng)
        scale = np.array([side / image.shape[1], side / image.shape[0]] * 2, dtype=np.float32)
        image, boxes = cv2.resize(image, (side, side), interpolation=cv2.INTER_LINEAR), boxes * scale
        if rng.random() < 0.5:
            image = np.flip(image, axis=1)
            boxes = np.stack([side - boxes[:, 2], boxes[:, 1], side - boxes[:, 0], boxes[:, 3]], axis=1)
        image = cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_BGR2RGB)
        cv2.subtract(image, (*mean, 0), image)
        cv2.multiply(image, (*1 / std, 0), image)
        return torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1))), torch.from_numpy(boxes)

    return sample


def _reader(data: CocoDataset) -> Callable[[int], tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Reads by OpenCV: the image (h, w, 3), blue first; its boxes and labels."""
    paths = [str(Path(data.root) / data.coco.imgs[image_id]["file_name"]) for image_id in data.ids]

    def read(index: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        target = data.target(data.ids[index])
        return cv2.imread(paths[index]), target["boxes"].as_subclass(Tensor).numpy(), target["labels"].numpy()

    return read


def _distort(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Brightness, contrast, saturation, hue and the order of the channels, each in half of the cases."""
    brightness, first, contrast, saturation, hue, channels = rng.random(6) < 0.5
    if brightness:
        image += rng.uniform(-32, 32)
    factor = rng.uniform(0.5, 1.5) if contrast else 1
    if contrast and first:
        image *= factor
    image = cv2.cvtColor(image, cv2.COLOR_BGR2HSV)
    if saturation:
        image[..., 1] *= rng.uniform(0.5, 1.5)
    if hue:
        image[..., 0] = (image[..., 0] + rng.uniform(-18, 18)) % 360
    image = cv2.cvtColor(image, cv2.COLOR_HSV2BGR)
    if contrast and not first:
        image *= factor
    return image[..., rng.permutation(3)] if channels else image


def expand(image: np.ndarray, boxes: np.ndarray, colour: np.ndarray, rng: np.random.Generator) -> tuple:
    """The image somewhere on a canvas of one colour, of up to four times its sides."""
    ratio, (height, width) = rng.uniform(1, 4), image.shape[:2]
    canvas = np.full((int(height * ratio), int(width * ratio), 3), colour, dtype=image.dtype)
    left, top = int(rng.uniform(0, width * ratio - width)), int(rng.uniform(0, height * ratio - height))
    canvas[top : top + height, left : left + width] = image
    return canvas, boxes + np.array([left, top] * 2, dtype=np.float32)


def crop(image: np.ndarray, boxes: np.ndarray, rng: np.random.Generator) -> tuple:
    """A part that has an IoU of at least .1, .3, .5, .7 or .9 with every box; or any part, or all of the image."""
    height, width = image.shape[:2]
    while True:
        least = rng.choice([1, 0.1, 0.3, 0.5, 0.7, 0.9, 0])
        if least == 1:
            return image, boxes
        for _ in range(50):
            w, h = rng.uniform(0.3 * width, width), rng.uniform(0.3 * height, height)
            if not 0.5 <= h / w <= 2:
                continue
            left, top = rng.uniform(0, width - w), rng.uniform(0, height - h)
            part = np.array([left, top, left + w, top + h], dtype=np.int64)
            shared = (np.minimum(boxes[:, 2:], part[2:]) - np.maximum(boxes[:, :2], part[:2])).clip(0).prod(axis=1)
            areas = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
            if (shared / (areas + (part[2:] - part[:2]).prod() - shared)).min() < least:
                continue
            centres = (boxes[:, :2] + boxes[:, 2:]) / 2
            held = ((part[:2] < centres) & (centres < part[2:])).all(axis=1)
            if held.any():
                corner = np.tile(part[:2], 2)
                boxes = (boxes[held].clip(corner, np.tile(part[2:], 2)) - corner).astype(np.float32)
                return image[part[1] : part[3], part[0] : part[2]], boxes


PIPELINES: dict[str, Callable[[CocoDataset, int], Pipeline]] = {
    "ours": ours,
    "ours, readable": readable,
    "torchvision's reference": torchvision,
    "albumentations": albumentations,
    "the release's operations": release,
}
