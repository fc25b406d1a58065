"""Which extras of this package are installed."""

import re
from importlib import metadata


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
