"""The device that a command runs on, checked before anything else is done, and copies to it."""

import torch
from torch import Tensor


def choose_device(name: str | None = None) -> torch.device:
    """The device of that name, tried out; None: the NVIDIA or AMD GPU if there is one, otherwise the CPU.

    Raises: ValueError, saying what is there, for a name that PyTorch does not know or a device that cannot be used.
    """
    if name is None:
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
        (torch.ones(1, device=device) + 1).item()  # whatever a device lacks, it says here
    except (RuntimeError, AssertionError, NotImplementedError, ImportError, AttributeError, TypeError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ValueError(f"device must be {_there()} on this machine, got {name!r}: {reason:.120}") from error
    return device


def queue_copy(x: Tensor, device: torch.device) -> Tensor:
    """A tensor on a device. A copy from the host's memory is queued, and the host does not wait for it.

    It is from pinned memory: from other memory CUDA may first wait for all that is queued.
    """
    is_to_gpu = x.device.type == "cpu" and device.type == "cuda"
    return (x.pin_memory() if is_to_gpu else x).to(device, non_blocking=device.type != "cpu")


def _there() -> str:
    """The devices that can be used, in words."""
    names = ["cpu", *(f"cuda:{number}" for number in range(torch.cuda.device_count()))]
    if torch.backends.mps.is_available():
        names.append("mps")
    if hasattr(torch, "xpu") and torch.xpu.is_available():
        names.append("xpu")
    return " or ".join(names)
