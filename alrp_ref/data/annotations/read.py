"""Read an annotation file: its content in one form, or an error that names what stops a run."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from alrp_ref.data.annotations.format import stops
from alrp_ref.data.annotations.layout import Layout
from alrp_ref.data.annotations.normalise import normalised
from alrp_ref.data.annotations.suspicions import NO_OBJECT, in_words, pointless, suspicions
from alrp_ref.machine.files import DataError, read_json
from alrp_ref.machine.garbage import without_garbage_collection


def annotation_file(root: str | os.PathLike[str] | Layout, split: str) -> Path:
    """The annotation file of a split. Raises: DataError if it, or the folder of the images, is not there."""
    return Layout.of(root).split(split).annotations


def content_of(layout: Layout, split: str) -> dict[str, Any]:
    """What the annotation file of a split holds, as `usable_content`. Errors: those of `annotation_file`, too."""
    return usable_content(annotation_file(layout, split), layout.other_annotations(split))


@without_garbage_collection()
def usable_content(path: Path, others: Sequence[Path] = ()) -> dict[str, Any]:
    """What an annotation file holds, as `read_normalised`. Raises: DataError if something in it stops a run."""
    content, _ = read_normalised(path, others)
    _refuse(path, content)
    return content


def read_normalised(path: Path, others: Sequence[Path] = ()) -> tuple[Any, list[dict[str, Any]]]:
    """What `normalised` makes of an annotation file; `others` are those of the same data set's other splits.

    A class that one of them has a box of stays, so that all splits have the same classes.

    Raises: DataError if a file is not JSON.
    """
    content = read_annotations(path)
    usable, headings = normalised(content)
    if not headings:
        return usable, headings
    keep = set()
    for other in others:
        if other.is_file():
            usable_other, _ = normalised(read_annotations(other))
            if next(stops(usable_other), None) is None:
                keep |= {(category["id"], category["name"]) for category in usable_other["categories"]}
    return normalised(content, keep) if keep else (usable, headings)


@without_garbage_collection()
def possible_mistakes(content: dict[str, list]) -> list[str]:
    """What a person should look at in what `usable_content` returned, in a line for each kind; a class may well have no
    box."""
    return in_words(problem for problem in suspicions(content) if problem.kind != NO_OBJECT)


def _refuse(path: Path, content: Any) -> None:
    """Raise DataError for the first problem of an annotation file that stops a run."""
    if problem := next(stops(content), None):
        raise DataError(
            f"{path} is not a COCO annotation file: {problem}; it must hold images (id, file_name, width, height), "
            "annotations (id, image_id, category_id, bbox) and categories (id, name), each id once: "
            "`alrp check-data` lists every problem"
        )
    if problem := next(pointless(content), None):
        raise DataError(f"{path} has {problem.kind}: {problem}")


def read_annotations(path: Path) -> Any:
    """What an annotation file holds. Raises: DataError if that is not JSON."""
    try:
        return read_json(path)
    except ValueError as error:
        raise DataError(
            f"{path} is not a COCO annotation file: it is not JSON: {error}; export or download it again"
        ) from error
