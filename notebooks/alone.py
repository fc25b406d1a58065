"""For a notebook that is alone, as on Colab: its first cell clones the course and calls `install`."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

SOURCE = Path(__file__).parents[1]
LEFT_OUT = ("alrp-ref", "torch", "torchvision", "jupyterlab")
"""Not to be installed: the host has them, and a kernel goes on with the torch that it has loaded."""


def install() -> None:
    """Install the package and what the notebooks need, beside the PyTorch that is there."""
    _pip("--no-deps", str(SOURCE))
    _pip(*requirements())


def requirements() -> list[str]:
    """What pyproject.toml asks for, without `LEFT_OUT`; pip leaves alone what is installed."""
    project = tomllib.loads((SOURCE / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    needed = [*project["dependencies"], *extras["detection"], *extras["notebooks"]]
    return [one for one in needed if re.match(r"[\w-]+", one)[0] not in LEFT_OUT]


def _pip(*arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", *arguments], check=True)
