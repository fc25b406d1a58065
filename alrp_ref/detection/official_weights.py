"""Load the released models' checkpoints: their parameter names, mapped to ours."""

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from alrp_ref.detection.detector import Detector

_RENAMED = (
    (r"backbone\.(.+)", r"backbone.body.\1"),  # a ResNet's layers have torchvision's names
    (r"neck\.lateral_convs\.(\d)\.conv\.(.+)", r"fpn.inner_blocks.\1.0.\2"),
    (r"bbox_head\.(?:retina|fovea)_cls\.(.+)", r"head.cls_logits.\1"),
    (r"bbox_head\.(?:retina|fovea)_reg\.(.+)", r"head.box_deltas.\1"),
    (r"rpn_head\.rpn_conv\.(.+)", r"rpn_head.conv.0.0.\1"),
    (r"rpn_head\.rpn_cls\.(.+)", r"rpn_head.cls_logits.\1"),
    (r"rpn_head\.rpn_reg\.(.+)", r"rpn_head.bbox_pred.\1"),
    (r"roi_head\.bbox_head\.shared_fcs\.0\.(.+)", r"box_head.fc6.\1"),
    (r"roi_head\.bbox_head\.shared_fcs\.1\.(.+)", r"box_head.fc7.\1"),
    (r"roi_head\.bbox_head\.fc_cls\.(.+)", r"cls_logits.\1"),
    (r"roi_head\.bbox_head\.fc_reg\.(.+)", r"box_deltas.\1"),
)


def our_name(official: str, laterals: int = 3) -> str | None:
    """The name in our state dict of a tensor of the released format; None if the format has no such tensor.

    Args: `laterals`, the number of feature maps that the pyramid takes from the backbone; further levels are extra.
    """
    if tower := re.fullmatch(r"bbox_head\.(cls|reg)_convs\.(\d)\.conv\.(.+)", official):
        branch, i, rest = tower.groups()
        return f"head.{'cls' if branch == 'cls' else 'box'}_tower.{2 * int(i)}.{rest}"  # a ReLU after each
    if level := re.fullmatch(r"neck\.fpn_convs\.(\d)\.conv\.(.+)", official):
        i, rest = int(level[1]), level[2]
        return f"fpn.layer_blocks.{i}.0.{rest}" if i < laterals else f"fpn.extra_blocks.p{3 + i}.{rest}"
    for pattern, replacement in _RENAMED:
        if re.fullmatch(pattern, official):
            return re.sub(pattern, replacement, official)
    return None


def load_official_checkpoint(model: Detector, state_dict: Mapping[str, Any]) -> None:
    """Load a released model into the detector of the same recipe.

    Args:
        model: from `build_detector`; its dtype and device are kept.
        state_dict: the release's names -> tensors, or the content of the released file, a dict with "state_dict".

    Raises: ValueError that lists unknown and missing names and shapes that differ; the model is then unchanged.
    """
    state_dict = state_dict.get("state_dict", state_dict)
    wanted = {name: tensor for name, tensor in model.state_dict().items() if "criterion." not in name}
    found: dict[str, Tensor] = {}
    problems = []
    for official, tensor in state_dict.items():
        name = our_name(official, len(model.fpn.inner_blocks))
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
