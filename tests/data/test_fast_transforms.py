"""The fast augmentation is the readable one: the same random numbers, boxes and labels, and all but the same pixels."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from torchvision import tv_tensors

from alrp_ref.data import CocoDataset, make_shapes, readable_transform, train_transform
from alrp_ref.data.fast_transforms import Augmentation, move_pixels
from alrp_ref.training.sampling import SeededDataset


@dataclass
class Recipe:
    augmentation: str
    train_size: int = 64


def both(recipe, image, target, seed):
    """The sample of the readable and of the fast transform, and the state that each leaves the generator in."""
    results = []
    for transform in (readable_transform(recipe), train_transform(recipe)):
        torch.manual_seed(seed)
        results.append((*transform(image, dict(target)), torch.get_rng_state()))
    return results


def assert_same_but_for_pixels(readable, fast):
    (_, expected, state), (_, target, fast_state) = readable, fast
    assert target.keys() == expected.keys() and target["image_id"] == expected["image_id"]
    for name in ("boxes", "labels"):
        assert type(target[name]) is torch.Tensor and target[name].dtype == expected[name].dtype
        assert torch.equal(target[name], expected[name])
    assert torch.equal(state, fast_state)


def deviation(readable, fast):
    """Mean difference of the pixels in grey levels."""
    assert fast[0].shape == readable[0].shape and fast[0].dtype == readable[0].dtype == torch.uint8
    return (fast[0].float() - readable[0].float()).abs().mean().item()


def picture(width, height, seed):
    """A few blurred colours, as photographs are for the most part."""
    noise = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    return Image.fromarray(noise).resize((width, height), Image.Resampling.BICUBIC)


@st.composite
def samples(draw):
    """An image of any size, down to one pixel, with up to six boxes inside it, slivers among them."""
    width, height = draw(st.integers(1, 200)), draw(st.integers(1, 200))
    fraction = st.floats(0, 1, width=32)
    corners = draw(st.lists(st.tuples(fraction, fraction, fraction, fraction), max_size=6))
    boxes = torch.tensor(corners, dtype=torch.float32).reshape(-1, 2, 2).sort(1).values
    boxes = (boxes * torch.tensor([width, height])).reshape(-1, 4)
    boxes = tv_tensors.BoundingBoxes(boxes, format="XYXY", canvas_size=(height, width))
    target = {"boxes": boxes, "labels": torch.arange(len(boxes)), "image_id": 1}
    return picture(width, height, draw(st.integers(0, 9))), target


@pytest.mark.parametrize("augmentation", ["ssd", "light", "none"])
@given(sample=samples(), seed=st.integers(0, 2**32), train_size=st.sampled_from([16, 64, 100]))
def test_equal_boxes_and_like_pixels_for_any_image(augmentation, sample, seed, train_size):
    """The same random numbers are drawn; boxes and labels are equal; pixels differ by under two grey levels."""
    readable, fast = both(Recipe(augmentation, train_size), *sample, seed)
    assert_same_but_for_pixels(readable, fast)
    assert deviation(readable, fast) < 2


def deviations(root, split, recipe, images):
    """Of `images` images of a data set, each as in two epochs of training, which must have the same boxes."""
    samples = []
    for make in (readable_transform, train_transform):
        data = SeededDataset(CocoDataset(root, split, make(recipe)), seed=3)
        samples.append([data[epoch, index] for epoch in range(2) for index in range(images)])
    for (_, expected), (_, target) in zip(*samples, strict=True):
        assert torch.equal(target["boxes"], expected["boxes"]) and torch.equal(target["labels"], expected["labels"])
    return [deviation(*pair) for pair in zip(*samples, strict=True)]


@pytest.mark.parametrize("augmentation, size", [("ssd", 128), ("light", 160), ("none", 100)])
def test_shapes_differ_by_less_than_half_a_grey_level(tmp_path, augmentation, size):
    """Boxes of the shapes set are equal, pixels half a grey level apart on average over the images."""
    make_shapes(tmp_path, train_images=20, val_images=1)
    assert np.mean(deviations(tmp_path, "train2017", Recipe(augmentation, size), 20)) < 0.5


@pytest.mark.parametrize("augmentation, size", [("ssd", 512), ("light", 320), ("none", 512)])
def test_photographs_differ_by_less_than_half_a_grey_level(shared, augmentation, size):
    """Boxes of photographs are equal; pixels differ by under .25 grey levels on average, by under 1.5 in each."""
    found = deviations(shared / "coco", "val2017", Recipe(augmentation, size), 30)
    assert np.mean(found) < 0.25 and max(found) < 1.5


@pytest.mark.parametrize("zoom", [1.0, 1.3, 2.0, 3.7])
def test_a_border_put_on_late_is_the_border_of_the_whole_canvas(zoom):
    """To zoom out and resize is to resize the whole canvas, though most of it is never made."""
    image = np.asarray(picture(97, 71, 1))
    left, top = (int(length * (zoom - 1) * 0.3) for length in (97, 71))
    padding = (left, top, int(97 * zoom) - 97 - left, int(71 * zoom) - 71 - top)
    canvas = np.full((71 + padding[1] + padding[3], 97 + padding[0] + padding[2], 3), (9, 8, 7), dtype=np.uint8)
    canvas[top : top + 71, left : left + 97] = image
    expected = move_pixels(Augmentation(), canvas, 120, (9, 8, 7)).astype(float)
    assert np.abs(move_pixels(Augmentation(padding=padding), image, 120, (9, 8, 7)) - expected).mean() < 0.1


def test_the_image_itself_is_left_alone():
    """A transform writes to no pixel of its image and to no box of its target, so that both can be used again."""
    image, boxes = picture(50, 40, 0), torch.tensor([[5.0, 5, 30, 30]])
    pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1)
    boxes = tv_tensors.BoundingBoxes(boxes, format="XYXY", canvas_size=(40, 50))
    before, boxes_before = pixels.clone(), boxes.clone()
    for _ in range(20):
        train_transform(Recipe("ssd"))(pixels, {"boxes": boxes, "labels": torch.zeros(1), "image_id": 1})
    assert torch.equal(pixels, before) and torch.equal(boxes, boxes_before)
