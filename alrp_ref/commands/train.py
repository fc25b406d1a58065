"""`alrp train`: a detector, by a recipe."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from alrp_ref.commands.arguments import (
    Parsers,
    add_backbone_weights,
    add_options,
    backbone_of,
    new_command,
    options_of,
)
from alrp_ref.commands.data import add_data, layout_of

if TYPE_CHECKING:
    from alrp_ref.detection import Recipe


def add(parsers: Parsers) -> None:
    text = "train a detector on data in COCO's layout; the same command again resumes"
    parser = new_command(parsers, "train", run, text, resumes="resume from the last checkpoint")
    parser.add_argument("--recipe", required=True, help="name of a recipe; `alrp recipes` lists them")
    add_data(parser)
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder of the run (default runs/RECIPE)")
    parser.add_argument(
        "--batch-size", type=int, metavar="N", help="images per step, over all processes; rescales the learning rate"
    )
    parser.add_argument("--lr", type=float, metavar="X", help="learning rate; not rescaled by --batch-size")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="FIELD=VALUE",
        help="change a field of the recipe, or an option of its loss by loss.OPTION=VALUE; may be given several times",
    )
    add_options(parser.add_mutually_exclusive_group(), "steps", "epochs")
    start = parser.add_mutually_exclusive_group()
    add_backbone_weights(start)
    add_options(start, "init_from")
    add_options(parser, "accumulate", "precision", "eval_every", "keep_best", "workers", "cache", "device", "seed")


def run(args: argparse.Namespace) -> int:
    from alrp_ref.reports import write_report
    from alrp_ref.training import train

    recipe = _recipe(args)
    options = options_of(args, **({} if args.init_from else backbone_of(args, recipe)))
    out, data = args.out or Path("runs") / recipe.name, layout_of(args)
    _, metrics = train(recipe, data, out, options)
    if metrics is not None:
        print(f"\n{metrics}\n\nReport: {write_report(out, data)}")
    return 0


def _recipe(args: argparse.Namespace) -> "Recipe":
    """The recipe with all that the command line changes."""
    from dataclasses import replace

    from alrp_ref.detection.recipes import get_recipe, with_changes
    from alrp_ref.training.plan import with_batch_size

    recipe = with_changes(get_recipe(args.recipe), args.set)
    if args.batch_size is not None:
        before, recipe = recipe, with_batch_size(recipe, args.batch_size)
        print(
            f"learning rate {recipe.lr:g} for a batch of {recipe.batch_size}, "
            f"in proportion to {before.lr:g} for {before.batch_size}"
        )
    return recipe if args.lr is None else replace(recipe, lr=args.lr)
