"""Begin from another detector's weights: what fits is loaded, what does not is listed."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from alrp_ref.detection.detector import Detector
from alrp_ref.detection.official_weights import our_name
from alrp_ref.detection.torch_file import read_torch_file, state_dict_in
from alrp_ref.machine.files import DataError

CLASS_LAYERS = ("head.cls_logits.", "cls_logits.", "box_deltas.")
"""Layers with outputs for each class: RetinaNet's and FoveaBox's classification, both of Faster R-CNN's stage 2."""

LISTED = 12  # names of tensors in a line


def load_initial_weights(model: Detector, path: str | os.PathLike, class_names: Sequence[str]) -> str:
    """Load what fits of another detector: of a `checkpoint.pt` of ours, or a `.pth` of the release.

    The layers with outputs for each class are loaded only if the classes are the same ones in the same order, as far as
    the file names them. The self-balance begins anew: it belongs to the training, not to the detector.

    Args: `model`, which is changed; `class_names`, those that it will be trained on.
    Returns: what was loaded and what not, in words.
    Raises: DataError for a file that cannot be read, or a detector with another backbone.
    """
    path = Path(path)
    content = read_torch_file(path, "a checkpoint.pt of `alrp train`, or a .pth file of the release")
    theirs = _by_our_names(state_dict_in(content), model)
    wanted = {name: tensor for name, tensor in model.state_dict().items() if "criterion." not in name}
    classes = _classes(content)
    other_classes = classes is not None and classes != list(class_names)
    faults = {name: _fault(name, tensor, theirs, other_classes) for name, tensor in wanted.items()}
    fitting = [name for name, fault in faults.items() if fault is None]
    _refuse_other_backbone(path, faults)
    with torch.no_grad():
        for name in fitting:
            wanted[name].copy_(theirs[name])
    unknown = [name for name in theirs if name not in wanted and "criterion." not in name]
    lines = [f"begins from {path}: {len(fitting)} of {len(wanted)} tensors of the detector are loaded"]
    for reason in dict.fromkeys(fault for fault in faults.values() if fault is not None):
        lines.append(f"  not loaded, {reason}: {_listed([name for name in faults if faults[name] == reason])}")
    if unknown:
        lines.append(f"  not loaded, unknown here: {_listed(unknown)}")
    return "\n".join(lines)


def _by_our_names(state: Mapping[str, Tensor], model: Detector) -> dict[str, Tensor]:
    """A state dict of ours or of the release, also of a model that was wrapped for many GPUs."""
    ours, found = model.state_dict(), {}
    for name, tensor in state.items():
        bare = name.removeprefix("module.")
        found[bare if bare in ours else our_name(bare, len(model.fpn.inner_blocks)) or bare] = tensor
    return found


def _classes(content: Mapping[str, Any]) -> list[str] | None:
    """The classes that a checkpoint names, ours or the release's; None if it names none."""
    meta = content.get("meta")
    names = content.get("class_names") or (meta.get("CLASSES") if isinstance(meta, Mapping) else None)
    return list(names) if isinstance(names, list | tuple) else None


def _fault(name: str, tensor: Tensor, theirs: Mapping[str, Tensor], other_classes: bool) -> str | None:
    """Why a tensor cannot be loaded; None if it can."""
    if name not in theirs:
        return "not in the file"
    if other_classes and name.startswith(CLASS_LAYERS):
        return "since the classes are others"
    return None if theirs[name].shape == tensor.shape else "of another shape"


def _refuse_other_backbone(path: Path, faults: Mapping[str, str | None]) -> None:
    """Raise DataError unless the whole backbone fits: frozen layers with random weights would spoil any training."""
    unfit = [
        name
        for name, fault in faults.items()
        if fault is not None and name.startswith("backbone.") and not name.endswith("num_batches_tracked")
    ]
    if unfit:
        raise DataError(
            f"{path} does not fit the recipe: its backbone is another one. Not in it, or of another "
            f"shape: {_listed(unfit)}"
        )


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return ", ".join(names[:LISTED]) + more
