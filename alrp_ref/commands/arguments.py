"""Arguments that several commands share."""

import argparse
from collections.abc import Callable
from dataclasses import Field, fields
from pathlib import Path
from types import NoneType
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin, get_type_hints

from alrp_ref.detection.fields import field_docs
from alrp_ref.training.options import TrainOptions

if TYPE_CHECKING:
    from alrp_ref.detection import Recipe

Parsers = argparse._SubParsersAction


def new_command(
    parsers: Parsers,
    name: str,
    run: Callable[[argparse.Namespace], int],
    text: str,
    *,
    resumes: str = "",
    is_light: bool = False,
) -> argparse.ArgumentParser:
    """The parser of a new command.

    Args:
        run: what the command does; returns the exit code.
        text: a line for `alrp --help`.
        resumes: what the same command does after an interruption, if it resumes.
        is_light: whether it needs none of the packages that the detectors need.
    """
    parser = parsers.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
    parser.set_defaults(run=run, resumes=resumes, is_light=is_light)
    return parser


def add_options(parser: argparse._ActionsContainer, *names: str) -> None:
    """Add training options by their names: type, default and help are those of the fields of `TrainOptions`."""
    docs, kinds = field_docs(TrainOptions), get_type_hints(TrainOptions)
    for field in (field for field in fields(TrainOptions) if field.name in names):
        flag, text = "--" + field.name.replace("_", "-"), _help(field, docs.get(field.name, ""))
        parser.add_argument(flag, help=text, default=field.default, **_argument(kinds[field.name]))


def options_of(args: argparse.Namespace, **others: Any) -> TrainOptions:
    """The training options that a command line gives, and others. Raises: ValueError for a value out of range."""
    given = {field.name: getattr(args, field.name) for field in fields(TrainOptions) if hasattr(args, field.name)}
    return TrainOptions(**given, **others)


def add_backbone_weights(parser: argparse._ActionsContainer) -> None:
    """Add the option for the first weights of the backbone; `backbone_of` reads it."""
    parser.add_argument(
        "--backbone-weights",
        dest="backbone",
        default="imagenet",
        metavar="FILE",
        help='file with weights of the backbone, "imagenet" to download torchvision\'s (default), or "none"',
    )


def backbone_of(args: argparse.Namespace, recipe: "Recipe") -> dict[str, Any]:
    """The training options that `--backbone-weights` stands for."""
    if args.backbone in ("imagenet", "none"):
        return {"pretrained_backbone": args.backbone == "imagenet" and recipe.backbone != "tiny"}
    return {"backbone_weights": args.backbone}


def _help(field: Field, doc: str) -> str:
    """The first sentence about an option, as a line of help, and its default."""
    sentence = doc.split(". ")[0].removesuffix(".")
    default = "" if field.default is None or field.default is False else f" (default {field.default})"
    return sentence[:1].lower() + sentence[1:] + default


def _argument(kind: Any) -> dict[str, Any]:
    """What `add_argument` must know of the type of an option."""
    kind, *others = (one for one in get_args(kind) if one is not NoneType) if get_args(kind) else (kind,)
    if kind is bool:
        return {"action": "store_true"}
    if others:  # a word or a path
        return {"type": Path, "metavar": "FILE"}
    if get_origin(kind) is Literal:
        return {"choices": get_args(kind)}
    return {"type": kind, "metavar": {int: "N", float: "X", str: "NAME"}[kind]}
