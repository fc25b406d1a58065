"""Regions to ignore: nothing is learned in them, and what is in them is no background."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from detection.small import SMALL, batch
from PIL import Image
from torchvision import tv_tensors

from alrp_ref.batch import IGNORED, NEGATIVE
from alrp_ref.data import train_transform
from alrp_ref.detection import RECIPES, build_detector
from alrp_ref.detection.assigners import iou_assign
from alrp_ref.detection.targets import assign

LEVEL = torch.tensor([[0.0, 0, 10, 10], [4, 0, 14, 10], [10, 0, 20, 10], [30, 0, 40, 10], [0, 0, 40, 40]])


def targets(*regions):
    """An image with a box like the third anchor, and regions to ignore; and one without either."""
    box = {"boxes": torch.tensor([[10.0, 0, 20, 10]]), "labels": torch.tensor([3])}
    empty = {"boxes": torch.zeros(0, 4), "labels": torch.zeros(0, dtype=torch.int64)}
    return [box | {"ignored": torch.tensor(regions)}, empty]


def test_negatives_in_a_region_are_ignored_and_positives_stay():
    """By more than half of their area: of five anchors one is positive, two lie in a region, one covers it."""
    found = assign(iou_assign, [LEVEL], targets([-5.0, -5, 4, 20], [7.0, 0, 21, 12], [0, 0, 9, 9]))
    assert found.labels.tolist() == [[IGNORED, IGNORED, 3, NEGATIVE, NEGATIVE], [NEGATIVE] * 5]
    assert found.boxes.tolist() == [[10, 0, 20, 10]]


@pytest.mark.parametrize("name", ["alrp_tiny", "alrp_fovea", "alrp_faster", "ce_faster"])
def test_a_region_over_the_whole_image_leaves_no_negative(name):
    """Of every detector: without boxes there is then nothing to learn, and the loss of the scores is 0."""
    model = build_detector(SMALL[name], num_classes=2, self_balance_period=2).train()
    images, _ = batch()
    empty = {"boxes": torch.zeros(0, 4), "labels": torch.zeros(0, dtype=torch.int64)}
    everywhere = {"ignored": torch.tensor([[-1000.0, -1000, 2000, 2000]])}
    torch.manual_seed(0)
    losses = model(images, [empty | everywhere] * len(images))
    assert sum(losses.values()) == 0
    with pytest.raises(ValueError, match=r'targets\[0\]\["ignored"\] must be floating point'):
        model(images, [empty | {"ignored": torch.zeros(3)}] * len(images))


@pytest.mark.parametrize("augmentation", ["ssd", "light", "none"])
def test_a_region_moves_with_the_pixels(augmentation):
    """What is red in the picture is in the region after the augmentation, too, and nothing else is."""
    pixels = np.zeros((60, 80, 3), dtype=np.uint8)
    pixels[10:40, 20:70, 0] = 255
    boxes = tv_tensors.BoundingBoxes(torch.tensor([[40.0, 20, 60, 35]]), format="XYXY", canvas_size=(60, 80))
    target = {"boxes": boxes, "labels": torch.tensor([0]), "ignored": torch.tensor([[20.0, 10, 70, 40]])}
    transform = train_transform(replace(RECIPES["alrp_tiny"], augmentation=augmentation))
    transform.border = (0, 0, 0)
    transform.transforms = [one for one in transform.transforms if not hasattr(one, "hue")]  # colours stay
    for _ in range(20):
        image, moved = transform(Image.fromarray(pixels), target)
        ((x1, y1, x2, y2),) = moved["ignored"].tolist()
        rows, columns = (image.amax(0) > 127).nonzero(as_tuple=True)
        found = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        assert np.allclose(found, [x1, y1, x2, y2], atol=1.5)
