"""Fields of settings: each has the type that is written beside it, lies in its range, and is documented below it."""

import ast
import inspect
import math
import os
from collections.abc import Collection
from dataclasses import fields
from functools import cache
from itertools import pairwise
from types import NoneType, UnionType
from typing import Literal, TypeVar, Union, get_args, get_origin, get_type_hints

T = TypeVar("T")
UNIONS = (UnionType, Union)  # int | None, and Literal["a"] | None


@cache
def field_docs(settings: type) -> dict[str, str]:
    """The docstring below each field of a dataclass, by the field's name; empty without the source file."""
    try:
        body = ast.parse(inspect.getsource(settings)).body[0].body
    except OSError:
        return {}
    return {
        one.target.id: " ".join(text.value.value.split())
        for one, text in pairwise(body)
        if isinstance(one, ast.AnnAssign) and isinstance(text, ast.Expr)
    }


def documented(settings: type[T]) -> type[T]:
    """Decorate a dataclass so that `help` shows the docstrings of its fields, too."""
    lines = [f"    {name}: {text}" for name, text in field_docs(settings).items()]
    settings.__doc__ += "\n\n" + "\n".join(["Fields:", *lines])
    return settings


def check_fields(
    settings: object,
    *,
    above_zero: Collection[str] = (),
    not_negative: Collection[str] = (),
    may_be_empty: Collection[str] = (),
) -> None:
    """Raise ValueError, naming the field, what it may be and what it got, unless all fields of a dataclass are valid.

    Args: `above_zero`, `not_negative`, the fields whose numbers must be so; `may_be_empty`, tuples that may be.
    """
    kinds = get_type_hints(type(settings))
    for name in (field.name for field in fields(settings)):
        value, kind = getattr(settings, name), kinds[name]
        if not _is_of_kind(value, kind):
            raise ValueError(f"{name} must be {_in_words(kind)}, got {value!r}")
        numbers = () if value is None else value if isinstance(value, tuple) else (value,)
        if isinstance(value, tuple) and not value and name not in may_be_empty:
            raise ValueError(f"{name} must hold at least one number, got {value!r}")
        if name in above_zero and not all(number > 0 for number in numbers):
            raise ValueError(f"{name} must be above 0, got {value!r}")
        if name in not_negative and not all(number >= 0 for number in numbers):
            raise ValueError(f"{name} must not be negative, got {value!r}")


def _is_of_kind(value: object, kind: object) -> bool:
    """Whether a value has an annotated type. An int is also a float. Floats must be finite. A bool is not a number."""
    if get_origin(kind) is Literal:
        return isinstance(value, str) and value in get_args(kind)
    if get_origin(kind) in UNIONS:
        return any(_is_of_kind(value, one) for one in get_args(kind))
    if get_origin(kind) is tuple:
        kinds = get_args(kind)
        if not isinstance(value, tuple):
            return False
        kinds = kinds[:1] * len(value) if kinds[-1] is Ellipsis else kinds
        return len(value) == len(kinds) and all(map(_is_of_kind, value, kinds))
    if kind is float:
        return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, kind)


def _in_words(kind: object) -> str:
    if get_origin(kind) is Literal:
        return f"one of {', '.join(get_args(kind))}"
    if get_origin(kind) in UNIONS:
        return " or ".join(map(_in_words, get_args(kind)))
    if get_origin(kind) is tuple:
        one, *others = get_args(kind)
        number = "" if Ellipsis in others else f"{1 + len(others)} "
        return f"a tuple of {number}{'whole ' if one is int else ''}numbers"
    words = {int: "a whole number", float: "a finite number", str: "a word", bool: "True or False", NoneType: "None"}
    words |= {os.PathLike: "a path"}
    return words[kind] if kind in words else kind.in_words()
