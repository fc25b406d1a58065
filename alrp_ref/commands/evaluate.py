"""`alrp eval`: AP and optimal LRP of a trained detector, or of detections in a file."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from alrp_ref.commands.arguments import Parsers, add_options, new_command
from alrp_ref.commands.columns import as_table
from alrp_ref.commands.data import add_data, layout_of

if TYPE_CHECKING:
    from alrp_ref.evaluation import Metrics

PARTS = ("oLRP", "oLRP_loc", "oLRP_fp", "oLRP_fn")


def add(parsers: Parsers) -> None:
    parser = new_command(parsers, "eval", run, "AP and optimal LRP of a trained detector, or of detections")
    weights = parser.add_mutually_exclusive_group(required=True)
    weights.add_argument(
        "--detections",
        type=Path,
        metavar="FILE",
        help="detections in COCO's format, of any program; needs --annotations",
    )
    weights.add_argument("--checkpoint", type=Path, metavar="FILE", help="the checkpoint.pt of a run")
    weights.add_argument(
        "--official-checkpoint", type=Path, metavar="FILE", help="a .pth of the release; needs --recipe"
    )
    parser.add_argument("--recipe", help="recipe of the official checkpoint; `alrp recipes` lists them")
    files = parser.add_argument_group("with --detections")
    files.add_argument("--annotations", type=Path, metavar="FILE", help="what is there, in COCO's format")
    files.add_argument("--max-detections", type=int, metavar="N", help="of a class in an image (default 100)")
    files.add_argument("--area", help="all, small, medium or large objects (default all)")
    files.add_argument(
        "--threshold", type=float, metavar="X", help="also LRP of the detections with this score or more"
    )
    files.add_argument(
        "--json", nargs="?", const="-", metavar="FILE", help="write metrics to FILE, or print them as JSON"
    )
    add_data(parser, ("val",))
    parser.add_argument(
        "--workers", type=int, metavar="N", help="processes that read images (default: up to 8; none on a CPU)"
    )
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="write detections.json, metrics.json and report.html to this folder"
    )
    add_options(parser, "device")


def run(args: argparse.Namespace) -> int:
    return _of_detector(args) if args.detections is None else _of_detections(args)


def _of_detections(args: argparse.Namespace) -> int:
    import json

    from alrp_ref.data.annotations.read import annotation_file
    from alrp_ref.evaluation import evaluate
    from alrp_ref.machine.files import refuse_input, write_atomic
    from alrp_ref.reports.detections import write_detections_report

    annotations = args.annotations or annotation_file(layout_of(args), "val2017")
    json_file = None if args.json in (None, "-") else Path(args.json)
    if json_file is not None:
        refuse_input(json_file, [annotations, args.detections])
    options = {name: getattr(args, name) for name in ("max_detections", "area", "threshold")}
    metrics = evaluate(annotations, args.detections, **{name: x for name, x in options.items() if x is not None})
    content = json.dumps(metrics.to_dict(), indent=1)
    print(content if args.json == "-" else f"{metrics}\n\n{_by_class(metrics)}")
    if json_file is not None:
        write_atomic(json_file, content + "\n")
    if args.out is not None:
        args.out.mkdir(parents=True, exist_ok=True)
        print(f"Report: {write_detections_report(args.out, annotations, args.detections, metrics)}")
    return 0


def _by_class(metrics: "Metrics") -> str:
    """A table of the classes that have objects: AP, oLRP with its parts, and the best score threshold."""
    shown = {name: one for name, one in metrics.per_class.items() if one["oLRP"] == one["oLRP"]}
    columns = [(key, [f"{one[key]:.3f}" for one in shown.values()]) for key in ("AP", "AP50", *PARTS)]
    thresholds = [f"{metrics.lrp_thresholds[name]:.3f}" for name in shown]
    return as_table([("class", list(shown)), *columns, ("threshold", thresholds)])


def _of_detector(args: argparse.Namespace) -> int:
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
