"""`alrp demo`: a data set, a training run and a report, without any download."""

import argparse
from pathlib import Path

from alrp_ref.commands.arguments import Parsers, add_options, new_command, options_of


def add(parsers: Parsers) -> None:
    text = "draw a data set of shapes, train a small detector on it, write a report"
    parser = new_command(parsers, "demo", run, text, resumes="resume from the last checkpoint")
    parser.add_argument("--out", type=Path, default=Path("runs/demo"), help="folder of the run (default runs/demo)")
    parser.add_argument("--recipe", default="alrp_tiny", help="alrp_tiny (default), ap_tiny, rs_tiny or focal_tiny")
    add_options(parser.add_mutually_exclusive_group(), "steps", "epochs")
    add_options(parser, "device", "seed")


def run(args: argparse.Namespace) -> int:
    from alrp_ref.data import make_shapes
    from alrp_ref.reports import write_report
    from alrp_ref.training import train

    # The pictures fit in memory, and a process that reads them would take a core from the network.
    options = options_of(args, cache=True, workers=0)
    coco, out = args.out / "shapes", args.out / args.recipe
    print(f"drawing shapes into {coco} ...")
    make_shapes(coco, train_images=2500, val_images=200)
    _, metrics = train(args.recipe, coco, out, options)
    print(f"\n{metrics}\n\nAP {metrics['AP']:.3f} on held-out shapes. Report: {write_report(out, coco)}")
    return 0
