"""Training augmentation, built from torchvision.transforms.v2, as one reads it.

Training runs `fast_transforms`, which draws its random numbers by these, and which these judge.
"""

from typing import Any, Protocol

import torch
from torchvision.ops import box_iou
from torchvision.transforms import v2

from alrp_ref.images import IMAGE_MEAN

# A zoomed-out picture is framed in ImageNet's mean colour, which normalisation then turns into (almost) zero.
MEAN_COLOUR = tuple(round(255 * mean) for mean in IMAGE_MEAN)
ZOOM_OUT = 4.0  # times the sides, at most


class Augmented(Protocol):
    """What is read of a :class:`~alrp_ref.detection.Recipe`, so that this folder knows no detector."""

    @property
    def augmentation(self) -> str: ...

    @property
    def train_size(self) -> int: ...


class RandomIoUCrop(v2.RandomIoUCrop):
    """A part of the image that has at least a drawn IoU with every box, and holds the centre of one.

    torchvision's asks for that IoU with one box. The release asks for it with every box, so that crops of images with
    many boxes are rare there: on a sample of COCO it keeps 83 % of the boxes, and torchvision's keeps 73 %. An image so
    thin that a side of its crop may have no pixel is left alone, and so is one without boxes.
    """

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        height, width = v2.query_size(flat_inputs)
        boxes = v2.get_bounding_boxes(flat_inputs).as_subclass(torch.Tensor)  # (n, 4): x1, y1, x2, y2 in pixels
        if min(height, width) * self.min_scale < 1 or not len(boxes):
            return {}
        centres = 0.5 * (boxes[:, :2] + boxes[:, 2:])
        while True:
            least_iou = self.options[int(torch.randint(len(self.options), (1,)))]
            if least_iou >= 1:
                return {}
            for _ in range(self.trials):
                scale = self.min_scale + (self.max_scale - self.min_scale) * torch.rand(2)
                w, h = int(width * scale[0]), int(height * scale[1])
                if not self.min_aspect_ratio <= w / h <= self.max_aspect_ratio:
                    continue
                place = torch.rand(2)
                left, top = int((width - w) * place[0]), int((height - h) * place[1])
                crop = boxes.new_tensor([[left, top, left + w, top + h]])
                held = ((crop[:, :2] < centres) & (centres < crop[:, 2:])).all(1)
                if held.any() and box_iou(boxes, crop).min() >= least_iou:
                    return {"top": top, "left": left, "height": h, "width": w, "is_within_crop_area": held}


def _ssd() -> list[v2.Transform]:
    """The augmentation of SSD, which the paper trains with.

    The crop is asked for an IoU of at least .1, .3, .5, .7 or .9 with every box, for nothing at all (0), or
    is left out (1); its sides are at least .3 of the image's. Colours come first, as in the paper, so that
    the frame keeps its colour, and on the PIL image, where that is 1.7 times as fast as on a tensor.
    """
    return [
        v2.RandomPhotometricDistort(),
        v2.RandomZoomOut(fill=MEAN_COLOUR, side_range=(1.0, ZOOM_OUT), p=0.5),
        RandomIoUCrop(min_scale=0.3, sampler_options=[0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 1.0], trials=50),
    ]


def _light() -> list[v2.Transform]:
    """A mild version, for small data sets and short runs: most of the picture stays in sight."""
    return [
        v2.ColorJitter(brightness=0.2, contrast=0.2, saturation=0.2),
        v2.RandomZoomOut(fill=MEAN_COLOUR, side_range=(1.0, 1.5), p=0.5),
        RandomIoUCrop(min_scale=0.6, sampler_options=[0.0, 1.0]),
    ]


AUGMENTATIONS = {"ssd": _ssd, "light": _light, "none": list}


def readable_transform(recipe: Augmented) -> v2.Transform:
    """What :func:`train_transform` computes, one thing after the other, in two to five times the time.

    It is the judge of the fast one: no training runs it, and the tests compare the two, draw by draw. Arguments,
    result and errors are the same, but for ``target["ignored"]``, which it does not move.
    """
    *augmentation, flip = random_transforms(recipe)
    return v2.Compose(
        [
            v2.ToPILImage(),
            *augmentation,
            v2.ToImage(),
            v2.Resize((recipe.train_size, recipe.train_size)),
            flip,
            v2.ClampBoundingBoxes(),
            v2.SanitizeBoundingBoxes(),
            v2.ToPureTensor(),  # from here on a box is a plain tensor: no subclass overhead in the loss
        ]
    )


def random_transforms(recipe: Augmented) -> list[v2.Transform]:
    """The random transforms of a recipe, in the order of their draws; the flip is the last."""
    flip = v2.Identity() if recipe.augmentation == "none" else v2.RandomHorizontalFlip(0.5)
    return [*AUGMENTATIONS[recipe.augmentation](), flip]


def collate(batch: list[tuple[torch.Tensor, dict[str, Any]]]) -> tuple[torch.Tensor, list[dict[str, Any]]]:
    """Stack images to (B, 3, S, S), channels last in memory; targets stay a list: each has its own number of boxes."""
    images, targets = zip(*batch, strict=True)
    # Images come with channels last, and convolutions want them so: no byte changes its place on the way.
    return torch.stack([image.permute(1, 2, 0) for image in images]).permute(0, 3, 1, 2), list(targets)
