"""`alrp download`: COCO 2017."""

import argparse
from pathlib import Path

from alrp_ref.commands.arguments import Parsers, new_command


def add(parsers: Parsers) -> None:
    text = "download COCO 2017 and unpack it; the same command again resumes"
    parser = new_command(parsers, "download", run, text, resumes="resume")
    parser.add_argument(
        "--root", type=Path, required=True, metavar="DIR", help="target folder; pass it to other commands as --coco"
    )
    parser.add_argument(
        "--split",
        choices=("train2017", "val2017"),
        required=True,
        help="19.3 or 0.8 GB of images, and the annotations (0.3 GB)",
    )


def run(args: argparse.Namespace) -> int:
    from alrp_ref.data import download

    root = download(args.root, args.split)
    print(f"{args.split} and its annotations are in {root}: give --coco {root}")
    return 0
