"""What is odd about a set as a whole: areas, images with many objects, images that are labelled in part; its sizes."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np

from alrp_ref.data.annotations.format import ASKS, Problem, is_finite, sizes_of_images

AREAS, DENSE, IN_PART = "areas that do not belong to their box", "images with many objects", "images labelled in part"
COUNTED = 100
"""Detections of an image that COCO's evaluation counts, and that a detector gives by default."""


def about_the_set(usable: list[dict[str, Any]], images: dict[int | str, dict[str, Any]]) -> Iterator[Problem]:
    """What a person should look at. Args: annotations that can be learned from; images, by their id."""
    yield from _areas(usable, images)
    yield from _dense(usable)
    fields = Counter(
        key for image in images.values() for key in image if key.endswith("category_ids") and image[key] is not None
    )
    if fields:
        reason = f"{' and '.join(sorted(fields))} of {max(fields.values()):,} images are not read: an object without a "
        yield Problem(ASKS, IN_PART, f"{reason}box counts as background here, so that AP is not LVIS's")


def _areas(usable: list[dict[str, Any]], images: dict[int | str, dict[str, Any]]) -> Iterator[Problem]:
    """Areas that no shape in the box can have; and if all are the same part of it, which is no shape's."""
    given = [a for a in usable if "area" in a]
    areas = np.array([a["area"] if is_finite(a["area"]) else np.nan for a in given], dtype=np.float64)
    with np.errstate(all="ignore"):
        ratios = areas / np.array([a["bbox"][2:] for a in given], dtype=np.float64).reshape(-1, 2).prod(axis=1)
        is_wrong = ~((ratios >= 0.01) & ((ratios <= 1.5) | (areas <= 16)))
        low, high = np.percentile(ratios, [2, 98]) if len(ratios) >= 20 else (0, 1)
    for annotation in (given[n] for n in is_wrong.nonzero()[0]):
        reason = f"area {annotation['area']} of bbox {annotation['bbox']}: an evaluation sorts objects by it"
        image = images[annotation["image_id"]]
        yield Problem(ASKS, AREAS, reason, image["file_name"], image["id"], annotation["id"])
    if not is_wrong.any() and high < 1.02 * low and not 0.9 < low < 1.1:
        reason = f"all {len(given):,} areas are {low:.2g} times that of their box: are they of images of another size?"
        yield Problem(ASKS, AREAS, reason)


def _dense(usable: list[dict[str, Any]]) -> Iterator[Problem]:
    counts = np.array(list(Counter(a["image_id"] for a in usable).values()))
    dense = counts[counts > COUNTED]
    if len(dense):
        recall = np.minimum(counts, COUNTED).sum() / counts.sum()
        reason = f"in {len(dense):,} images are more than {COUNTED} objects, in one {counts.max():,}: a detector gives "
        reason += (
            f"{COUNTED} detections of an image, and COCO's evaluation counts {COUNTED} of a class, so that recall "
        )
        reason += f"can end at {recall:.2f}; the field max_detections of the recipe is for the detector"
        yield Problem(ASKS, DENSE, reason)


def sides_in_words(usable: list[dict[str, Any]], images: dict[int | str, dict[str, Any]]) -> str:
    """How large the boxes are: their shorter sides in percent of the image's, which any training size keeps."""
    if not usable:
        return ""
    sides = np.array([a["bbox"][2:] for a in usable], dtype=np.float64) / sizes_of_images(usable, images)
    tenth, half, nine = 100 * np.percentile(sides.min(axis=1), [10, 50, 90])
    return (
        f"shorter sides of the boxes, in percent of the image's: {tenth:.2g} (a tenth is below), {half:.2g} (half), "
        f"{nine:.2g} (nine tenths)"
    )
