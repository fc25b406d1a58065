"""Read an annotation file: its content in one form, or an error that names what stops a run."""

import os
from collections.abc import Collection, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from alrp_ref.data.annotations.format import stops
from alrp_ref.data.annotations.layout import Layout
from alrp_ref.data.annotations.normalise import is_ignored_class, normalised
from alrp_ref.data.annotations.suspicions import NO_OBJECT, in_words, pointless, suspicions
from alrp_ref.machine.files import DataError, read_json
from alrp_ref.machine.garbage import without_garbage_collection


def annotation_file(root: str | os.PathLike[str] | Layout, split: str) -> Path:
    """The annotation file of a split. Raises: DataError if it, or the folder of the images, is not there."""
    return Layout.of(root).split(split).annotations


def content_of(layout: Layout, split: str, keep: Collection[str] = ()) -> dict[str, Any]:
    """What the annotation file of a split holds, as `usable_content`. Errors: those of `annotation_file`, too."""
    return usable_content(annotation_file(layout, split), layout.other_annotations(split), keep)


@without_garbage_collection()
def usable_content(path: Path, others: Sequence[Path] = (), keep: Collection[str] = ()) -> dict[str, Any]:
    """What an annotation file holds, as `read_normalised`. Raises: DataError if something in it stops a run."""
    content, _ = read_normalised(path, others, keep)
    _refuse(path, content)
    return content


def read_normalised(
    path: Path, others: Sequence[Path] = (), keep: Collection[str] = ()
) -> tuple[Any, list[dict[str, Any]]]:
    """What `normalised` makes of an annotation file; `others` are those of the same data set's other splits.

    A class stays, if only as a heading, that is named in `keep`, or that one of the others has a box of, so that all
    splits have the same classes.

    Raises: DataError if a file is not JSON.
    """
    content = read_annotations(path)
    usable, left_out = normalised(content, keep)
    if all(is_ignored_class(one) for one in left_out):
        return usable, left_out
    names = set(keep)
    for other in others:
        if other.is_file():
            usable_other, _ = normalised(read_annotations(other), keep)
            if next(stops(usable_other), None) is None:
                names |= {category["name"] for category in usable_other["categories"]}
    return normalised(content, names)


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


def not_trained(name: str, trained: Collection[str]) -> str:
    """What to say of a class that is evaluated, and of which a detector knows nothing. Args: `trained`, the classes."""
    close = get_close_matches(name, trained, n=1)
    meant = f" (is {close[0]!r} meant?)" if close else ""
    return f"{name!r} is none of the {len(trained)} classes that are trained{meant}: rename it, or leave it out"


def read_annotations(path: Path) -> Any:
    """What an annotation file holds. Raises: DataError if that is not JSON."""
    try:
        return read_json(path)
    except ValueError as error:
        raise DataError(
            f"{path} is not a COCO annotation file: it is not JSON: {error}; export or download it again"
        ) from error
