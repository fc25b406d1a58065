"""Run notebooks from a fresh kernel each and keep their outputs, with clean metadata: `make notebooks`.

Usage: python notebooks/execute.py [NOTEBOOK ...], all of them without arguments.

A second run changes nothing: outputs that may differ from run to run, such as times, carry the tag
nbval-ignore-output, and stay what they are as long as their cell does; a second tag is the checksum of
its text. To have one made anew, clear it first.
"""

import sys
import time
import zlib
from pathlib import Path

import nbformat
from nbclient import NotebookClient

HERE = Path(__file__).parent
WIDGET = "application/vnd.jupyter.widget-view+json"  # refers to a kernel that is gone, by a number that is random
IGNORED = "nbval-ignore-output"
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


def main(paths: list[str]) -> None:
    for path in [Path(p) for p in paths] or sorted(HERE.glob("*.ipynb")):
        notebook = nbformat.read(path, as_version=4)
        settled = {
            cell.id: cell.outputs
            for cell in notebook.cells
            if IGNORED in cell.metadata.get("tags", []) and checksum(cell) in cell.metadata.tags
        }
        began = time.perf_counter()
        NotebookClient(
            notebook,
            timeout=600,
            coalesce_streams=True,
            resources={"metadata": {"path": str(path.parent)}},
            extra_arguments=["--log-level=ERROR"],
        ).execute()
        for cell in notebook.cells:
            if settled.get(cell.id):
                cell.outputs = settled[cell.id]
            if IGNORED in cell.metadata.get("tags", []):
                own = [tag for tag in cell.metadata.tags if not tag.startswith("source:")]
                cell.metadata.tags = [*own, checksum(cell)]
        tidy(notebook)
        nbformat.write(notebook, path)
        print(f"{path.name:<45} {time.perf_counter() - began:6.1f} s", flush=True)


def checksum(cell: nbformat.NotebookNode) -> str:
    """A tag for the text of a cell."""
    return f"source:{zlib.crc32(cell.source.encode()):08x}"


def tidy(notebook: nbformat.NotebookNode) -> None:
    """Leave what a reader sees, tags, and words for pictures; drop times, versions and references to this kernel."""
    notebook.metadata = nbformat.from_dict(METADATA)
    for cell in notebook.cells:
        kept = {name: cell.metadata[name] for name in ("alt", "tags") if cell.metadata.get(name)}
        cell.metadata = nbformat.from_dict(kept)
        for output in cell.get("outputs", []):
            output.get("data", {}).pop(WIDGET, None)


if __name__ == "__main__":
    main(sys.argv[1:])
