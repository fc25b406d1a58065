"""Which extras of this package are installed, and whether the torch that runs is the one that is."""

import re
import warnings
from importlib import metadata

OLDEST_TORCH = (2, 6)


def extras() -> str:
    """A line for each extra of `pip install 'alrp-ref[EXTRA]'`: installed, or the packages that are missing.

    That their versions fit is what `pip check` tells.
    """
    try:
        lines = metadata.requires("alrp-ref") or []
    except metadata.PackageNotFoundError:
        return "alrp-ref is not installed: pip install . in a clone"
    packages: dict[str, list[str]] = {}
    for line in lines:
        extra = re.search(r"extra\s*==\s*['\"](\w+)", line)
        if extra and not line.startswith("alrp-ref"):  # an extra may include another one
            packages.setdefault(extra[1], []).append(re.match(r"[\w.-]+", line)[0])
    return "\n".join(f"{extra:<10} {_state(extra, names)}" for extra, names in packages.items())


def compare_torch(loaded: str) -> None:
    """Warn if the torch that is loaded is too old, or is another one than pip has installed beside it since then."""
    try:
        installed = metadata.version("torch")
    except metadata.PackageNotFoundError:
        installed = loaded
    version = _numbers(loaded)
    if version[:2] != _numbers(installed)[:2]:
        reason = f"torch {loaded} is loaded, and {installed} is installed by now: restart the runtime (the kernel)"
    elif version[:2] < OLDEST_TORCH:
        oldest = ".".join(map(str, OLDEST_TORCH))
        reason = f"torch {loaded} is loaded, and alrp_ref needs {oldest}: pip install -U torch, and restart the runtime"
    else:
        return
    warnings.warn(reason, stacklevel=3)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", version)[:3])


def _state(extra: str, names: list[str]) -> str:
    missing = [name for name in names if not _is_installed(name)]
    if not missing:
        return "installed"
    what = "not installed" if len(missing) == len(names) else f"lacks {', '.join(missing)}"
    return f"{what}: pip install 'alrp-ref[{extra}]'"


def _is_installed(name: str) -> bool:
    try:
        metadata.version(name)
    except metadata.PackageNotFoundError:
        return False
    return True
