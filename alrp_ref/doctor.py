"""`alrp doctor`: check the installed packages, the loss, the device and the disk."""

import re
import shutil
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from importlib import metadata

Check = Callable[[], str]


class Absent(Exception):
    """An optional package is not installed."""


def main() -> int:
    """Print a line for each check: `[OK]`, `[FAIL]`, or `[--]` for an extra that is not installed.

    Returns 0, or 1 if anything failed.
    """
    checks: list[tuple[str, Check]] = [("Python", _python)]
    checks += [(name, partial(_package, name, least, extra)) for name, least, extra in _requirements()]
    checks += [("torchvision's NMS", _nms), ("aLRP Loss", _loss), ("device", _device), ("disk", _disk)]
    failed = 0
    for name, check in checks:
        try:
            mark, text = "[OK]", check()
        except Absent as absent:
            mark, text = "[--]", str(absent)
        except Exception as error:  # any error at all is a failed check
            mark, text = "[FAIL]", str(error) or type(error).__name__
            failed += 1
        print(f"{mark:<6} {name:<18} {text.splitlines()[0]:.54}")
    print(f"{failed} failed: install or upgrade what is named above" if failed else "all is well")
    return int(failed > 0)


def _python() -> str:
    if sys.version_info < (3, 11):
        raise RuntimeError(f"{sys.version.split()[0]}, needs 3.11 or newer")
    return sys.version.split()[0]


def _requirements() -> list[tuple[str, str, str]]:
    """Name, lower bound and extra ("" for what the losses need) of each package, from the installed metadata."""
    try:
        lines = metadata.requires("alrp-ref") or []
    except metadata.PackageNotFoundError:
        return [("alrp-ref", "0", "")]  # this check then fails
    found = {}
    for line in lines:
        name, bound, marker = re.match(r"([\w.-]+)(?:\[[^\]]*\])?([^;]*)(.*)", line).groups()
        least = re.search(r"[>=]=\s*([\d.]+)", bound)
        extra = re.search(r"extra\s*==\s*['\"](\w+)", marker)
        if name != "alrp-ref":  # an extra may include another extra
            found[name] = (name, least.group(1).rstrip(".") if least else "0", extra.group(1) if extra else "")
    return list(found.values())


def _package(name: str, least: str, extra: str) -> str:
    try:
        version = metadata.version(name)
    except metadata.PackageNotFoundError:
        if extra:
            raise Absent(f"not installed: pip install 'alrp-ref[{extra}]'") from None
        raise RuntimeError(f"not installed, needs {least} or newer") from None
    if _numbers(version) < _numbers(least):
        raise RuntimeError(f"{version}, needs {least} or newer")
    return version


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.match(r"\d+(?:\.\d+)*", version).group().split("."))


def _nms() -> str:
    import torch

    try:
        from torchvision.ops import nms
    except ImportError:
        raise Absent("needs torchvision: pip install 'alrp-ref[detection]'") from None

    keep = nms(torch.tensor([[0.0, 0, 2, 2], [0, 0, 2, 2]]), torch.tensor([0.5, 0.9]), 0.5)
    if keep.tolist() != [1]:
        raise RuntimeError(f"keeps {keep.tolist()} of two equal boxes instead of the better one")
    return "compiled for this torch"


def _loss() -> str:
    import torch

    from alrp_ref.losses import alrp_loss

    scores = torch.arange(10, 0, -1, dtype=torch.float64) / 10
    targets = torch.tensor([1, 0, 1, 0, 0, 1, 0, 0, 0, 1])
    out = alrp_loss(scores, targets, torch.tensor([0.1, 0.4, 0.7, 1.0], dtype=torch.float64), delta=0.05)
    value = float(out.cls + out.loc)
    if abs(value - 0.53) > 1e-9:
        raise RuntimeError(f"{value:.4f} where the paper's Figure 1 has 0.5300")
    return f"{value:.4f} as in the paper's Figure 1"


def _device() -> str:
    import torch

    if torch.cuda.is_available():
        return f"CUDA, {torch.cuda.device_count()} x {torch.cuda.get_device_name()}"
    if torch.backends.mps.is_available():
        return "MPS, the GPU of an Apple chip"
    return f"CPU, {torch.get_num_threads()} threads (no GPU; none is needed)"


def _disk() -> str:
    with tempfile.TemporaryFile() as file:
        file.write(b"x")
    free = shutil.disk_usage(".").free / 1e9
    if free < 1:  # a ResNet-50 checkpoint takes 0.3 GB, and an atomic write needs room for two
        raise RuntimeError(f"{free:.1f} GB free here, a training run needs 1")
    return f"{free:.0f} GB free here, temporary files can be written"
