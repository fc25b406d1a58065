"""COCO on disk: photographs, boxes and contiguous labels, ready for a detector."""

import contextlib
import math
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torchvision import tv_tensors
from torchvision.datasets import CocoDetection

from alrp_ref.coco.errors import DataError

SPLITS = ("train2017", "val2017")


class CocoDataset(CocoDetection):
    """One split of a data set in COCO's layout.

    ::

        root/annotations/instances_train2017.json    root/train2017/*.jpg
        root/annotations/instances_val2017.json      root/val2017/*.jpg

    An item is ``(image, target)``: an RGB PIL image, or what ``transform(image, target)`` makes of it, and

    - ``target["boxes"]``: (n, 4) ``tv_tensors.BoundingBoxes``, x1, y1, x2, y2 in pixels, inside the image;
    - ``target["labels"]``: (n,) int64 in 0..C-1, the category ids in increasing order;
    - ``target["image_id"]``: int, COCO's id.

    Crowd boxes are dropped, since one box around many objects is no target for a detector; so are boxes
    that are not finite or have no area inside the image. The evaluation reads the annotation file itself
    and treats crowds as COCO defines.

    Args:
        root: folder with ``annotations/`` and the image folders.
        split: ``"train2017"`` or ``"val2017"``.
        transform: called as ``transform(image, target)``; see :func:`alrp_ref.coco.train_transform`.
        keep_empty: keep images that have no usable box (evaluation needs them, training does not).

    Raises:
        ValueError: an unknown split.
        DataError: a missing or broken annotation file, or, when an item is read, a missing or broken image.
    """

    def __init__(
        self,
        root: str | os.PathLike[str],
        split: str,
        transform: Callable[[Image.Image, dict], Any] | None = None,
        keep_empty: bool = False,
    ) -> None:
        if split not in SPLITS:
            raise ValueError(f"split must be one of {', '.join(SPLITS)}; got {split!r}")
        self.annotation_file = _annotation_file(Path(root), split)
        with _readable_coco(self.annotation_file):
            super().__init__(Path(root) / split, str(self.annotation_file), transforms=transform)
            for key in ("images", "annotations", "categories"):
                self.coco.dataset[key]  # pycocotools itself goes on without
            self.category_ids: list[int] = sorted(self.coco.cats)
            self.class_names: list[str] = [self.coco.cats[c]["name"] for c in self.category_ids]
            self._label_of = {category: label for label, category in enumerate(self.category_ids)}
            # Look at every annotation, also of images that are kept anyway: a broken one is noticed now.
            used = [i for i in self.ids if list(self._usable(i))]
        self.ids = self.ids if keep_empty else used
        if not self.ids:
            raise DataError(f"{self.annotation_file} has no image with a usable box; check its annotations")

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        return super().__getitem__(int(index))

    def _usable(self, image_id: int) -> Iterator[tuple[list[float], int]]:
        """Yield (x1, y1, x2, y2) inside the image and the label of each box a detector can learn from."""
        _, width, height = (self.coco.imgs[image_id][key] for key in ("file_name", "width", "height"))
        for annotation in self.coco.imgToAnns[image_id]:
            x, y, w, h = annotation["bbox"]
            label = self._label_of[annotation["category_id"]]
            if annotation.get("iscrowd", 0) or not all(map(math.isfinite, (x, y, w, h))):
                continue
            x1, y1, x2, y2 = max(x, 0.0), max(y, 0.0), min(x + w, width), min(y + h, height)
            if x1 < x2 and y1 < y2:
                yield [x1, y1, x2, y2], label

    def _load_target(self, id: int) -> dict[str, Any]:  # the argument's name is torchvision's
        usable = list(self._usable(id))
        info = self.coco.imgs[id]
        boxes = torch.tensor([box for box, _ in usable], dtype=torch.float32).reshape(-1, 4)
        return {
            "boxes": tv_tensors.BoundingBoxes(boxes, format="XYXY", canvas_size=(info["height"], info["width"])),
            "labels": torch.tensor([label for _, label in usable], dtype=torch.int64),
            "image_id": id,
        }

    def _load_image(self, id: int) -> Image.Image:
        return self.read_image(id)

    def read_image(self, image_id: int) -> Image.Image:
        """Read the RGB image with COCO's id `image_id`. Raises: DataError when it is missing or broken."""
        info = self.coco.imgs[image_id]
        path, size = Path(self.root) / info["file_name"], (info["width"], info["height"])
        try:
            with Image.open(path) as file:  # torchvision leaves the file open when decoding fails
                image = file.convert("RGB")
        except FileNotFoundError:
            raise DataError(
                f"{path} is missing, but {self.annotation_file} lists it (image id {image_id}); "
                "download the image again, or remove it from the annotations"
            ) from None
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:  # all are PIL's
            raise DataError(
                f"{path} (image id {image_id}) cannot be decoded: {error}; download the image again"
            ) from error
        if image.size != size:
            raise DataError(
                f"{path} (image id {image_id}) is {image.size} pixels (width, height), but "
                f"{self.annotation_file} says {size}, so its boxes would be misplaced; "
                "restore the original image"
            )
        return image


def _annotation_file(root: Path, split: str) -> Path:
    if not root.is_dir():
        raise DataError(f"{root} is no folder; give the one that holds COCO's annotations/ and {split}/")
    path = root / "annotations" / f"instances_{split}.json"
    if not path.is_file():
        raise DataError(
            f"{path} is missing; a COCO folder holds annotations/instances_{split}.json and {split}/: "
            "check the folder's name, or download and unpack COCO's annotations there"
        )
    if not (root / split).is_dir():
        raise DataError(f"{root / split} is missing; download and unpack COCO's {split} images there")
    return path


@contextlib.contextmanager
def _readable_coco(path: Path) -> Iterator[None]:
    """Silence pycocotools, which prints its progress, and name the file when it is not what it should be."""
    try:
        with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
            yield
    except (ValueError, AssertionError, AttributeError, KeyError, TypeError) as error:
        # ValueError: not JSON; the others: JSON of another shape.
        raise DataError(
            f"{path} is not a COCO annotation file ({type(error).__name__}: {error}); it must be JSON with "
            "images (id, file_name, width, height), annotations (image_id, category_id, bbox) "
            "and categories (id, name)"
        ) from error
