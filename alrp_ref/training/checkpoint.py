"""One file that holds all a run needs to go on, written so that a crash never leaves half of it."""

import io
import os
import pickle
import zipfile
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import torch
from torch.optim import Optimizer

from alrp_ref.coco import CocoDataset, DataError
from alrp_ref.coco.files import write_whole
from alrp_ref.detection import Recipe, build_detector, load_official_checkpoint
from alrp_ref.detection.detector import Detector

FORMAT = 1
PARTS = {"recipe": dict, "class_names": list, "category_ids": list, "model": dict}


def save_checkpoint(path: Path, content: dict[str, Any]) -> None:
    """Write `content` to a file that is whole or not there. Raises: DataError, if there is no room for it."""
    buffer = io.BytesIO()
    torch.save({"format": FORMAT, **content}, buffer)
    write_whole(path, buffer.getbuffer())


def describe(model: Detector, category_ids: list[int]) -> dict[str, Any]:
    """What defines a detector apart from its weights, as plain values."""
    return {"recipe": asdict(model.recipe), "class_names": model.class_names, "category_ids": category_ids}


def load_checkpoint(path: str | os.PathLike) -> dict[str, Any]:
    """Read a checkpoint. Raises: DataError, naming the file, if it is missing or not one of ours."""
    content = _read(Path(path), "the checkpoint.pt that `alrp train` wrote")
    if content.get("format") != FORMAT:
        raise DataError(f"{path} is not a checkpoint of `alrp train` (format {FORMAT})")
    wrong = [name for name, kind in PARTS.items() if not isinstance(content.get(name), kind)]
    if wrong:
        raise DataError(f"{path} is not a checkpoint of `alrp train`: its {', '.join(wrong)} is missing or damaged")
    return content


def _read(path: Path, wanted: str) -> dict[str, Any]:
    if not path.is_file():
        raise DataError(f"{path} is {'a folder' if path.exists() else 'missing'}: give {wanted}")
    try:
        _check_sums(path)
        content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:  # whose message advises to load it all the same
        raise DataError(f"{path} is not a checkpoint: it is damaged, or holds more than tensors and numbers") from error
    except (RuntimeError, OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile) as error:
        reason = str(error) or "it ends too early"  # the error for an empty file has no message
        raise DataError(f"{path} cannot be read as a checkpoint: {reason.splitlines()[0]}") from error
    if not isinstance(content, dict):
        raise DataError(f"{path} is not a checkpoint: it holds a {type(content).__name__}; give {wanted}")
    return content


def _check_sums(path: Path) -> None:
    """Compare each tensor's bytes with the checksum that lies beside them: torch writes it, and does not look."""
    if not zipfile.is_zipfile(path):
        return  # the format of before torch 1.6 has no sums; and what is no checkpoint at all, torch says best
    with zipfile.ZipFile(path) as file:
        if (altered := file.testzip()) is not None:
            raise DataError(f"{path} was altered since it was written, or is damaged: {altered} is not what it was")


def check_same(path: Path, saved: dict[str, Any], wanted: dict[str, Any]) -> None:
    """Raise DataError, listing what differs, unless a checkpoint belongs to the run that wants to go on from it."""
    differences = []
    for key, value in wanted.items():
        old = saved.get(key)
        if isinstance(value, dict) and isinstance(old, dict):
            parts = [(f"{key}.{k}", old.get(k), v) for k, v in value.items()]
        else:
            parts = [(key, old, value)]
        differences += [f"{name}: {was!r:.60} there, {now!r:.60} now" for name, was, now in parts if was != now]
    if differences:
        raise DataError(
            f"{path} is from another run; give another --out, or the same settings:\n  " + "\n  ".join(differences)
        )


def resume(path: Path, identity: dict[str, Any], model: Detector, optimiser: Optimizer, total_steps: int) -> int:
    """Read a run's checkpoint, if there is one, into its model and optimiser; return the step to go on from.

    Raises: DataError if it is of another run, or damaged.
    """
    if not path.exists():
        return 0
    saved = load_checkpoint(path)
    check_same(path, saved, identity)
    step = saved.get("step")
    try:
        if not isinstance(step, int) or not 0 <= step <= total_steps:
            raise ValueError(f"it says that it was written after {step!r} of {total_steps} steps")
        model.load_state_dict(saved["model"])
        optimiser.load_state_dict(saved.get("optimiser"))
    except (RuntimeError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{path} is damaged: {error}; move it away to begin anew") from error
    return step


def load_model(path: str | os.PathLike) -> tuple[Detector, dict[str, Any]]:
    """The trained detector in evaluation mode, and the rest of its checkpoint.

    Raises: DataError, naming the file, if it is missing, not a checkpoint, or does not fit this version's recipe.
    """
    content = load_checkpoint(path)
    known = {field.name for field in fields(Recipe)}
    if unknown := content["recipe"].keys() - known:
        raise DataError(f"{path} was written by another version: its recipe has {', '.join(sorted(unknown))}")
    # A tuple stays one on its way through a file; nothing else of a recipe could change.
    model = build_detector(Recipe(**content["recipe"]), num_classes=len(content["class_names"]))
    try:
        model.load_state_dict(content["model"])
    except RuntimeError as error:
        raise DataError(f"{path} does not fit its recipe: {error}") from error
    model.class_names = content["class_names"]
    return model.eval(), content


def save_model(path: Path, model: Detector, category_ids: list[int]) -> None:
    """Write what `load_model` reads; there is no training to go on with."""
    save_checkpoint(path, describe(model, category_ids) | {"model": model.state_dict()})


def load_official_model(path: str | os.PathLike, recipe: str | Recipe, data: CocoDataset) -> Detector:
    """A detector of the release, read from its `.pth` file, in evaluation mode.

    Args: `path` of the file; the `recipe` of its configuration; `data`, whose classes it detects, in their order.
    Raises: DataError, naming the file, if it is missing or damaged; ValueError, listing names and shapes, if it is of
        another configuration.
    """
    model = build_detector(recipe, num_classes=len(data.class_names))
    load_official_checkpoint(model, _read(Path(path), "a .pth file of the release"))
    model.class_names = data.class_names
    return model.eval()
