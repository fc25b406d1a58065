"""Normalise exported annotations: ids, integers written as floats, nulls, placeholder classes, regions to ignore."""

import contextlib
import numbers
import re
from collections import Counter
from collections.abc import Collection, Iterable
from typing import Any

ImageId = int | str
"""Ids are whole numbers of any size, or texts."""


IGNORED_CLASS = re.compile(r"(ignored?|ignoring|do ?n.?t ?care)( (regions?|areas?|zones?|box(es)?|objects?))?", re.I)
"""Names of classes whose boxes say where nothing was labelled, as in VisDrone and KITTI."""


OF_REGION = "alrp_ref, of a region to ignore"


def normalised(content: Any, keep: Collection[str] = ()) -> tuple[Any, list[dict[str, Any]]]:
    """The content of an annotation file in the form that the rest of the package reads, and classes left out of it.

    - A whole number is an int, also if it is written as 160.0.
    - `image_id` and `category_id` are equal to the `id` they mean, also if one is written as a text and the other not.
    - An annotation without an `id` gets its place; `area` and `iscrowd` that are null are left out.
    - An image without a `file_name` has that of its `coco_url`, with the folder, as in LVIS.
    - An annotation without a `bbox` gets that around its polygons or its mask.
    - A class without a box that others have for their `supercategory` is left out: Roboflow writes one. Those whose
      names are in `keep` stay.
    - A class named "ignored regions" or the like is left out, and each of its boxes becomes a crowd of every class: the
      one that is "first" in the field `OF_REGION`, the others that are a "copy".

    Nothing is refused here, and `content` is not changed: what cannot be read stays as it is, for
    :func:`alrp_ref.data.annotations.format.stops` to name.
    """
    if not isinstance(content, dict) or not all(isinstance(content.get(key), list) for key in KEYS):
        return content, []
    images = [_named(_with_whole_numbers(image, ("id", "width", "height"))) for image in content["images"]]
    categories = [_with_whole_numbers(category, ("id",)) for category in content["categories"]]
    image_ids, category_ids = (Ids(ids_of(entries)) for entries in (images, categories))
    annotations = [
        _annotation(number, annotation, image_ids, category_ids)
        for number, annotation in enumerate(content["annotations"], 1)
    ]
    times = Counter(one.get("name") for one in categories if isinstance(one, dict) and isinstance(one.get("name"), str))
    placeholders = _placeholders(categories, annotations)
    left_out = [one for one in placeholders if one.get("name") not in keep or times[one["name"]] > 1]
    ignored = [one for one in categories if is_ignored_class(one) and one["name"] not in keep]
    kept = [one for one in categories if not any(one is other for other in (*left_out, *ignored))]
    if ignored and ids_of(kept):
        annotations = _regions_as_crowds(annotations, ids_of(ignored), ids_of(kept))
        left_out, categories = [*left_out, *ignored], kept
    else:
        categories = [one for one in categories if not any(one is other for other in left_out)]
    return content | {"images": images, "annotations": annotations, "categories": categories}, left_out


def is_ignored_class(category: Any) -> bool:
    """Whether the name of a class says that its boxes are not to be learned."""
    name = category.get("name") if isinstance(category, dict) else None
    return isinstance(name, str) and IGNORED_CLASS.fullmatch(re.sub(r"[_\W]+", " ", name).strip()) is not None


KEYS = ("images", "annotations", "categories")


def id_order(id: ImageId) -> tuple[bool, ImageId]:
    """A key to sort ids by: numbers first, then texts."""
    return isinstance(id, str), id


class Ids:
    """Ids of one kind, found by whatever way they are written."""

    def __init__(self, ids: Iterable[ImageId]):
        self.known = set(ids)
        times = Counter(map(str, self.known))
        self._by_text = {str(id): id for id in self.known if times[str(id)] == 1}

    def find(self, value: Any) -> Any:
        """The id that `value` means: one that is equal, else one with the same text; `value` if there is none."""
        value = whole(value)
        if not isinstance(value, int | str) or isinstance(value, bool) or value in self.known:
            return value
        return self._by_text.get(str(value), value)


def whole(value: Any) -> Any:
    """A whole number as an int, also one written as 160.0; anything else as it is."""
    if isinstance(value, bool | str):
        return value
    if isinstance(value, numbers.Integral) or (isinstance(value, numbers.Real) and float(value).is_integer()):
        return int(value)
    return value


def ids_of(entries: list) -> list[ImageId]:
    """The ids of the entries of a list, also of those that are malformed in another field."""
    found = (entry.get("id") for entry in entries if isinstance(entry, dict))
    return [id for id in found if isinstance(id, int | str) and not isinstance(id, bool)]


def _with_whole_numbers(entry: Any, keys: tuple[str, ...]) -> Any:
    if not isinstance(entry, dict):
        return entry
    return entry | {key: whole(entry[key]) for key in keys if key in entry}


def _annotation(number: int, annotation: Any, image_ids: Ids, category_ids: Ids) -> Any:
    if not isinstance(annotation, dict) or _is_plain(annotation, image_ids, category_ids):
        return annotation
    one = {key: value for key, value in annotation.items() if value is not None or key not in ("id", "area", "iscrowd")}
    one["id"] = whole(one.get("id", number))
    if not one.get("bbox") and (box := _box_around(one.get("segmentation"))) is not None:
        one["bbox"] = box
    for key, ids in (("image_id", image_ids), ("category_id", category_ids)):
        if key in one:
            one[key] = ids.find(one[key])
    return one


def _named(image: Any) -> Any:
    """An image with a name from its address."""
    url = image.get("coco_url") if isinstance(image, dict) and "file_name" not in image else None
    return image | {"file_name": "/".join(url.split("/")[-2:])} if isinstance(url, str) else image


def _regions_as_crowds(annotations: list, ignored: list[ImageId], kept: list[ImageId]) -> list:
    found = []
    for one in annotations:
        if not isinstance(one, dict) or not isinstance(one.get("category_id"), int | str):
            found.append(one)
        elif one["category_id"] in ignored:
            crowds = [one | {"category_id": id, "iscrowd": 1, OF_REGION: "copy"} for id in kept]
            found += [crowds[0] | {OF_REGION: "first"}, *crowds[1:]]
        else:
            found.append(one)
    return found


def _box_around(segmentation: Any) -> list[float] | None:
    """x, y, width, height of polygons, or of a mask in COCO's run lengths; None if it is neither."""
    with contextlib.suppress(TypeError, ValueError, KeyError, IndexError, AttributeError):
        if isinstance(segmentation, list):
            x, y = ([float(v) for polygon in segmentation for v in polygon[axis::2]] for axis in (0, 1))
            return [min(x), min(y), max(x) - min(x), max(y) - min(y)]
        from pycocotools import mask

        if isinstance(segmentation["counts"], list):
            segmentation = mask.frPyObjects(segmentation, *segmentation["size"])
        return mask.toBbox(segmentation).tolist()
    return None


def _is_plain(annotation: dict[str, Any], image_ids: Ids, category_ids: Ids) -> bool:
    """Whether nothing is to be done, as for all of COCO's own annotations."""
    return (
        type(annotation.get("id")) is int
        and type(image := annotation.get("image_id")) is int
        and image in image_ids.known
        and type(category := annotation.get("category_id")) is int
        and category in category_ids.known
        and type(annotation.get("bbox")) is list
        and annotation.get("area", 0) is not None
        and annotation.get("iscrowd", 0) is not None
    )


def _placeholders(categories: list, annotations: list) -> list[dict[str, Any]]:
    """Categories without an annotation that are the `supercategory` of another one."""
    entries = [one for one in categories if isinstance(one, dict) and isinstance(one.get("id"), int | str)]
    headings = [
        one
        for one in entries
        if any(other.get("supercategory") == one.get("name") for other in entries if other is not one)
    ]
    if not headings:
        return []
    used = {
        a["category_id"] for a in annotations if isinstance(a, dict) and isinstance(a.get("category_id"), int | str)
    }
    return [one for one in headings if one["id"] not in used]
