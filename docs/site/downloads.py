"""What the site adds for readers who want to run a notebook: links to it, and a form of it that runs by itself.

There is none of it without an address (`figures/hosted.py`).
"""

import re
from pathlib import Path

import nbformat

from figures.hosted import Host

FETCH = """\
import os
import sys

if not os.path.exists("course.py"):  # this notebook is alone, as on Colab: fetch the course, and install what it needs
    !git clone --quiet --depth 1 {repository} alrp_ref
    os.chdir("alrp_ref/notebooks")
    sys.path.insert(0, os.getcwd())
    import alone

    alone.install()"""


def with_links(text: str, name: str, host: Host) -> str:
    """The first cell of a notebook's page: below the title, the ways to run it."""
    links = (
        f'<a href="{name}" download>Download this notebook</a>',
        f"[Open in Colab]({host.colab(name)})",
        f"[Open on Binder]({host.binder(name)})",
    )
    title, _, rest = text.partition("\n")
    return f"{title}\n\n{' · '.join(links)}\n{rest}"


def write(path: Path, folder: Path, host: Host) -> None:
    """Write a notebook so that it runs in an empty folder: its first cell fetches the course."""
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = with_addresses(cell.source, host)
    cell = nbformat.v4.new_code_cell(FETCH.format(repository=host.repository), id="fetch")
    notebook.cells.insert(1, cell)
    nbformat.write(notebook, folder / path.name)


def with_addresses(text: str, host: Host) -> str:
    """Relative links lead to the repository, those to other notebooks to Colab."""

    def addressed(found: re.Match) -> str:
        mark, words, target = found.groups()
        if target.endswith(".ipynb"):
            return f"[{words}]({host.colab(target)})"
        kind = "raw" if mark else "blob"
        return f"{mark}[{words}]({host.repository}/{kind}/HEAD/notebooks/{target})"

    return re.sub(r"(!?)\[([^\]]*)\]\((?!https?:|#)([^)\s]+)\)", addressed, text)
