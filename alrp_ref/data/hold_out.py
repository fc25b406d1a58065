"""Split the training images, for choices that must not be made on the validation images."""

import json
import os
from pathlib import Path

from alrp_ref.data.annotations.layout import Layout
from alrp_ref.data.annotations.read import content_of
from alrp_ref.data.dataset import CocoDataset, ReadAs
from alrp_ref.machine.files import DataError, write_atomic


def hold_out(coco: str | os.PathLike | Layout, out: str | os.PathLike, every: int) -> Path:
    """Write a new data set in which every k-th training image, by id, is a validation image.

    Args:
        coco: folder in COCO's layout, or a `Layout`.
        out: folder of the new set, in COCO's layout; its image folders are links to the old training images.
        every: k, 10 to hold a tenth out.

    Returns: `out`. What is there already is written again only if the training images or their boxes are others now.
    Raises: DataError for a set that cannot be used.
    """
    out, layout = Path(out), Layout.of(coco)
    content = content_of(layout, "train2017")
    source = CocoDataset(layout, "train2017", keep_empty=True, read_as=ReadAs(content=content))
    held = set(source.ids[every - 1 :: every])
    if not held:
        raise DataError(f"{source.annotation_file} has {len(source.ids)} images: {every} are needed to hold one out")
    (out / "annotations").mkdir(parents=True, exist_ok=True)
    for split, takes in (("train2017", lambda i: i not in held), ("val2017", lambda i: i in held)):
        file, images = out / "annotations" / f"instances_{split}.json", out / split
        part = content | {
            "images": [image for image in content["images"] if takes(image["id"])],
            "annotations": [a for a in content["annotations"] if takes(a["image_id"])],
        }
        text = json.dumps(part).encode()
        if not file.is_file() or file.read_bytes() != text:
            write_atomic(file, text)
        if not images.is_symlink():
            images.symlink_to(Path(source.root).resolve(), target_is_directory=True)
    return out
