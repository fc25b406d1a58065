"""A generated data set on disk, in COCO's layout: what one can train on without any download."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
from PIL import Image

from alrp_ref.data.annotations.layout import SPLITS
from alrp_ref.data.draw_shapes import MAX_OBJECTS, SHAPES, draw
from alrp_ref.machine.files import DataError, partial_path, write_atomic

MARK = "shapes.json"  # holds the parameters; a folder with this file is ours to replace
CATEGORY_IDS = {name: number for number, name in enumerate(SHAPES, 1)}


def make_shapes(
    root: str | os.PathLike[str], train_images: int, val_images: int, size: int = 160, seed: int = 0
) -> Path:
    """Write pictures of 1 to 8 coloured shapes on clutter, with tight boxes round what is visible of them.

    The same arguments give the same annotation files, byte for byte, and the same pixels. A set that is
    already there is kept; one made with other arguments is replaced.

    Args:
        root: folder to write to: ``annotations/``, ``train2017/``, ``val2017/``.
        train_images, val_images: number of pictures in each split, at least 1.
        size: side of the square pictures in pixels, at least 64.
        seed: of the random numbers; each picture has its own, so asking for more changes none of the first.

    Returns: `root` as a path.
    Raises:
        ValueError: a number that is too small.
        DataError: `root` holds something that is not a shapes set.
    """
    for name, value, least in (
        ("train_images", train_images, 1),
        ("val_images", val_images, 1),
        ("size", size, 64),
        ("seed", seed, 0),
    ):
        if value < least:
            raise ValueError(f"{name} must be at least {least}, got {value}")
    root = Path(root)
    parameters = {"train_images": train_images, "val_images": val_images, "size": size, "seed": seed}
    if _is_complete(root, parameters):
        return root
    _clear(root)
    root.mkdir(parents=True, exist_ok=True)
    write_atomic(root / MARK, _as_json(parameters))  # first, so that what a killed process leaves is known for ours
    (root / "annotations").mkdir()
    for number, (split, count) in enumerate(zip(SPLITS, (train_images, val_images), strict=True)):
        _write_split(root, split, count, size, (seed, number))
    return root


def _write_split(root: Path, split: str, count: int, size: int, seed: tuple[int, int]) -> None:
    (root / split).mkdir()
    images, annotations = [], []
    for image_id in range(1, count + 1):
        picture, objects = draw(np.random.default_rng((*seed, image_id)), size)
        file_name = f"{image_id:012d}.png"
        Image.fromarray(picture).save(root / split / file_name, compress_level=1)
        images.append({"id": image_id, "file_name": file_name, "width": size, "height": size})
        for name, box, area in objects:
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image_id,
                    "category_id": CATEGORY_IDS[name],
                    "bbox": list(box),
                    "area": area,
                    "iscrowd": 0,
                }
            )
    # The annotations come last: a run that was stopped half way leaves a set that is seen to be incomplete.
    content = {
        "info": {"description": f"Generated shapes, 1 to {MAX_OBJECTS} in a picture"},
        "images": images,
        "annotations": annotations,
        "categories": [{"id": number, "name": name} for name, number in CATEGORY_IDS.items()],
    }
    write_atomic(root / "annotations" / f"instances_{split}.json", _as_json(content))


def _is_complete(root: Path, parameters: dict[str, int]) -> bool:
    mark = root / MARK
    return (
        mark.is_file()
        and mark.read_text(encoding="utf-8") == _as_json(parameters)
        and all((root / "annotations" / f"instances_{split}.json").is_file() for split in SPLITS)
    )


def _clear(root: Path) -> None:
    """Make room, but never by deleting what someone else put there."""
    if root.exists() and not root.is_dir():
        raise DataError(f"{root} is a file; give the name of a new folder for the shapes")
    is_ours = any(mark.is_file() for mark in (root / MARK, partial_path(root / MARK)))
    if root.is_dir() and any(root.iterdir()) and not is_ours:
        raise DataError(
            f"{root} is not empty and is not a shapes set (it has no {MARK}), so it is left alone; "
            "give the name of a new or empty folder"
        )
    for name in ("annotations", *SPLITS):
        shutil.rmtree(root / name, ignore_errors=True)


def _as_json(content: dict) -> str:
    return json.dumps(content, separators=(",", ":")) + "\n"
