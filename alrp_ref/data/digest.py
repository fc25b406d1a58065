"""What a run reads of its data, in a few short texts: equal as long as the data are the same."""

import hashlib
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from alrp_ref.data.annotations.format import is_finite
from alrp_ref.data.annotations.layout import Layout
from alrp_ref.data.annotations.read import content_of
from alrp_ref.data.dataset import CocoDataset, ReadAs
from alrp_ref.machine.garbage import without_garbage_collection

THREADS = 16
"""That ask for the size of a picture's file at a time: a network disk takes a millisecond for each answer."""


def digest(data: CocoDataset, content: dict[str, list] | None = None) -> dict[str, str]:
    """A text for each part of a data set, by its name: how many there are, and a hash of what is read.

    Another formatting of the JSON file, another order in it, and fields that are not read change nothing. Of the
    pictures the sizes of the files in bytes count, not their pixels.

    Args: `content`, of the annotation file, where it is evaluated on: then areas and crowds count, too.
    """
    rows, ignored_rows = (
        np.arange(len(data.ids)).repeat(np.diff(e, prepend=0)) for e in (data.ends, data.ignored_ends)
    )
    order = np.lexsort((data.labels, *data.boxes.T[::-1], rows))
    ignored = np.lexsort((*data.ignored.T[::-1], ignored_rows))
    parts = {
        "classes": (len(data.class_names), data.class_names),
        "images": (len(data.ids), zip(data.ids, data.files, data.sizes.tolist(), strict=True)),
        "boxes": (len(rows), (rows[order].tobytes(), data.boxes[order].tobytes())),
        "classes of the boxes": (len(rows), (data.labels[order].tobytes(),)),
        "regions to ignore": (len(ignored), (ignored_rows[ignored].tobytes(), data.ignored[ignored].tobytes())),
        "pictures": (len(data.files), _file_sizes(data)),
    }
    if content is not None:
        parts["ground truth"] = len(content["annotations"]), sorted(_ground_truth(content))
    return {name: f"{number:,} ({_hash(values)})" for name, (number, values) in parts.items()}


def digest_of(coco: str | Path | Layout, split: str) -> dict[str, str]:
    """The digest of a split that is evaluated on. It is kept until the annotation file is another."""
    layout = Layout.of(coco)
    about = layout.split(split).annotations.stat()
    return _digest_of(layout, split, about.st_mtime_ns, about.st_size)


@lru_cache(maxsize=8)
@without_garbage_collection()
def _digest_of(layout: Layout, split: str, *_about_the_file: int) -> dict[str, str]:
    content = content_of(layout, split)
    return digest(CocoDataset(layout, split, keep_empty=True, read_as=ReadAs(content=content)), content)


def _file_sizes(data: CocoDataset) -> list[int]:
    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(partial(_file_size, data), data.files))


def _file_size(data: CocoDataset, name: str) -> int:
    """In bytes; -1 for a picture that is not there, which reading it will say."""
    try:
        return data.folder.find(name).stat().st_size
    except (OSError, ValueError):
        return -1


def _ground_truth(content: dict[str, list]) -> Iterable[tuple[Any, ...]]:
    """What an evaluation reads of each annotation, in a form that can be sorted."""
    names = {category["id"]: category["name"] for category in content["categories"]}
    for a in content["annotations"]:
        numbers = [*a["bbox"], *([a["area"]] if "area" in a else []), a.get("iscrowd", 0)]
        yield str(a["image_id"]), names[a["category_id"]], str([float(x) if is_finite(x) else x for x in numbers])


def _hash(values: Iterable[Any]) -> str:
    found = hashlib.sha256()
    for value in values:
        found.update(value if isinstance(value, bytes) else repr(value).encode("utf-8", "backslashreplace"))
    return found.hexdigest()[:12]
