"""Where a training step makes the host wait for the device: listed, with the reasons, for every kind of detector.

The device is `meta`, whose tensors have no values: whoever asks for one is counted, and gets one that is made up.
"""

import contextlib
import sys
from collections import Counter
from pathlib import Path

import pytest
import torch
from detection.small import SMALL
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

import alrp_ref
from alrp_ref import checks
from alrp_ref.detection import build_detector
from alrp_ref.machine.distributed import Process
from alrp_ref.training.options import TrainOptions
from alrp_ref.training.prepare import make_learner, make_optimiser
from alrp_ref.training.step import training_step

PACKAGE = Path(alrp_ref.__file__).parent
ROWS = 20
"""The made-up length of a result whose shape depends on values."""

ONE_STAGE = {("assign", "nonzero"): "the number of positives is the length of what follows"}
RANKING = {
    **{where: f"{reason}, in each stage" for where, reason in ONE_STAGE.items()},
    ("proposals", "nms"): "how many proposals are left is what non-maximum suppression finds",
    ("proposals", "_to_copy"): "torchvision's suppression copies a constant",
    ("losses", "index"): "proposals that are ignored are left out",
    ("pool", "nonzero"): "each level pools the proposals that fit it",
}
SAMPLING = RANKING | {
    ("assign", "nonzero"): "the same, and positives and negatives are drawn at random",
    ("forward", "index"): "cross entropy is of the examples that were drawn",
}
FOCAL = ONE_STAGE | {("forward", "index"): "focal loss is of the anchors that are not ignored"}
REASONS = {
    "alrp_tiny": ONE_STAGE,
    "ap_tiny": ONE_STAGE,
    "rs_tiny": ONE_STAGE,
    "focal_tiny": FOCAL,
    "iou": ONE_STAGE,
    "alrp_fovea": ONE_STAGE,
    "ap_fovea": ONE_STAGE,
    "focal_fovea": FOCAL,
    "alrp_faster": RANKING,
    "ce_faster": SAMPLING,
    "ce_giou_faster": SAMPLING,
}
"""Of each detector, the functions that wait, the operations they wait for, and why."""


class Waits(TorchDispatchMode):
    """Counts the operations that the host waits for, by the function that calls them and their name.

    These are a read of a value, a result whose shape depends on values, and a copy that is not queued: between host and
    device, or of numbers from Python.
    """

    def __init__(self, device: str = "meta"):
        super().__init__()
        self.device, self.found = device, Counter()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs, name = kwargs or {}, func.overloadpacket.__name__
        if any(isinstance(x, Tensor) and x.device.type == self.device for x in tree_leaves((args, kwargs))):
            if (made_up := _made_up(name, args)) is not None:
                self.found[_caller(), name] += 1
                return made_up if self.device == "meta" else func(*args, **kwargs)
        result = func(*args, **kwargs)
        source, target = (args[1], args[0]) if name == "copy_" else (args[0] if args else None, result)
        is_copy = name in ("copy_", "_to_copy") and source.device != target.device
        if self.device == "meta" and is_copy and not (kwargs.get("non_blocking") or True in args[2:3]):
            self.found[_caller(), name] += 1
        return result

    def __enter__(self):
        self.from_python = _FromPython(self.found)
        self.from_python.__enter__()
        return super().__enter__()

    def __exit__(self, *error):
        super().__exit__(*error)
        self.from_python.__exit__(*error)


class _FromPython(TorchFunctionMode):
    """Counts tensors that are made of numbers from Python: PyTorch copies these before it dispatches anything."""

    def __init__(self, found: Counter):
        super().__init__()
        self.found = found

    def __torch_function__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        if func.__name__ in ("tensor", "as_tensor", "new_tensor") and result.device.type == "meta":
            self.found[_caller(), func.__name__] += 1
        return result


def _caller() -> str:
    """The innermost function of the package that is running."""
    frame = sys._getframe(1)
    while frame and (
        frame.f_code.co_name.startswith("<") or not Path(frame.f_code.co_filename).is_relative_to(PACKAGE)
    ):
        frame = frame.f_back
    return frame.f_code.co_name if frame else "autograd"


def _made_up(name: str, args: tuple) -> Tensor | float | None:
    """What to answer where the host waits for values; None where it does not."""
    if name == "_local_scalar_dense":
        return args[0].dtype == torch.bool or 1
    if name in ("nonzero", "nms"):
        return args[0].new_zeros(*((ROWS, args[0].ndim) if name == "nonzero" else (ROWS,)), dtype=torch.int64)
    indices = args[1] if name == "index" else []
    masks = [index for index in indices if isinstance(index, Tensor) and index.dtype == torch.bool]
    return args[0].new_zeros(ROWS, *args[0].shape[masks[0].ndim :]) if masks else None


@pytest.fixture
def learner(request, monkeypatch):
    """A detector without values, and what else trains it."""
    monkeypatch.setattr(checks, "is_asynchronous", lambda tensor: tensor.device.type == "meta")  # as on a GPU
    monkeypatch.setattr(torch, "autocast", lambda *args, **options: contextlib.nullcontext())  # there is none
    device = torch.device("meta")
    with device:
        model = build_detector(SMALL[request.param], num_classes=3, self_balance_period=4).train()
    return make_learner(model, make_optimiser(model, 0.1, device), Process(0, 1, device), TrainOptions())


@pytest.mark.parametrize(("learner", "reasons"), REASONS.items(), indirect=["learner"])
def test_a_training_step_waits_only_where_it_must(learner, reasons):
    """Copies, checks, assigner, network, loss, backward pass, clipping and optimiser, once what is kept is there."""
    targets = [{"boxes": torch.tensor([[10.0, 10, 90, 90]]), "labels": torch.tensor([1])}] * 2
    batch = torch.zeros(2, 3, 160, 160, dtype=torch.uint8), targets
    for _ in range(2):
        with Waits() as waits:
            training_step(learner, [batch], 0.01)
    assert set(waits.found) == set(reasons)
    if reasons is ONE_STAGE:
        assert sum(waits.found.values()) == 1


WAITING = {
    "a value": lambda x: x[0].item(),
    "a truth": lambda x: bool(x.all()),
    "positions": lambda x: x.nonzero(),
    "a mask": lambda x: x[x > 0],
    "a copy to the device": lambda x: torch.zeros(3).to(x.device),
    "a copy into a tensor": lambda x: x.copy_(torch.zeros(3)),
    "a list of numbers": lambda x: torch.tensor([1.0, 2.0], device=x.device),
    "numbers like a tensor": lambda x: x.new_tensor([1.0, 2.0]),
}
FREE = {
    "a queued copy": lambda x: torch.zeros(3).to(x.device, non_blocking=True),
    "a queued copy into a tensor": lambda x: x.copy_(torch.zeros(3), non_blocking=True),
    "a known number of positions": lambda x: x.nonzero_static(size=2),
    "arithmetic": lambda x: torch.where(x > 0, 2 * x, 0).sum(),
    "the host's own": lambda x: torch.zeros(3)[0].item(),
}


@pytest.mark.parametrize(("call", "number"), [*((c, 1) for c in WAITING.values()), *((c, 0) for c in FREE.values())])
def test_what_waits_is_counted_and_nothing_else(call, number):
    """Each of `WAITING` is one wait, each of `FREE` none."""
    with Waits() as waits:
        call(torch.zeros(3, device="meta"))
    assert sum(waits.found.values()) == number
