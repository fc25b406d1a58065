"""`alrp compare`: recipes, trained on the same footing."""

import argparse
from pathlib import Path

from alrp_ref.commands.arguments import Parsers, add_backbone_weights, add_options, backbone_of, new_command, options_of
from alrp_ref.commands.columns import as_table
from alrp_ref.commands.data import add_data, layout_of


def add(parsers: Parsers) -> None:
    text = "train recipes on the same footing, and write a table and a page"
    parser = new_command(parsers, "compare", run, text, resumes="resume from the last checkpoint")
    parser.add_argument(
        "--recipes",
        nargs="+",
        required=True,
        metavar="RECIPE",
        help='names of recipes, or "NAME:FIELD=VALUE", which takes the learning rate of NAME',
    )
    add_data(parser)
    parser.add_argument("--out", type=Path, default=Path("runs/comparison"), help="folder (default runs/comparison)")
    parser.add_argument("--seeds", type=int, default=3, metavar="N", help="runs of each recipe (default 3)")
    parser.add_argument("--budget", type=int, required=True, metavar="STEPS", help="training steps of each run")
    add_options(parser, "workers", "device")
    add_backbone_weights(parser)


def run(args: argparse.Namespace) -> int:
    from alrp_ref.detection.recipes import get_recipe
    from alrp_ref.reports import write_comparison
    from alrp_ref.reports.comparison import results, summary
    from alrp_ref.training import compare

    options = options_of(args, steps=args.budget, **backbone_of(args, get_recipe(args.recipes[0])))
    compared = compare(args.recipes, layout_of(args), args.out, options, seeds=args.seeds)
    columns = [(name, values) for name, *values in zip(*summary(results(compared.runs)), strict=True)]
    print(f"\n{as_table(columns)}\n\nPage: {write_comparison(compared, args.out)}")
    return 0
