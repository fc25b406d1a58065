"""Augmentation keeps boxes on their objects and never breaks a sample."""

import subprocess
import sys
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import tv_tensors
from torchvision.transforms import v2

from alrp_ref.data import collate, train_transform
from alrp_ref.data.fast_transforms import draw_augmentation, move_boxes
from alrp_ref.data.transforms import AUGMENTATIONS
from alrp_ref.detection.preprocess import normalise
from alrp_ref.images import IMAGE_MEAN, IMAGE_STD
from benchmarks import pipelines


@dataclass
class Recipe:
    augmentation: str
    train_size: int = 64


def sample(boxes, size=(120, 90)):
    """White boxes on black."""
    image = Image.new("RGB", size)
    for x1, y1, x2, y2 in boxes:
        image.paste((255, 255, 255), (x1, y1, x2, y2))
    boxes = torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4)
    boxes = tv_tensors.BoundingBoxes(boxes, format="XYXY", canvas_size=size[::-1])
    return image, {"boxes": boxes, "labels": torch.arange(len(boxes)), "image_id": 1}


def brightness(image):
    """Of uint8 pixels: 0 (black) to 1."""
    return image.float().mean(0) / 255


@pytest.mark.parametrize("augmentation", ["ssd", "light", "none"])
def test_boxes_stay_on_their_objects(augmentation):
    """After any augmentation the middle of a box is bright as the object, and the box lies in the image."""
    transform, seen = train_transform(Recipe(augmentation)), 0
    for _ in range(40):
        image, target = transform(*sample([(10, 10, 50, 40), (70, 50, 110, 85)]))
        assert image.shape == (3, 64, 64) and image.dtype == torch.uint8
        assert type(target["boxes"]) is torch.Tensor and target["boxes"].dtype == torch.float32
        assert len(target["boxes"]) == len(target["labels"])
        assert (target["boxes"] >= 0).all() and (target["boxes"] <= 64).all()
        for x, y in ((target["boxes"][:, :2] + target["boxes"][:, 2:]) / 2).long().tolist():
            # Outside the objects: black, at most 0.2 after a change of contrast, or the frame's 0.45.
            least = 0.35 if augmentation == "ssd" else 0.5
            assert brightness(image)[y, x] > least
            seen += 1
    assert seen >= 30


def test_samples_have_the_boxes_of_the_release():
    """After colours, zoom-out, crop and resize there are as many boxes as after the release's operations, and as large,
    within 5 %: the crop asks for an IoU with every box."""
    rng, side, (width, height) = np.random.default_rng(0), 64, (160, 120)
    transforms, ours, release = [*AUGMENTATIONS["ssd"](), v2.Identity()], [], []
    for _ in range(1000):
        corner = rng.uniform(0, [width, height], (rng.integers(1, 10), 2))
        boxes = np.hstack([corner, corner + rng.uniform(3, 60, corner.shape)]).astype(np.float32)
        boxes = boxes.clip(0, [width, height] * 2)
        moved, valid = move_boxes(draw_augmentation(transforms, boxes, (width, height)), boxes, (width, height), side)
        ours.append(moved[valid])
        image, expected = np.zeros((height, width, 3), dtype=np.uint8), boxes
        if rng.random() < 0.5:
            image, expected = pipelines.expand(image, boxes, np.zeros(3), rng)
        image, expected = pipelines.crop(image, expected, rng)
        scaled = expected * ([side / image.shape[1], side / image.shape[0]] * 2)
        release.append(scaled[(scaled[:, 2:] - scaled[:, :2]).min(1) >= 1])
    for measure in (len, lambda boxes: np.sqrt((boxes[:, 2:] - boxes[:, :2]).prod(1)).sum()):
        assert sum(map(measure, ours)) == pytest.approx(sum(map(measure, release)), rel=0.05)


def test_resizing_alone_scales_boxes_with_the_image():
    """Without augmentation a box is scaled by 64/120 in x and 64/90 in y."""
    _, target = train_transform(Recipe("none"))(*sample([(30, 45, 60, 90)]))
    assert target["boxes"].tolist() == [[16.0, 32.0, 32.0, 64.0]]


def test_an_image_in_the_mean_colour_becomes_zero():
    """Images are normalised with ImageNet's mean and standard deviation."""
    image = Image.new("RGB", (64, 64), tuple(round(255 * m) for m in IMAGE_MEAN))
    pixels, _ = train_transform(Recipe("none"))(image, sample([], (64, 64))[1])
    assert normalise(pixels).abs().max() < 0.5 / 255 / min(IMAGE_STD)


@pytest.mark.parametrize("augmentation", ["ssd", "light", "none"])
@pytest.mark.parametrize("boxes", [[], [(60, 40, 61, 41)]])
def test_a_sample_may_end_up_without_boxes(augmentation, boxes):
    """With no box, or with one that resizing makes too thin to see, the target is empty and well formed."""
    transform = train_transform(Recipe(augmentation, train_size=32))
    empty = 0
    for _ in range(30):
        image, target = transform(*sample(boxes))
        assert image.shape == (3, 32, 32) and target["boxes"].shape[1:] == (4,)
        assert len(target["boxes"]) == len(target["labels"])
        empty += len(target["boxes"]) == 0
    assert empty > 0


def test_same_seed_same_sample():
    """Everything random comes from torch's generator."""
    transform = train_transform(Recipe("ssd"))
    results = []
    for _ in range(2):
        torch.manual_seed(7)
        results.append([transform(*sample([(10, 10, 50, 40)])) for _ in range(5)])
    for (image_a, target_a), (image_b, target_b) in zip(*results, strict=True):
        assert torch.equal(image_a, image_b) and torch.equal(target_a["boxes"], target_b["boxes"])


def test_collate_stacks_images_and_lists_targets():
    """A batch is one tensor of images and a list with one target each."""
    transform = train_transform(Recipe("none"))
    images, targets = collate([transform(*sample(boxes)) for boxes in ([], [(0, 0, 60, 60)])])
    assert images.shape == (2, 3, 64, 64) and images.is_contiguous(memory_format=torch.channels_last)
    assert [len(target["boxes"]) for target in targets] == [0, 1]


def test_opencv_is_imported_only_where_images_are_augmented():
    """Reading a data set takes no OpenCV, whose threads would be set for the whole process."""
    code = (
        "import sys, alrp_ref.data as data\n"
        "print('cv2' in sys.modules, data.train_transform.__module__, 'cv2' in sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.split() == ["False", "alrp_ref.data.fast_transforms", "True"]
