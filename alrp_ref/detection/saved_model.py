"""Save and load trained detectors, with atomic writes. Load the models of the release."""

import io
import os
from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import torch

from alrp_ref.detection.build import build_detector
from alrp_ref.detection.detector import Detector
from alrp_ref.detection.official_weights import load_official_checkpoint
from alrp_ref.detection.recipes import Recipe
from alrp_ref.detection.torch_file import read_torch_file
from alrp_ref.machine.files import DataError, write_atomic

FORMAT = 1
FORMER_FIELDS = {"optimizer"}
"""Unused fields of recipes that earlier versions saved; they are ignored."""
PARTS = {"recipe": dict, "class_names": list, "category_ids": list, "model": dict}


def save_checkpoint(path: Path, content: dict[str, Any]) -> None:
    """Write `content` atomically: the file is complete or unchanged. Raises: DataError if the disk is full."""
    buffer = io.BytesIO()
    torch.save({"format": FORMAT, **content}, buffer)
    write_atomic(path, buffer.getbuffer())


def describe(model: Detector, category_ids: list[int]) -> dict[str, Any]:
    """The part of a checkpoint that defines the detector, without its weights."""
    return {"recipe": asdict(model.recipe), "class_names": model.class_names, "category_ids": category_ids}


def load_checkpoint(path: str | os.PathLike) -> dict[str, Any]:
    """Read a checkpoint. Raises: DataError, naming the file, if it is missing or not one of ours."""
    content = read_torch_file(Path(path), "the checkpoint.pt that `alrp train` wrote")
    if content.get("format") != FORMAT:
        raise DataError(f"{path} is not a checkpoint of `alrp train` (format {FORMAT})")
    wrong = [name for name, kind in PARTS.items() if not isinstance(content.get(name), kind)]
    if wrong:
        raise DataError(f"{path} is not a checkpoint of `alrp train`: its {', '.join(wrong)} is missing or damaged")
    return content


def load_model(path: str | os.PathLike) -> tuple[Detector, dict[str, Any]]:
    """The trained detector in evaluation mode, and the rest of its checkpoint.

    Raises: DataError, naming the file, if it is missing, not a checkpoint, or does not fit this version's recipe.
    """
    content = load_checkpoint(path)
    known = {field.name for field in fields(Recipe)}
    recipe = {name: value for name, value in content["recipe"].items() if name not in FORMER_FIELDS}
    if unknown := recipe.keys() - known:
        raise DataError(f"{path} was written by another version: its recipe has {', '.join(sorted(unknown))}")
    # torch.save keeps tuples as tuples, so the saved fields can be used as they are.
    model = build_detector(Recipe(**recipe), num_classes=len(content["class_names"]))
    try:
        model.load_state_dict(content["model"])
    except RuntimeError as error:
        raise DataError(f"{path} does not fit its recipe: {error}") from error
    model.class_names = content["class_names"]
    return model.eval(), content


def save_model(path: Path, model: Detector, category_ids: list[int]) -> None:
    """Write a checkpoint for `load_model`, without the optimiser: training cannot be resumed from it."""
    save_checkpoint(path, describe(model, category_ids) | {"model": model.state_dict()})


def load_official_model(path: str | os.PathLike, recipe: str | Recipe, class_names: Sequence[str]) -> Detector:
    """A detector of the release, read from its `.pth` file, in evaluation mode.

    Args: `path` of the file; the `recipe` of its configuration; `class_names`, in the order of its outputs.
    Raises: DataError, naming the file, if it is missing or damaged; ValueError, listing names and shapes, if it is of
        another configuration.
    """
    model = build_detector(recipe, num_classes=len(class_names))
    load_official_checkpoint(model, read_torch_file(Path(path), "a .pth file of the release"))
    model.class_names = list(class_names)
    return model.eval()
