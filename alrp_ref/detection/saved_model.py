"""Save and load trained detectors, with atomic writes. Load the models of the release."""

import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from alrp_ref.detection.build import build_detector
from alrp_ref.detection.criteria import UnknownCriterion
from alrp_ref.detection.detector import Detector
from alrp_ref.detection.former_recipes import converted
from alrp_ref.detection.official_weights import load_official_checkpoint
from alrp_ref.detection.recipes import Recipe, as_data, from_data
from alrp_ref.detection.torch_file import read_torch_file
from alrp_ref.machine.files import DataError, write_atomic

FORMAT = 1
PARTS = {"recipe": dict, "class_names": list, "category_ids": list, "model": dict}


def save_checkpoint(path: Path, content: dict[str, Any]) -> None:
    """Write `content` atomically: the file is complete or unchanged. Raises: DataError if the disk is full."""
    buffer = io.BytesIO()
    torch.save({"format": FORMAT, **content}, buffer)
    write_atomic(path, buffer.getbuffer())


def describe(model: Detector, category_ids: list[int]) -> dict[str, Any]:
    """The part of a checkpoint that defines the detector, without its weights."""
    return {
        "recipe": as_data(model.recipe),
        "criterion": model.custom_criterion,
        "class_names": model.class_names,
        "category_ids": category_ids,
    }


def load_checkpoint(path: str | os.PathLike) -> dict[str, Any]:
    """Read a checkpoint; recipes of earlier versions are converted, see `former_recipes`.

    Raises: DataError, naming the file, if it is missing, not one of ours, or of a loss that cannot be known.
    """
    content = read_torch_file(Path(path), "the checkpoint.pt that `alrp train` wrote")
    if content.get("format") != FORMAT:
        raise DataError(f"{path} is not a checkpoint of `alrp train` (format {FORMAT})")
    wrong = [name for name, kind in PARTS.items() if not isinstance(content.get(name), kind)]
    if wrong:
        raise DataError(f"{path} is not a checkpoint of `alrp train`: its {', '.join(wrong)} is missing or damaged")
    try:
        recipe = converted(content["recipe"], content["model"])
    except ValueError as error:
        raise DataError(f"{path} cannot be read: {error}") from error
    return {"criterion": None} | content | {"recipe": recipe}


def load_model(path: str | os.PathLike) -> tuple[Detector, dict[str, Any]]:
    """The trained detector in evaluation mode, and the rest of its checkpoint.

    A detector with a criterion of somebody's own (`build_detector(criterion=...)`) comes without it: in training mode
    it raises ValueError, naming the criterion, until `model.criterion` is set.

    Raises: DataError, naming the file, if it is missing, not a checkpoint, or does not fit this version's recipe.
    """
    content = load_checkpoint(path)
    custom, num_classes = content["criterion"], len(content["class_names"])
    try:
        recipe = from_data(content["recipe"])
        model = build_detector(recipe, num_classes, criterion=None if custom is None else UnknownCriterion(custom))
    except (ValueError, TypeError) as error:
        raise DataError(f"{path} does not fit this version: {error}") from error
    model.custom_criterion = custom
    try:
        model.load_state_dict(content["model"])
    except RuntimeError as error:
        raise DataError(f"{path} does not fit its recipe: {error}") from error
    model.class_names = content["class_names"]
    return model.eval(), content


def save_model(path: Path, model: Detector, category_ids: list[int]) -> None:
    """Write a checkpoint for `load_model`, without the optimiser: training cannot be resumed from it.

    Of a criterion of your own, the checkpoint holds the name of its class and not its weights.
    """
    is_left_out = "criterion." if model.custom_criterion is not None else ()
    weights = {name: value for name, value in model.state_dict().items() if not name.startswith(is_left_out)}
    save_checkpoint(path, describe(model, category_ids) | {"model": weights})


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
