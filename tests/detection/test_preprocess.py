"""From raw images to a detector's input."""

from pathlib import Path

import pytest
import torch
from PIL import Image
from torch.testing import assert_close

from alrp_ref.detection.preprocess import keep_ratio_size, to_input
from alrp_ref.images import IMAGE_MEAN, IMAGE_STD


@pytest.mark.parametrize(
    "raw, resized",
    [((480, 640), (500, 667)), ((640, 480), (667, 500)), ((100, 400), (208, 833)), ((500, 833), (500, 833))],
)
def test_short_side_or_longest_side_reaches_its_limit(raw: tuple[int, int], resized: tuple[int, int]):
    """The ratio stays; the short side becomes 500 unless the long side would exceed 833."""
    assert keep_ratio_size(*raw, (500, 833)) == resized


def test_input_is_normalised_and_padded():
    """A grey image becomes (grey - mean) / std inside its size, and zero in the padding to a multiple of 32."""
    image, size, scale = to_input(torch.full((3, 50, 100), 51, dtype=torch.uint8), (40, 80))
    assert size == (40, 80)
    assert scale == (0.8, 0.8)
    assert image.shape == (3, 64, 96)
    expected = (0.2 - torch.tensor(IMAGE_MEAN)) / torch.tensor(IMAGE_STD)
    assert_close(image[:, :40, :80], expected[:, None, None].expand(3, 40, 80))
    assert image[:, 40:].abs().sum() == image[:, :, 80:].abs().sum() == 0


def test_all_kinds_of_raw_image_agree(tmp_path: Path):
    """A PIL image, its file and its uint8 tensor give one and the same input; a grey image counts as RGB."""
    pixels = torch.randint(0, 256, (40, 60), dtype=torch.uint8)
    picture = Image.fromarray(pixels.numpy())
    picture.save(tmp_path / "grey.png")
    from_tensor = to_input(pixels.expand(3, 40, 60), (64, 64))[0]
    assert_close(to_input(picture, (64, 64))[0], from_tensor)
    assert_close(to_input(tmp_path / "grey.png", (64, 64))[0], from_tensor)
    assert_close(to_input(str(tmp_path / "grey.png"), (64, 64))[0], from_tensor)


def test_missing_and_broken_files_are_named(tmp_path: Path):
    """A path without an image, or with something else, is named in the error."""
    with pytest.raises(FileNotFoundError, match=r"nowhere\.jpg"):
        to_input(tmp_path / "nowhere.jpg", (64, 64))
    (tmp_path / "broken.jpg").write_bytes(b"not an image")
    with pytest.raises(ValueError, match=r"broken\.jpg cannot be decoded"):
        to_input(tmp_path / "broken.jpg", (64, 64))


@pytest.mark.parametrize("image", [torch.zeros(3, 8, 8), torch.zeros(8, 8, 3, dtype=torch.uint8), 7])
def test_what_is_no_image_is_refused(image):
    """A float tensor, a tensor with channels last and a number are refused, with what they are."""
    with pytest.raises(ValueError, match=r"an image.* must be .*, got"):
        to_input(image, (64, 64))
