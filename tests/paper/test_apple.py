"""Both losses on Apple's GPUs ("mps"), as far as a machine without one can tell.

PyTorch lists its operations, and for which devices each has a kernel. The losses run here as they do there, that is,
without float64 and `nonzero_static`; each operation is looked up in that list.
"""

from pathlib import Path

import pytest
import torch
import torchgen
from lists import compute_in
from torch.utils._python_dispatch import TorchDispatchMode

from alrp_ref import ALRPLoss, ap_loss, giou_error
from alrp_ref.paper import ranking, step_matrix

yaml = pytest.importorskip("yaml")
LIST = Path(torchgen.__file__).parent / "packaged" / "ATen" / "native" / "native_functions.yaml"


class Record(TorchDispatchMode):
    """The names of all operations, and the types of all numbers that they make."""

    def __init__(self):
        super().__init__()
        self.names: set[str] = set()
        self.dtypes: set[torch.dtype] = set()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        out = function(*args, **(kwargs or {}))
        schema = function._schema
        self.names.add(schema.name.split("::")[1] + (f".{schema.overload_name}" if schema.overload_name else ""))
        self.dtypes |= {x.dtype for x in (out if isinstance(out, (tuple, list)) else (out,)) if torch.is_tensor(x)}
        return out


@pytest.fixture
def step(monkeypatch):
    """Two steps of both losses and of the self-balance, from boxes to gradients, recorded."""
    compute_in(torch.float32, monkeypatch)
    monkeypatch.setattr(ranking, "has_nonzero_static", lambda device: False)
    logits = torch.randn(3000, requires_grad=True)
    targets = torch.zeros(3000, dtype=torch.int64)
    targets[:40] = 1
    truth = torch.tensor([10.0, 10.0, 60.0, 40.0]).expand(40, 4)
    boxes = (truth + torch.randn(40, 4)).requires_grad_()
    with Record() as record:
        for loc_step in ("hard", "smoothed"):
            criterion = ALRPLoss(period=1, loc_step=loc_step)
            for _ in range(2):
                criterion(logits, targets, giou_error(boxes, truth)).total.backward()
        ap_loss(logits, targets).backward()
    return record


def kernels() -> dict[str, set[str]]:
    """For each operation the devices with a kernel of its own, or "Composite..." if it is made of other operations."""
    listed = {entry["func"].split("(")[0]: entry for entry in yaml.safe_load(LIST.read_text())}

    def devices(entry: dict) -> set[str]:
        if "structured_delegate" in entry:
            return devices(listed[entry["structured_delegate"]])
        return {d.strip() for keys in entry.get("dispatch", {"CompositeImplicit": ""}) for d in keys.split(",")}

    return {name: devices(entry) for name, entry in listed.items()}


def test_every_operation_of_the_losses_has_a_kernel_for_apples_gpus(step):
    """PyTorch's own list of kernels has all of them, from torch 2.11 on."""
    have = kernels()
    missing = {
        name
        for name in step.names & have.keys()
        if not any(device == "MPS" or device.startswith("Composite") for device in have[name])
    }
    assert len(step.names & have.keys()) > 40
    assert not missing


def test_on_an_apple_gpu_the_losses_run_so():
    """What the recorded steps have put in: sums in float32, and no `nonzero_static`."""
    apple = torch.device("mps")
    assert step_matrix.exact_dtype(apple) == torch.float32 and not ranking.has_nonzero_static(apple)
    nvidia = torch.device("cuda")
    assert step_matrix.exact_dtype(nvidia) == torch.float64 and ranking.has_nonzero_static(nvidia)


def test_the_list_tells_what_has_no_kernel():
    """`_native_multi_head_attention` has kernels for CPUs and for NVIDIA's GPUs, and none for Apple's."""
    assert "CPU" in kernels()["_native_multi_head_attention"] and "MPS" not in kernels()["_native_multi_head_attention"]


def test_no_number_of_the_losses_is_a_float64(step):
    """Apple's GPUs have no float64: a single one would end the step with an error."""
    assert torch.float32 in step.dtypes
    assert torch.float64 not in step.dtypes
