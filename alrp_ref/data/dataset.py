"""COCO on disk: photographs, boxes and contiguous labels, ready for a detector."""

import contextlib
import math
import os
from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np
import torch
from PIL import Image
from pycocotools.coco import COCO
from torchvision import tv_tensors
from torchvision.datasets import VisionDataset

from alrp_ref.data.annotations.format import read_boxes
from alrp_ref.data.annotations.image_folder import ImageFolder
from alrp_ref.data.annotations.layout import SPLITS, Layout
from alrp_ref.data.annotations.normalise import ImageId, id_order
from alrp_ref.data.annotations.read import usable_content
from alrp_ref.machine.files import DataError
from alrp_ref.machine.garbage import without_garbage_collection


class CocoDataset(VisionDataset):
    """One split of a data set in COCO's layout.

    ::

        root/annotations/instances_train2017.json    root/train2017/*.jpg
        root/annotations/instances_val2017.json      root/val2017/*.jpg

    An item is ``(image, target)``: an RGB PIL image, or what ``transform(image, target)`` makes of it, and

    - ``target["boxes"]``: (n, 4) ``tv_tensors.BoundingBoxes``, x1, y1, x2, y2 in pixels, inside the image;
    - ``target["labels"]``: (n,) int64 in 0..C-1, the category ids in increasing order;
    - ``target["image_id"]``: COCO's id, a whole number or a text.

    Crowd boxes are dropped, since one box around many objects is not a target for a detector; so are boxes
    that are not finite or have no area inside the image. The evaluation reads the annotation file itself
    and treats crowds as COCO defines.

    Args:
        root: folder with ``annotations/`` and the image folders, or in another layout that :class:`Layout` finds, or a
            :class:`Layout`, which names each file.
        split: ``"train2017"`` or ``"val2017"``.
        transform: called as ``transform(image, target)``; see :func:`alrp_ref.data.train_transform`.
        keep_empty: keep images that have no usable box (evaluation needs them, training does not).
        cache: decode all images now and keep them, 3 bytes a pixel. Data workers that are forked share them.
        content: what `usable_content` returned for the annotation file, if it was read before.

    Attributes:
        ids, files, sizes: of the images: COCO's ids, names, and width and height in pixels, (n, 2).
        boxes, labels: of all images, one image after the other: (m, 4) float32 and (m,) int64.
        ends: (n,) int64, where the boxes of each image end.
        category_ids, class_names: by label.
        truth: what the annotation file held, for those who evaluate again and again; None: they read the file.

    Raises:
        ValueError: an unknown split; a cache that would take more than half of the computer's memory.
        DataError: a missing or broken annotation file, or, when an item is read, a missing or broken image.
            :func:`alrp_ref.data.check_data` finds all of them at once.
    """

    def __init__(
        self,
        root: str | os.PathLike[str] | Layout,
        split: str,
        transform: Callable[[Image.Image, dict], Any] | None = None,
        keep_empty: bool = False,
        cache: bool = False,
        content: dict[str, list] | None = None,
    ) -> None:
        if split not in SPLITS:
            raise ValueError(f"split must be one of {', '.join(SPLITS)}; got {split!r}")
        layout = Layout.of(root)
        self.annotation_file, images = layout.split(split)
        self._others = layout.other_annotations(split)
        super().__init__(images, transforms=transform)
        self.folder = ImageFolder(images)
        if content is None:
            content = usable_content(self.annotation_file, self._others)
        self._read(content, keep_empty)
        self.truth: dict[str, list] | None = None
        if not self.ids:
            raise DataError(f"{self.annotation_file} has no image with a usable box; check its annotations")
        self._cached: dict[ImageId, np.ndarray] = {}
        if cache:
            _refuse_large(3 * int(self.sizes.prod(axis=1).sum()))
            self._cached = {i: np.asarray(self.read_image(i)) for i in self.ids}

    @without_garbage_collection()
    def _read(self, content: dict[str, list], keep_empty: bool) -> None:
        """Keep what training needs, in arrays: a data worker that looks at an object of Python copies its memory."""
        images = {image["id"]: image for image in content["images"]}
        names = {category["id"]: category["name"] for category in content["categories"]}
        self.category_ids: list[ImageId] = sorted(names, key=id_order)
        self.class_names: list[str] = [names[category] for category in self.category_ids]
        label_of = {category: label for label, category in enumerate(self.category_ids)}

        ids = sorted(images, key=id_order)
        row_of = {image_id: row for row, image_id in enumerate(ids)}
        sizes = np.array([[images[i]["width"], images[i]["height"]] for i in ids], dtype=np.int64).reshape(-1, 2)
        annotations = [a for a in content["annotations"] if a["image_id"] in images]
        rows = np.array([row_of[a["image_id"]] for a in annotations], dtype=np.int64)
        labels = np.array([label_of[a["category_id"]] for a in annotations], dtype=np.int64)
        corners, faults = read_boxes(annotations, sizes[rows])

        order = np.argsort(rows, kind="stable")  # boxes image by image, each image's in the order of the file
        order = order[faults[order] == ""]
        count = np.bincount(rows[order], minlength=len(ids))
        kept = np.arange(len(ids)) if keep_empty else count.nonzero()[0]
        self.ids: list[ImageId] = [ids[row] for row in kept]
        self.sizes = sizes[kept]
        self.files = [images[image_id]["file_name"] for image_id in self.ids]
        self.boxes, self.labels = corners[order], labels[order]
        self.ends = count[kept].cumsum()  # images that are left out have no boxes
        self._index_of = {image_id: index for index, image_id in enumerate(self.ids)}

    @cached_property
    def coco(self) -> COCO:
        """pycocotools' index of the whole annotation file; without `truth` it is read again when first asked for."""
        coco = COCO()
        coco.dataset = self.truth or usable_content(self.annotation_file, self._others)
        with contextlib.redirect_stdout(None):
            coco.createIndex()
        return coco

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        image_id = self.ids[int(index)]
        image, target = self.read_image(image_id), self.target(image_id)
        return (image, target) if self.transforms is None else self.transforms(image, target)

    def target(self, image_id: ImageId) -> dict[str, Any]:
        """The target, as in an item without transform, of the image with COCO's id `image_id`."""
        index = self._index_of[image_id]
        own = slice(self.ends[index - 1] if index else 0, self.ends[index])
        width, height = self.sizes[index].tolist()
        boxes = torch.from_numpy(self.boxes[own].copy())
        return {
            "boxes": tv_tensors.BoundingBoxes(boxes, format="XYXY", canvas_size=(height, width)),
            "labels": torch.from_numpy(self.labels[own].copy()),
            "image_id": image_id,
        }

    def read_image(self, image_id: ImageId) -> Image.Image:
        """Read the RGB image with COCO's id `image_id`. Raises: DataError when it is missing or broken."""
        if image_id in self._cached:
            return Image.fromarray(self._cached[image_id])
        index = self._index_of[image_id]
        return self.folder.read(self.files[index], self.sizes[index].tolist(), image_id, self.annotation_file)


def _refuse_large(size: int) -> None:
    """Raise ValueError if decoded images of `size` bytes leave less than half of the memory to all else."""
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else math.inf
    if size > memory / 2:
        raise ValueError(
            f"the decoded images take {size / 1e9:.1f} GB, and only half of this computer's {memory / 1e9:.1f} GB "
            "may be theirs: train without a cache"
        )
