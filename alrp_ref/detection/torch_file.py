"""Read what `torch.save` wrote: only tensors, numbers and texts, compared with their checksums."""

import argparse
import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from alrp_ref.machine.files import DataError

WRAPPERS = ("state_dict", "model", "model_state_dict", "state_dict_ema", "teacher")
"""Names by which training programs save the state dict beside other things."""


def read_torch_file(path: Path, wanted: str) -> dict[str, Any]:
    """The dictionary that a file of `torch.save` holds; `wanted` says what to give instead, if it is none.

    No code in it runs. Raises: DataError, naming the file and the cure.
    """
    if not path.is_file():
        raise DataError(f"{path} is {'a folder' if path.exists() else 'missing'}: give {wanted}")
    try:
        _check_sums(path)
        with torch.serialization.safe_globals([argparse.Namespace]):  # timm and others keep their options beside
            content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:  # torch's own message advises to load it without the safety check
        raise DataError(f"{path} is not a checkpoint: {_instead(path)}; give {wanted}") from error
    except (RuntimeError, OSError, EOFError, ValueError, KeyError, AttributeError, zipfile.BadZipFile) as error:
        reason = str(error) or "it ends too early"  # the error for an empty file has no message
        raise DataError(f"{path} cannot be read as a checkpoint: {reason.splitlines()[0]}") from error
    if not isinstance(content, dict):
        raise DataError(f"{path} is not a checkpoint: it holds a {type(content).__name__}; give {wanted}")
    return content


def state_dict_in(content: Mapping[str, Any]) -> dict[str, Tensor]:
    """The tensors of a model by their names, from what `read_torch_file` returns."""
    for name in WRAPPERS:
        if isinstance(content.get(name), Mapping):
            return state_dict_in(content[name])
    return {name: value for name, value in content.items() if isinstance(name, str) and isinstance(value, Tensor)}


def _check_sums(path: Path) -> None:
    """Verify the CRC-32 of each tensor. torch.save writes it, but torch.load does not verify it."""
    if not zipfile.is_zipfile(path):
        return  # the format before torch 1.6 has no checksums; torch.load reports anything else
    with zipfile.ZipFile(path) as file:
        if (altered := file.testzip()) is not None:
            raise DataError(f"{path} was altered since it was written, or is damaged: {altered} is not what it was")


def _instead(path: Path) -> str:
    """What a file is that torch cannot read without running code."""
    with open(path, "rb") as file:
        head = file.read(64).lstrip()
    if head[:1] == b"<":
        return "it is a web page, of a proxy or a login perhaps"
    if head.startswith(b"version https://git-lfs"):
        return "it is git-lfs's note of a file, which `git lfs pull` fetches"
    return "it is damaged, or holds more than tensors and numbers, as a whole model does: save its state_dict()"
