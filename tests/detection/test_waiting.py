"""Where a training step asks the device for a value, so that a GPU is waited for: listed, with the reasons."""

import traceback
from collections import Counter
from pathlib import Path

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

import alrp_ref
from alrp_ref import checks
from alrp_ref.detection import build_detector

PACKAGE = Path(alrp_ref.__file__).parent
SHAPES_FROM_VALUES = {"nonzero", "masked_select", "_unique2", "unique_dim", "_local_scalar_dense", "equal"}

SCALAR, SHAPE = "_local_scalar_dense", "nonzero"
OF_ALL = {
    ("check_targets", SCALAR): "a box without an area must be named before anything is trained on it",
    ("assign", SHAPE): "the number of positives is the length of what follows",
}
ON_THE_CPU = "real_anchors"  # which locations are padding follows from sizes: small tensors that never leave the CPU
EXPECTED = {
    "alrp_tiny": OF_ALL,
    "ap_tiny": OF_ALL | {("examples", SHAPE): "no argument tells AP Loss the number of positives"},
}


class Reads(TorchDispatchMode):
    """Counts the operations whose result, or its shape, the host must wait for, by the function that asks."""

    def __init__(self):
        super().__init__()
        self.found = Counter()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.overloadpacket.__name__
        by_mask = name.startswith(("index", "_index")) and any(
            isinstance(index, torch.Tensor) and index.dtype == torch.bool
            for index in (args[1] if isinstance(args[1], list | tuple) else [])
        )
        if name in SHAPES_FROM_VALUES or by_mask:
            stack = [frame for frame in traceback.extract_stack() if Path(frame.filename).is_relative_to(PACKAGE)]
            frames = [frame for frame in stack if not frame.name.startswith("<")]
            self.found[frames[-1].name if frames else "autograd", name] += 1
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("recipe", EXPECTED)
def test_a_training_step_waits_for_the_device_only_where_it_must(recipe, monkeypatch):
    """Forward and backward of a detector, targets, assigner and criterion included."""
    monkeypatch.setattr(checks, "is_asynchronous", lambda tensor: True)  # as on a GPU
    model = build_detector(recipe, num_classes=3, self_balance_period=4).train()
    targets = [{"boxes": torch.tensor([[10.0, 10, 90, 90]]), "labels": torch.tensor([1])}] * 2
    with Reads() as reads:
        losses = model(torch.randn(2, 3, 160, 160), targets)
        sum(losses.values()).backward()
    assert {asked: 1 for asked in EXPECTED[recipe]} == {a: n for a, n in reads.found.items() if a[0] != ON_THE_CPU}
