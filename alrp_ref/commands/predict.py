"""`alrp predict`: detections, drawn on pictures."""

import argparse
import sys
from pathlib import Path

from alrp_ref.commands.arguments import Parsers, add_options, new_command


def add(parsers: Parsers) -> None:
    parser = new_command(parsers, "predict", run, "draw what a trained detector finds on pictures")
    parser.add_argument("--checkpoint", type=Path, required=True, metavar="FILE", help="the checkpoint.pt of a run")
    parser.add_argument("--threshold", type=float, default=0.3, metavar="X", help="lowest score drawn (default 0.3)")
    parser.add_argument("--out", type=Path, default=Path("predictions"), help="folder (default predictions)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the detections, in COCO's format")
    parser.add_argument(
        "--annotations", type=Path, metavar="FILE", help="take the image ids of --json from these (default: file names)"
    )
    add_options(parser, "device")
    parser.add_argument("images", nargs="+", metavar="image", help="picture files, folders of them, or patterns")


def run(args: argparse.Namespace) -> int:
    from alrp_ref.data.annotations.grey_range import question_about_greys
    from alrp_ref.data.annotations.picture_ids import ids_of_pictures
    from alrp_ref.detection import load_model
    from alrp_ref.detection.predict_files import check_json, drawings, find_pictures, predict_files
    from alrp_ref.images import GREYS
    from alrp_ref.machine.device import choose_device

    pictures = find_pictures(args.images)
    targets = drawings(pictures, args.out)
    inputs = [args.checkpoint] if args.annotations is None else [args.checkpoint, args.annotations]
    if args.json is not None:
        check_json(args.json, [*pictures, *inputs])
    elif args.annotations is not None:
        raise ValueError("--annotations FILE gives the ids for --json FILE: give both")
    ids = None if args.annotations is None else ids_of_pictures(args.annotations, pictures)
    device = choose_device(args.device)
    model, content = load_model(args.checkpoint)
    if model.recipe.grey_range == GREYS and (question := question_about_greys(pictures)):
        print(f"alrp: may be a mistake: {question}, in training, too", file=sys.stderr)
    args.out.mkdir(parents=True, exist_ok=True)
    options = {"threshold": args.threshold, "json_file": args.json, "ids": ids}
    faults = predict_files(model.to(device), content["category_ids"], pictures, targets, **options)
    if faults:
        print(f"alrp: {len(faults)} of {len(pictures)} pictures cannot be read, {faults[0]} the first", file=sys.stderr)
        return 2
    return 0
