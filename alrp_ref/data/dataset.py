"""COCO on disk: photographs, boxes and contiguous labels, ready for a detector."""

import contextlib
import math
import os
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from pycocotools.coco import COCO
from torchvision import tv_tensors
from torchvision.datasets import VisionDataset

from alrp_ref.data.annotations.format import CROWD, FLAGGED, read_boxes
from alrp_ref.data.annotations.image_folder import ImageFolder
from alrp_ref.data.annotations.layout import SPLITS, Layout
from alrp_ref.data.annotations.normalise import OF_REGION, ImageId, id_order
from alrp_ref.data.annotations.read import not_trained, usable_content
from alrp_ref.images import GREYS
from alrp_ref.machine.files import DataError
from alrp_ref.machine.garbage import without_garbage_collection


class ReadAs(NamedTuple):
    """What a detector asks of the data set that it is evaluated on, and what is known of it already."""

    class_names: Sequence[str] | None = None
    """The classes by label; those of the file are matched with them by name. None: those of the file."""
    grey_range: tuple[int, int] = GREYS
    """Of images of 16 bits, see `alrp_ref.images.to_rgb`."""
    content: dict[str, list] | None = None
    """What `usable_content` returned for the annotation file, if it was read before."""


AS_IT_IS = ReadAs()


class CocoDataset(VisionDataset):
    """One split of a data set in COCO's layout.

    ::

        root/annotations/instances_train2017.json    root/train2017/*.jpg
        root/annotations/instances_val2017.json      root/val2017/*.jpg

    An item is ``(image, target)``: an RGB PIL image, or what ``transform(image, target)`` makes of it, and

    - ``target["boxes"]``: (n, 4) ``tv_tensors.BoundingBoxes``, x1, y1, x2, y2 in pixels, inside the image;
    - ``target["labels"]``: (n,) int64 in 0..C-1, the category ids in increasing order;
    - ``target["image_id"]``: COCO's id, a whole number or a text.

    - ``target["ignored"]``, where there are some: (k, 4) float32, boxes in which nothing is learned: of crowds, of
      objects with a flag such as ``ignore``, and of classes named "ignored regions" and the like.

    Boxes that are not finite or have no area inside the image are dropped. The evaluation reads the annotation file
    itself and treats crowds as COCO defines.

    Args:
        root: folder with ``annotations/`` and the image folders, or in another layout that :class:`Layout` finds, or a
            :class:`Layout`, which names each file.
        split: ``"train2017"`` or ``"val2017"``.
        transform: called as ``transform(image, target)``; see :func:`alrp_ref.data.train_transform`.
        keep_empty: keep images that have no usable box (evaluation needs them, training does not).
        cache: decode all images now and keep them, 3 bytes a pixel. Data workers that are forked share them.
        read_as: the classes and the greys of a detector.

    Attributes:
        ids, files, sizes: of the images: COCO's ids, names, and width and height in pixels, (n, 2).
        boxes, labels: of all images, one image after the other: (m, 4) float32 and (m,) int64; `ignored` boxes.
        ends, ignored_ends: (n,) int64, where those of each image end.
        left_out: images without a box to learn from that are not kept.
        category_ids, class_names: by label; the id is None of a class that the file does not have.
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
        read_as: ReadAs = AS_IT_IS,
    ) -> None:
        if split not in SPLITS:
            raise ValueError(f"split must be one of {', '.join(SPLITS)}; got {split!r}")
        layout = Layout.of(root)
        self.annotation_file, images = layout.split(split)
        self._others = layout.other_annotations(split)
        super().__init__(images, transforms=transform)
        self.folder = ImageFolder(images)
        self.read_as = read_as._replace(content=None)
        content = read_as.content
        if content is None:
            content = usable_content(self.annotation_file, self._others, read_as.class_names or ())
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
        self._name_classes({category["id"]: category["name"] for category in content["categories"]})
        label_of = {category: label for label, category in enumerate(self.category_ids)}

        ids = sorted(images, key=id_order)
        row_of = {image_id: row for row, image_id in enumerate(ids)}
        sizes = np.array([[images[i]["width"], images[i]["height"]] for i in ids], dtype=np.int64).reshape(-1, 2)
        listed = (a for a in content["annotations"] if a["image_id"] in images)
        annotations = [a for a in listed if a.get(OF_REGION) != "copy"]
        rows = np.array([row_of[a["image_id"]] for a in annotations], dtype=np.int64)
        labels = np.array([label_of[a["category_id"]] for a in annotations], dtype=np.int64)
        corners, faults = read_boxes(annotations, sizes[rows])

        order = np.argsort(rows, kind="stable")  # boxes image by image, each image's in the order of the file
        has_area = (corners[:, :2] < corners[:, 2:]).all(axis=1)
        learned, ignored = order[faults[order] == ""], order[(np.isin(faults, (CROWD, FLAGGED)) & has_area)[order]]
        count, ignored_count = (np.bincount(rows[one], minlength=len(ids)) for one in (learned, ignored))
        kept = np.arange(len(ids)) if keep_empty else count.nonzero()[0]
        self.ids: list[ImageId] = [ids[row] for row in kept]
        self.left_out = len(ids) - len(kept)
        self.sizes = sizes[kept]
        self.files = [images[image_id]["file_name"] for image_id in self.ids]
        self.boxes, self.labels = corners[learned], labels[learned]
        self.ends = count[kept].cumsum()  # images that are left out have no boxes
        self.ignored = corners[ignored[np.isin(rows[ignored], kept)]]
        self.ignored_ends = ignored_count[kept].cumsum()
        self._index_of = {image_id: index for index, image_id in enumerate(self.ids)}

    def _name_classes(self, names: dict[ImageId, str]) -> None:
        """Number the classes. Args: `names` of the file's, by id. Raises: DataError for one that is not trained."""
        trained, id_of = self.read_as.class_names, {name: id for id, name in names.items()}
        if trained is None:
            trained = [names[id] for id in sorted(names, key=id_order)]
        for name in id_of:
            if name not in trained:
                raise DataError(f"{self.annotation_file}: the class {not_trained(name, trained)}")
        self.class_names: list[str] = list(trained)
        self.category_ids: list[ImageId | None] = [id_of.get(name) for name in trained]

    @cached_property
    def coco(self) -> COCO:
        """pycocotools' index of the whole annotation file; without `truth` it is read again when first asked for."""
        coco = COCO()
        coco.dataset = self.truth or usable_content(self.annotation_file, self._others, self.read_as.class_names or ())
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
        own = _part(self.ends, index)
        width, height = self.sizes[index].tolist()
        boxes = torch.from_numpy(self.boxes[own].copy())
        ignored = self.ignored[_part(self.ignored_ends, index)]
        return {
            "boxes": tv_tensors.BoundingBoxes(boxes, format="XYXY", canvas_size=(height, width)),
            "labels": torch.from_numpy(self.labels[own].copy()),
            "image_id": image_id,
            **({"ignored": torch.from_numpy(ignored.copy())} if len(ignored) else {}),
        }

    def read_image(self, image_id: ImageId) -> Image.Image:
        """Read the RGB image with COCO's id `image_id`. Raises: DataError when it is missing or broken."""
        if image_id in self._cached:
            return Image.fromarray(self._cached[image_id])
        index = self._index_of[image_id]
        size, greys = self.sizes[index].tolist(), self.read_as.grey_range
        return self.folder.read(self.files[index], size, image_id, self.annotation_file, greys)


def _part(ends: np.ndarray, index: int) -> slice:
    """Where the entries of an image are, by where those of each image end."""
    return slice(ends[index - 1] if index else 0, ends[index])


def _refuse_large(size: int) -> None:
    """Raise ValueError if decoded images of `size` bytes leave less than half of the memory to all else."""
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else math.inf
    if size > memory / 2:
        raise ValueError(
            f"the decoded images take {size / 1e9:.1f} GB, and only half of this computer's {memory / 1e9:.1f} GB "
            "may be theirs: train without a cache"
        )
