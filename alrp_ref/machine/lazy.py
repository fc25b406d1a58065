"""Names that a package imports when they are first used, so that `alrp --help` does not wait for torch."""

import sys
from collections.abc import Callable
from importlib import import_module


def lazy(package: str, homes: dict[str, str]) -> Callable[[str], object]:
    """The `__getattr__` of a package (PEP 562). Args: `homes`, by name the module of the package that holds it.

    A name that its module does not hold is the module itself.
    """

    def __getattr__(name: str) -> object:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        module = import_module(f"{package}.{homes[name]}")
        value = getattr(module, name, module)
        setattr(sys.modules[package], name, value)  # from now on it is found without this function
        return value

    return __getattr__
