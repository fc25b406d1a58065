"""Find the annotations and images of a data set: in COCO's layout, in those of export tools, or in given files."""

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from alrp_ref.data.annotations.image_folder import ImageFolder
from alrp_ref.machine.files import DataError, read_json

SPLITS = ("train2017", "val2017")

NAMES = {
    "train2017": ("train", "Train", "training"),
    "val2017": ("val", "valid", "Val", "Validation", "validation", "test", "Test"),
}
"""What tools call the two splits."""

ANNOTATIONS = (
    "{}/_annotations.coco.json",  # Roboflow
    "annotations/instances_{}.json",  # CVAT, with subsets
    "annotations/{}.json",
    "annotations/{}_annotations.json",
    "{}.json",  # labelme2coco
    "{}_coco.json",
    "instances_{}.json",
    "{}/annotations.json",
    "{}/labels.json",  # FiftyOne
    "{}/result.json",  # Label Studio
    "{}/coco.json",
)
"""Annotation files of a split, for its name."""

ONE_SET = (
    "annotations/instances_default.json",  # CVAT
    "result.json",  # Label Studio
    "_annotations.coco.json",
    "labels.json",
    "annotations.json",
    "coco.json",
    "dataset.json",  # labelme2coco
    "*_coco.json",  # VIA: via_project_1Jan2026_12h_coco.json
    "annotations/*.json",
)
"""Annotation files of an export that is not divided; it is trained on."""

IMAGES = ("{}", "images/{}", "{}/images", "{}/data", "images", "data", "images/default", ".")
"""Image folders, for the name of a split."""

LOOKED_AT = 50  # names of images that tell whether a folder is theirs


class Split(NamedTuple):
    """The annotation file and the folder of images of one split."""

    annotations: Path
    images: Path


@dataclass(frozen=True)
class Layout:
    """The two splits of a data set; None for one that is not there. `root` is the folder they were found in, if any."""

    root: str = ""
    train: Split | None = None
    val: Split | None = None

    @staticmethod
    def of(data: "str | os.PathLike[str] | Layout") -> "Layout":
        """The layout of a folder: COCO's own, or one of those that tools write.

        Raises: DataError if `data` is not a directory, or nothing in it looks like annotations.
        """
        if isinstance(data, Layout):
            return data
        root = Path(data)
        if not root.is_dir():
            raise DataError(f"not a directory: {root} (expected annotations/, train2017/, val2017/)")
        coco = [Split(root / "annotations" / f"instances_{split}.json", root / split) for split in SPLITS]
        if not any(split.annotations.is_file() for split in coco):
            train, val = (_find(root, split) for split in SPLITS)
            if train is None and val is None:
                train = _find_one_set(root)
            if train is not None or val is not None:
                return Layout(str(root), train, val)
        return Layout(str(root), *(split if split.annotations.is_file() else None for split in coco))

    @property
    def splits(self) -> dict[str, Split]:
        """Those that are there, by COCO's names for them."""
        both = zip(SPLITS, (self.train, self.val), strict=True)
        return {name: split for name, split in both if split is not None}

    def other_annotations(self, name: str) -> list[Path]:
        """The annotation files of the splits that are there beside the one of this name."""
        return [split.annotations for other, split in self.splits.items() if other != name]

    def split(self, name: str) -> Split:
        """A split by COCO's name for it. Raises: DataError if its annotations or its images are not there."""
        split = self.splits.get(name)
        if split is None:
            raise DataError(self._missing(name))
        if not split.annotations.is_file():
            raise DataError(f"{split.annotations} is missing; check its name")
        if not split.images.is_dir():
            raise DataError(f"{split.images} is missing; download and unpack COCO's {name} images there")
        return split

    def _missing(self, name: str) -> str:
        short = name.removesuffix("2017")
        options = f"--{short}-annotations FILE and --{short}-images DIR"
        if not self.root:
            return f"the {short} set is missing: give {options}"
        return (
            f"{Path(self.root, 'annotations', f'instances_{name}.json')} is missing; a COCO folder holds "
            f"annotations/instances_{name}.json and {name}/: check the folder's name, or download and unpack COCO's "
            f"annotations there. What Roboflow, CVAT, Label Studio and others export is found, too; or give {options}"
        )

    def __str__(self) -> str:
        return "\n".join(
            f"{name.removesuffix('2017')}: {split.annotations}, images in {split.images}"
            for name, split in self.splits.items()
        )


def is_cocos(layout: Layout) -> bool:
    """Whether a layout is COCO's own."""
    return all(split.annotations.name == f"instances_{name}.json" for name, split in layout.splits.items())


def _find(root: Path, split: str) -> Split | None:
    for pattern in ANNOTATIONS:
        for name in NAMES[split]:
            path = root / pattern.format(name)
            if path.is_file():
                return Split(path, _images(root, path, name))
    return None


def _find_one_set(root: Path) -> Split | None:
    for pattern in ONE_SET:
        found = sorted(path for path in root.glob(pattern) if not path.name.startswith("."))  # a Mac adds these
        if len(found) > 1:
            names = ", ".join(str(path.relative_to(root)) for path in found)
            raise DataError(f"{root} holds several annotation files ({names}): give one by --train-annotations")
        if found:
            return Split(found[0], _images(root, found[0], "default"))
    return None


def _images(root: Path, annotations: Path, name: str) -> Path:
    """The folder that holds images which the annotations list; the first that is there if none does."""
    folders = [folder for folder in _image_folders(root, annotations, name) if folder.is_dir()]
    try:
        images = read_json(annotations)["images"][:LOOKED_AT]
        names = [image["file_name"] for image in images if isinstance(image["file_name"], str)]
    except (ValueError, KeyError, TypeError):
        names = []  # the reader will say what is wrong with it
    return max(folders, key=lambda folder: sum(_is_there(folder, one) for one in names))


def _is_there(folder: Path, name: str) -> bool:
    with contextlib.suppress(OSError, ValueError):
        return ImageFolder(folder).find(name).is_file()
    return False


def _image_folders(root: Path, annotations: Path, name: str) -> Iterator[Path]:
    for pattern in IMAGES:
        yield root / pattern.format(name)
    yield annotations.parent
