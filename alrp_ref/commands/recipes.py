"""`alrp recipes`: all recipes, or one in full."""

import argparse

from alrp_ref.commands.arguments import Parsers, new_command
from alrp_ref.commands.columns import as_table


def add(parsers: Parsers) -> None:
    parser = new_command(parsers, "recipes", run, "list the recipes, or print one in full", is_light=True)
    parser.add_argument("name", nargs="?", help="recipe to print")


def run(args: argparse.Namespace) -> int:
    print(_one(args.name) if args.name else _all())
    return 0


def _one(name: str) -> str:
    from alrp_ref.detection.recipes import get_recipe, settings

    shown = settings(get_recipe(name))
    width = max(map(len, shown))
    return "\n".join(f"{name:<{width}} {value}" for name, value in shown.items())


def _all() -> str:
    from alrp_ref.detection.recipes import RECIPES, RELEASED_AP

    recipes = RECIPES.values()
    columns = [
        ("recipe", [recipe.name for recipe in recipes]),
        ("backbone", [recipe.backbone for recipe in recipes]),
        ("assigner", [recipe.assigner for recipe in recipes]),
        ("loss", [type(recipe.loss).__name__ for recipe in recipes]),
        ("px", [recipe.train_size for recipe in recipes]),
        ("batch", [recipe.batch_size for recipe in recipes]),
        ("lr", [f"{recipe.lr:g}" for recipe in recipes]),
        ("epochs", [recipe.epochs for recipe in recipes]),
        ("AP", [RELEASED_AP.get(name, "-") for name in RECIPES]),
    ]
    return f"{as_table(columns)}\n\nAP: of the released model on COCO minival, from the README of the release."
