"""`alrp eval`: AP and optimal LRP of a trained detector."""

import argparse
from pathlib import Path

from alrp_ref.commands.arguments import Parsers, add_options, new_command
from alrp_ref.commands.data import add_data, layout_of


def add(parsers: Parsers) -> None:
    parser = new_command(parsers, "eval", run, "evaluate a trained detector: AP and optimal LRP")
    weights = parser.add_mutually_exclusive_group(required=True)
    weights.add_argument("--checkpoint", type=Path, metavar="FILE", help="the checkpoint.pt of a run")
    weights.add_argument(
        "--official-checkpoint", type=Path, metavar="FILE", help="a .pth of the release; needs --recipe"
    )
    parser.add_argument("--recipe", help="recipe of the official checkpoint; `alrp recipes` lists them")
    add_data(parser, ("val",))
    parser.add_argument(
        "--workers", type=int, metavar="N", help="processes that read images (default: up to 8; none on a CPU)"
    )
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="write detections.json, metrics.json and report.html to this folder"
    )
    add_options(parser, "device")


def run(args: argparse.Namespace) -> int:
    import time

    from alrp_ref.data import CocoDataset
    from alrp_ref.data.dataset import AS_IT_IS, ReadAs
    from alrp_ref.detection import load_model, load_official_model
    from alrp_ref.machine.device import choose_device
    from alrp_ref.reports import write_report
    from alrp_ref.training.validation import check_out, validate

    device, is_official = choose_device(args.device), args.official_checkpoint is not None
    if is_official != (args.recipe is not None):
        raise ValueError("--official-checkpoint needs --recipe, and a checkpoint of `alrp train` knows its own")
    checkpoint = args.official_checkpoint if is_official else args.checkpoint
    model = None if is_official else load_model(checkpoint)[0]
    layout = layout_of(args)
    read_as = AS_IT_IS if model is None else ReadAs(model.class_names, model.recipe.grey_range)
    data = CocoDataset(layout, "val2017", keep_empty=True, read_as=read_as)
    if model is None:
        model = load_official_model(checkpoint, args.recipe, data.class_names)
    if args.out is not None:
        check_out(args.out, data, [checkpoint])
        args.out.mkdir(parents=True, exist_ok=True)
        checkpoint = _in_our_format(args.out, model, data) if is_official else checkpoint
    began = time.perf_counter()
    metrics = validate(model, data, args.out, device, args.workers)
    seconds = time.perf_counter() - began
    print(f"{metrics}\n\n{len(data)} images, {len(data) / seconds:.1f} images/s, the evaluation included")
    if args.out is not None:
        print(f"Report: {write_report(args.out, layout, checkpoint)}")
    return 0


def _in_our_format(out: Path, model, data) -> Path:
    """Save an official model as a checkpoint of our own, which other commands and the report read."""
    from alrp_ref.detection import save_model

    path = out / "official.pt"
    save_model(path, model, data.category_ids)
    print(f"in our format, for `alrp predict --checkpoint`: {path}")
    return path
