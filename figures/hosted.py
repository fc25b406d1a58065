"""Where the course is on the web: addresses made from one setting, `Repository` of pyproject.toml's [project.urls].

Without the setting there are no addresses, and no page shows a link to them.
"""

import re
import tomllib
from pathlib import Path

PYPROJECT = Path(__file__).parents[1] / "pyproject.toml"


def repository() -> str | None:
    """The setting."""
    project = tomllib.loads(PYPROJECT.read_text(encoding="utf-8"))["project"]
    return project["urls"].get("Repository")


class Host:
    """The addresses of a repository on GitHub, whose branch gh-pages holds the site.

    Raises: ValueError if the address is not `https://github.com/OWNER/NAME`.
    """

    def __init__(self, repository: str):
        found = re.fullmatch(r"https://github\.com/([\w.-]+)/([\w.-]+)", repository)
        if not found:
            raise ValueError(f"Repository must be https://github.com/OWNER/NAME, got {repository!r}")
        self.repository = repository
        self._owner, self._name = found.groups()

    @property
    def site(self) -> str:
        return f"https://{self._owner}.github.io/{self._name}/"

    def colab(self, notebook: str) -> str:
        """The notebook as `docs/site/downloads.py` writes it, so that it runs by itself."""
        path = f"{self._owner}/{self._name}/blob/gh-pages/notebooks/{notebook}"
        return f"https://colab.research.google.com/github/{path}"

    def binder(self, notebook: str) -> str:
        return f"https://mybinder.org/v2/gh/{self._owner}/{self._name}/HEAD?labpath=notebooks/{notebook}"


def host() -> Host | None:
    """None without the setting."""
    address = repository()
    return Host(address) if address else None
