"""The ids that an annotation file has for picture files."""

from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from alrp_ref.data.annotations.image_folder import other_names
from alrp_ref.data.annotations.normalise import ImageId, normalised
from alrp_ref.data.annotations.read import read_annotations
from alrp_ref.machine.files import DataError


def ids_of_pictures(annotations: Path, pictures: Iterable[Path]) -> list[ImageId]:
    """For each picture the id of the image whose `file_name` has the longest end in common with its path.

    Raises: DataError for a file that lists no images, and for a picture that none of them, or several, may be.
    """
    content, _ = normalised(read_annotations(annotations))
    ids: dict[str, set[ImageId]] = defaultdict(set)
    try:
        for image in content["images"]:
            for name in other_names(image["file_name"]):
                ids[name].add(image["id"])
    except (KeyError, TypeError) as error:
        raise DataError(f"{annotations} is not a COCO annotation file: {error}; it must hold images") from error
    return [_id_of(annotations, path, ids) for path in pictures]


def _id_of(annotations: Path, path: Path, ids: dict[str, set[ImageId]]) -> ImageId:
    found = next((ids[name] for name in other_names(path.absolute().as_posix()) if name in ids), set())
    if len(found) == 1:
        return next(iter(found))
    if found:
        several = ", ".join(map(str, sorted(found, key=str)))
        raise DataError(f"{path} may be several images of {annotations}: {several}; give it by a longer path")
    raise DataError(f"{path} is no image of {annotations}: give the file that lists it, or leave --annotations out")
