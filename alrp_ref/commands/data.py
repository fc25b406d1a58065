"""The arguments that say where a data set is."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from alrp_ref.data import Layout

WORDS = {"train": "training", "val": "validation"}


def add_data(parser: argparse.ArgumentParser, names: Sequence[str] = tuple(WORDS)) -> None:
    """Add `--coco`, and for each split the arguments that give its files one by one."""
    parser.add_argument(
        "--coco",
        type=Path,
        metavar="DIR",
        help="data set: a folder with annotations/, train2017/, val2017/, or an export in COCO's format of Roboflow, "
        "CVAT, Label Studio, ...",
    )
    for name in names:
        word = WORDS[name]
        parser.add_argument(
            f"--{name}-annotations", type=Path, metavar="FILE", help=f"{word} annotations, instead of --coco"
        )
        parser.add_argument(f"--{name}-images", type=Path, metavar="DIR", help=f"folder of the {word} images")


def layout_of(args: argparse.Namespace) -> "Layout":
    """The data set that the arguments of `add_data` give. A layout that is not COCO's own is printed."""
    from alrp_ref.data.annotations.layout import Layout, Split, is_cocos

    splits = {}
    for name in WORDS:
        file, folder = (getattr(args, f"{name}_{what}", None) for what in ("annotations", "images"))
        if (file is None) != (folder is None):
            raise ValueError(f"--{name}-annotations FILE and --{name}-images DIR belong together")
        if file is not None:
            splits[name] = Split(file, folder)
    if (args.coco is None) == (not splits):
        raise ValueError(
            "give the data by --coco DIR, or else by --train-annotations FILE --train-images DIR (and val)"
        )
    layout = Layout.of(args.coco) if args.coco is not None else Layout(**splits)
    if not is_cocos(layout):
        print(layout)
    return layout
