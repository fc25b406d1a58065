"""The released detectors' weights, inputs and numbers, made again from the names of their tensors.

The numbers themselves, in tests/numbers/, were printed by the official release, run on a CPU in float64.
"""

import json
import zlib
from math import prod, sqrt
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

DATA = Path(__file__).parents[1] / "numbers"
HEIGHT, WIDTH = 256, 320


def expected(name: str) -> dict[str, Any]:
    """What the release printed for the detector of a recipe, or for "trajectory"."""
    return json.loads((DATA / f"official_{name}.json").read_text())


def expected_detections(recipe: str) -> list[dict[str, Tensor]]:
    """The detections of the release on `images`, in our format."""
    with np.load(DATA / f"official_{recipe}.npz") as file:
        found = [(torch.from_numpy(file[f"det{i}"]), torch.from_numpy(file[f"lab{i}"])) for i in range(2)]
    return [{"boxes": det[:, :4], "scores": det[:, 4], "labels": label} for det, label in found]


def images() -> Tensor:
    return torch.from_numpy(_random("image").standard_normal((2, 3, HEIGHT, WIDTH)))


def targets() -> list[dict[str, Tensor]]:
    random, size = _random("boxes"), np.array([WIDTH, HEIGHT])
    made = []
    for k in (4, 5):
        extent = random.uniform(0.12, 0.7, (k, 2)) * size
        corner = random.uniform(0, 1, (k, 2)) * (size - extent)
        boxes = np.concatenate([corner, corner + extent], axis=1)
        made.append({"boxes": torch.from_numpy(boxes), "labels": torch.from_numpy(random.randint(0, 80, k))})
    return made


def state_dict(shapes: dict[str, list[int]]) -> dict[str, Tensor]:
    """A checkpoint in the released format, every value drawn from a seed that is the tensor's name."""
    return {name: _weight(name, tuple(shape)) for name, shape in shapes.items()}


def _weight(name: str, shape: tuple[int, ...]) -> Tensor:
    if name.endswith("num_batches_tracked"):
        return torch.tensor(0)
    z = torch.from_numpy(_random(name).standard_normal(prod(shape))).reshape(shape)
    if name.endswith("running_var"):
        return 1 + 0.1 * z.abs()
    if name.endswith("running_mean"):
        return 0.1 * z
    if name.endswith("bias"):
        return 0.05 * z - (2.0 if name.endswith(("retina_cls.bias", "fovea_cls.bias", "fc_cls.bias")) else 0.0)
    if len(shape) == 1:
        return (0.3 if ".bn3." in name else 1.0) + 0.1 * z
    return z * sqrt(_gain(name) / prod(shape[1:]))


def _gain(name: str) -> float:
    if name.endswith("_reg.weight"):
        return 0.5
    if "conv_offset" in name:
        return 0.05
    return 0.02 if name.startswith(("neck.lateral_convs", "neck.fpn_convs.3.")) else 2.0


def _random(name: str) -> np.random.RandomState:
    return np.random.RandomState(zlib.crc32(f"alpha/{name}".encode()))
