"""The released models' checkpoints: their names for our parameters."""

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from alrp_ref.detection.retinanet import RetinaNet

_RENAMED = (
    (r"backbone\.(.+)", r"backbone.body.\1"),  # a ResNet's layers have torchvision's names
    (r"neck\.lateral_convs\.(\d)\.conv\.(.+)", r"fpn.inner_blocks.\1.0.\2"),
    (r"neck\.fpn_convs\.([0-2])\.conv\.(.+)", r"fpn.layer_blocks.\1.0.\2"),
    (r"neck\.fpn_convs\.3\.conv\.(.+)", r"fpn.extra_blocks.p6.\1"),
    (r"neck\.fpn_convs\.4\.conv\.(.+)", r"fpn.extra_blocks.p7.\1"),
    (r"bbox_head\.(?:retina|fovea)_cls\.(.+)", r"head.cls_logits.\1"),
    (r"bbox_head\.(?:retina|fovea)_reg\.(.+)", r"head.box_deltas.\1"),
)


def our_name(official: str) -> str | None:
    """The name in our state dict of a tensor of the released format; None if the format has no such tensor."""
    if tower := re.fullmatch(r"bbox_head\.(cls|reg)_convs\.(\d)\.conv\.(.+)", official):
        branch, i, rest = tower.groups()
        return f"head.{'cls' if branch == 'cls' else 'box'}_tower.{2 * int(i)}.{rest}"  # a ReLU after each
    for pattern, replacement in _RENAMED:
        if re.fullmatch(pattern, official):
            return re.sub(pattern, replacement, official)
    return None


def load_official_checkpoint(model: RetinaNet, state_dict: Mapping[str, Any]) -> None:
    """Load a released model into the detector of the same recipe.

    Args:
        model: what `build_detector` makes of the recipe; its dtype and device stay.
        state_dict: the release's names -> tensors, or the released file's content, which holds them as "state_dict".

    Raises: ValueError that lists unknown and missing names and shapes that differ; the model is then unchanged.
    """
    state_dict = state_dict.get("state_dict", state_dict)
    wanted = {name: tensor for name, tensor in model.state_dict().items() if not name.startswith("criterion.")}
    found: dict[str, Tensor] = {}
    problems = []
    for official, tensor in state_dict.items():
        name = our_name(official)
        if name not in wanted:
            problems.append(f"unknown: {official}")
            continue
        found[name] = tensor
        if tensor.shape != wanted[name].shape:
            problems.append(f"shape: {official} is {tuple(tensor.shape)}, {name} needs {tuple(wanted[name].shape)}")
    problems += [f"missing: {name}" for name in wanted if name not in found]
    if problems:
        raise ValueError(
            f"the checkpoint does not fit {model.recipe.name} with {model.num_classes} classes:\n  "
            + "\n  ".join(problems)
        )
    for name, tensor in wanted.items():
        tensor.copy_(found[name])
