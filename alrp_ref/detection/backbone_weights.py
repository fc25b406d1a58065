"""Weights of a backbone: torchvision's, by download, or those of a file that torchvision, timm, DDP or MoCo wrote."""

import os
import pickle
from collections.abc import Mapping
from http.client import HTTPException
from pathlib import Path
from urllib.error import HTTPError, URLError

import torch
from torch import Tensor, nn
from torchvision import models

from alrp_ref.detection.torch_file import read_torch_file, state_dict_in
from alrp_ref.machine.fetch import proxy_in_words
from alrp_ref.machine.files import DataError


def download_weights(name: str) -> dict[str, Tensor]:
    """The first ImageNet weights of torchvision's model `name`, from torch's cache or by download.

    Raises: DataError that names the damaged file, or the address and the proxy.
    """
    weights = models.get_model_weights(name)["IMAGENET1K_V1"]
    file = Path(torch.hub.get_dir(), "checkpoints", weights.url.rsplit("/", 1)[-1])
    other = "or give the weights by --backbone-weights FILE"
    try:
        return weights.get_state_dict(progress=True, check_hash=True, weights_only=True)
    except (URLError, TimeoutError, ConnectionError, HTTPException) as error:  # an HTTPError is a URLError
        reason = f"{error.code} {error.reason}" if isinstance(error, HTTPError) else getattr(error, "reason", error)
        raise DataError(f"{weights.url}: no download ({reason}){proxy_in_words(weights.url)}; {other}") from error
    except OSError as error:
        raise DataError(
            f"{file} cannot be written: {error.strerror or error}; set TORCH_HOME to a folder with room, {other}"
        ) from error
    except (RuntimeError, EOFError, ValueError, KeyError, pickle.UnpicklingError) as error:
        if file.exists():
            raise DataError(
                f"{file} is damaged, as after a download that was cut off: delete it, and give the same command again"
            ) from error
        raise DataError(
            f"{weights.url}: what arrived is another file, of a proxy or a login perhaps{proxy_in_words(weights.url)}; "
            f"see what a browser shows there, {other}"
        ) from error


def load_weights_file(network: nn.Module, path: str | os.PathLike) -> None:
    """Load the weights of a network whose names are torchvision's from a file.

    The state dict may stand under a name such as "state_dict", and its names may begin with "module.",
    "module.encoder_q." or anything else that is the same for all; what a file holds beside, such as a classifier, is
    not read.

    Raises: DataError for a file that cannot be read, or that holds weights of another network.
    """
    path = Path(path)
    state = state_dict_in(read_torch_file(path, "a state dict with torchvision's names"))
    wanted = network.state_dict()
    prefix = _prefix(state, wanted)
    parts = {name.split(".")[0] for name in wanted}
    found = {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
    found = {name: value for name, value in found.items() if name.split(".")[0] in parts}
    try:
        network.load_state_dict(found)  # which adds what batch norms of torch 0.4 did not count
    except RuntimeError as error:
        reasons = [line.strip() for line in str(error).splitlines()[1:]]
        raise DataError(
            f"{path} does not hold weights of this backbone: {' '.join(f'{reason:.200}' for reason in reasons)}"
        ) from error


def _prefix(state: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> str:
    """What stands before the names: of those before the first wanted name, the one with which most of them are there.

    Of two encoders, MoCo's "module.encoder_q." and "module.encoder_k.", the first in the file is taken.
    """
    first = next(iter(wanted))
    prefixes = [name.removesuffix(first) for name in state if name == first or name.endswith(f".{first}")]
    return max(prefixes, key=lambda prefix: sum(prefix + name in state for name in wanted), default="")
