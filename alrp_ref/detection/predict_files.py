"""`alrp predict`: pictures in, drawings and detections out. It overwrites nothing but what it wrote itself."""

import glob
import io
import json
import os
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from PIL import Image, PngImagePlugin

from alrp_ref.detection.detector import Detector
from alrp_ref.detection.draw_boxes import draw_boxes
from alrp_ref.detection.postprocess import coco_rows
from alrp_ref.images import FILMS, HEIF, read_image
from alrp_ref.machine.files import DataError, read_json, refuse_input, write_atomic

OURS = ("Software", "alrp predict")
"""The text that marks a drawing in its file."""


def find_pictures(named: Iterable[str | os.PathLike]) -> list[Path]:
    """The picture files that are meant: files, folders (what is in them, by name), patterns with `*`, `?`, `[]`.

    Raises: DataError for a name that stands for no picture.
    """
    pictures: list[Path] = []
    for name in map(str, named):
        path = Path(name)
        found = [path] if path.exists() else [Path(one) for one in sorted(glob.glob(name, recursive=True))]
        if not found:
            raise DataError(f"no image at {name}: give picture files, folders of them, or a pattern in quotes")
        for one in found:
            inside = _pictures_in(one) if one.is_dir() else [one]
            if one.is_dir() and not inside and one == path:
                films = [film.name for film in sorted(one.iterdir()) if film.suffix.lower() in FILMS]
                cut = f"; cut {films[0]} into pictures, as by `ffmpeg -i {films[0]} %06d.png`" if films else ""
                raise DataError(f"{one} holds no picture file that PIL can read{cut}")
            pictures += inside
    return list(dict.fromkeys(pictures))  # each once


def _pictures_in(folder: Path) -> list[Path]:
    """Those of its files that PIL reads by their suffix, or would; not the hidden ones, which a Mac adds."""
    known = {suffix for suffix, kind in Image.registered_extensions().items() if kind in Image.OPEN} | set(HEIF)
    named = (path for path in folder.iterdir() if not path.name.startswith("."))
    return sorted(path for path in named if path.suffix.lower() in known and path.is_file())


def drawings(pictures: Sequence[Path], out: Path) -> list[Path]:
    """The file that each picture is drawn in: its name with .png, after its own suffix if two would be the same.

    Raises: ValueError if two would be the same nevertheless, or if a file is there that `alrp predict` did not write.
    """
    stems = Counter(path.stem.casefold() for path in pictures)
    targets = [out / f"{path.stem if stems[path.stem.casefold()] == 1 else path.name}.png" for path in pictures]
    times = Counter(str(target).casefold() for target in targets)
    if again := next((target for target in targets if times[str(target).casefold()] > 1), None):
        raise ValueError(f"two of the pictures would be drawn in {again}: give each its own --out")
    for target in targets:
        refuse_input(target, pictures)
        if os.path.lexists(target) and not _is_ours(target):
            raise ValueError(f"{target} is there, and `alrp predict` did not write it: give another folder by --out")
    return targets


def _is_ours(path: Path) -> bool:
    try:
        with Image.open(path) as image:
            return image.info.get(OURS[0]) == OURS[1]
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return False


def check_json(path: Path, inputs: Iterable[Path]) -> None:
    """Raise ValueError if a file for detections is there already and holds something else."""
    refuse_input(path, inputs)
    if os.path.lexists(path) and not _is_detections(path):
        raise ValueError(f"{path} exists, and is not a list of detections: give --json another name")


def _is_detections(path: Path) -> bool:
    try:
        rows = read_json(path)
    except (OSError, ValueError):
        return False
    keys = {"image_id", "category_id", "bbox", "score"}
    return isinstance(rows, list) and all(isinstance(row, dict) and row.keys() >= keys for row in rows)


def predict_files(
    model: Detector,
    category_ids: Sequence[Any],
    pictures: Sequence[Path],
    targets: Sequence[Path],
    *,
    threshold: float,
    json_file: Path | None = None,
    ids: Sequence[int | str] | None = None,
    log: Callable[[str], None] = print,
) -> list[str]:
    """Draw what the detector finds on each picture, turned upright; boxes are in the pixels that one sees.

    With `json_file`, all detections are written there in COCO's format: `image_id` is that of `ids`, one for each
    picture, or without them the name of the file, which is no number even if it looks like one; `file_name` is added.

    Returns: the faults of pictures that cannot be read; the others are drawn all the same.
    """
    rows, faults = [], []
    ids = [path.name for path in pictures] if ids is None else ids
    for path, target, image_id in zip(pictures, targets, ids, strict=True):
        try:
            image = read_image(path, upright=True, grey_range=model.recipe.grey_range)
        except (ValueError, OSError) as error:
            faults.append(str(error))
            log(str(error))
            continue
        (found,) = model.predict([image], score_threshold=threshold)
        write_atomic(target, _png(draw_boxes(image, found, model.class_names)))
        log(f"{path}: {len(found['labels'])} found, drawn in {target}")
        for box, score, label in zip(*(found[k].tolist() for k in ("boxes", "scores", "labels")), strict=True):
            log(f"  {model.class_names[label]:<16} {score:.2f}   " + "  ".join(f"{side:6.1f}" for side in box))
        rows += [{"file_name": path.name} | row for row in coco_rows(found, image_id, category_ids)]
    if json_file is not None:
        write_atomic(json_file, json.dumps(rows))
        log(f"{len(rows)} detections in COCO's format: {json_file}")
    return faults


def _png(image: Image.Image) -> bytes:
    buffer, mark = io.BytesIO(), PngImagePlugin.PngInfo()
    mark.add_text(*OURS)
    image.save(buffer, format="PNG", pnginfo=mark)
    return buffer.getvalue()
