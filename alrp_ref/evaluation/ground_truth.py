"""Ground truth in COCO's format, as the evaluator takes it."""

import os
from itertools import chain
from typing import Any, NamedTuple

import numpy as np

from alrp_ref.data.annotations.format import is_finite, stops
from alrp_ref.data.annotations.normalise import id_order, is_ignored_class, normalised
from alrp_ref.evaluation.matching import Objects
from alrp_ref.machine.files import DataError, load_json

PathLike = str | os.PathLike[str]
Content = dict[str, list[dict[str, Any]]]


class GroundTruth(NamedTuple):
    """Ground truth whose images, categories and annotations are numbered 1, 2, 3, ..., the first two in the order of
    their ids: the evaluator takes no other ids, and so they may be negative, longer than 64 bits, or texts.

    Attributes:
        content: images, annotations and categories with the fields that the evaluation of boxes needs.
        image_id, category_id: the number by the id; 0 for a category that is left out.
        files: the file name of each image, by its number; "" where there is none.
        bad_areas: how many objects had an area below 0 or not finite, and got that of their box.
    """

    content: Content
    image_id: dict[int | str, int]
    category_id: dict[int | str, int]
    files: dict[int, str]
    bad_areas: int


def read(gt: PathLike | dict[str, Any]) -> GroundTruth:
    """Raises: DataError for a file that is missing or has another format."""
    name = "gt" if isinstance(gt, dict) else gt
    content = gt if isinstance(gt, dict) else read_file(gt)
    # Checks one by one take half of the evaluation's time. Of annotations that are plain, one of each class is enough.
    plain = content["annotations"] if _is_plain(content) else None
    if plain is not None:
        content = content | {"annotations": list({a["category_id"]: a for a in plain}.values())}
    content, left_out = normalised(content)
    try:
        truth = {
            "images": [{"file_name": ""} | {k: i[k] for k in ("id", "width", "height")} for i in content["images"]],
            "annotations": list(map(_fields, content["annotations"])),
            "categories": [{k: c[k] for k in ("id", "name")} for c in content["categories"]],
        }
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise DataError(
            f"{name} is not COCO ground truth ({type(error).__name__}: {error}); it must hold images (id, "
            "width, height), annotations (image_id, category_id, bbox, area) and categories (id, name)"
        ) from error
    if problem := next(stops(truth), None):
        raise DataError(f"{name} is not COCO ground truth: {problem}")
    images, categories = (_numbered(truth[key]) for key in ("images", "categories"))
    names = {images[i["id"]]: i.get("file_name") for i in content["images"]}
    files = {number: name if isinstance(name, str) else "" for number, name in names.items()}
    for entries, number in ((truth["images"], images), (truth["categories"], categories)):
        for entry in entries:
            entry["id"] = number[entry["id"]]
    annotations = truth["annotations"] if plain is None else list(map(_fields, plain))
    usable = [a for a in annotations if a["image_id"] in images and (plain or all(map(is_finite, a["bbox"])))]
    bad_areas = 0
    for number, a in enumerate(usable, 1):
        if not (is_finite(a.get("area", 0)) and a.get("area", -1) >= 0):
            bad_areas += "area" in a
            a["area"] = a["bbox"][2] * a["bbox"][3]
        a.update(id=number, image_id=images[a["image_id"]], category_id=categories[a["category_id"]])
    truth["annotations"] = usable
    return GroundTruth(truth, images, categories | {one["id"]: 0 for one in left_out}, files, bad_areas)


def _fields(annotation: dict[str, Any]) -> dict[str, Any]:
    """Those that the evaluation of boxes needs. Most of a COCO file is segmentations."""
    kept = {key: annotation[key] for key in ("image_id", "category_id", "bbox")}
    kept |= {"id": annotation.get("id", 0), "iscrowd": annotation.get("iscrowd", 0)}
    return kept | {"area": annotation["area"]} if "area" in annotation else kept


def _is_plain(content: Any) -> bool:
    """Whether all annotations are like COCO's own, so that nothing has to be normalised or refused."""
    try:
        annotations, categories = content["annotations"], {category["id"] for category in content["categories"]}
        of = {key: [a[key] for a in annotations] for key in ("id", "image_id", "category_id", "bbox")}
        boxes, areas = (
            np.array(list(x)) for x in (chain.from_iterable(of["bbox"]), (a.get("area", 0) for a in annotations))
        )
        return (
            all(set(map(type, of[key])) <= {int} for key in ("id", "image_id", "category_id"))
            and set(of["category_id"]) <= categories
            and not any(map(is_ignored_class, content["categories"]))
            and set(map(type, of["bbox"])) <= {list}
            and set(map(len, of["bbox"])) <= {4}
            and {a.get("iscrowd", 0) for a in annotations} <= {0, 1}
            and all(x.dtype.kind in "if" and np.isfinite(x).all() for x in (boxes, areas))
        )
    except (KeyError, TypeError, AttributeError, ValueError):
        return False


def objects_of(content: Content) -> Objects:
    """The annotations as arrays."""
    annotations = content["annotations"]
    image, category, area, is_crowd = (
        np.array([a[key] for a in annotations], dtype=dtype)
        for key, dtype in (("image_id", int), ("category_id", int), ("area", float), ("iscrowd", bool))
    )
    box = np.array(list(chain.from_iterable(a["bbox"] for a in annotations)), dtype=np.float64).reshape(-1, 4)
    return Objects(image, category, box, area, is_crowd)


def read_file(path: PathLike) -> Any:
    """What a file of ground truth or detections holds. Raises: DataError if it is missing or not JSON."""
    return load_json(path, if_missing="check its name", if_broken="write it again")


def _numbered(entries: list[dict[str, Any]]) -> dict[int | str, int]:
    return {id: number for number, id in enumerate(sorted((e["id"] for e in entries), key=id_order), 1)}
