"""Build the static site: the course from its committed outputs, the API, figures and documentation. `make site`.

Usage: python docs/site/build.py [OUT] [--notebooks 00 05 ...]

The pages are gathered in a temporary folder, with the repository's own layout so that links between them hold, and
Sphinx renders them. Nothing is executed, and nothing in the result is loaded from another place.
"""

import argparse
import importlib.util
import re
import shutil
import sys
import tempfile
from pathlib import Path

import nbformat
from sphinx.cmd.build import build_main

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent
sys.path += [str(HERE), str(ROOT), str(ROOT / "notebooks")]

import downloads  # noqa: E402
import interactive  # noqa: E402

from figures import hosted  # noqa: E402

PAGES = (
    "docs/*.md",
    "docs/log/*.md",
    "figures/*.md",
    "figures/data/**/*.md",
    "benchmarks/README.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
)
LINKED = (
    *(
        "LICENSE",
        "Makefile",
        "README.md",
        "pyproject.toml",
        "alrp_ref/**/*.py",
        "studies/*.py",
        "tests/**/*.py",
        "docs/*.py",
        "docs/*.jpg",
    ),
    ".github/workflows/*.yml",
    *("figures/*.p[ny]*", "figures/race.svg", "figures/data/**/*.csv", "benchmarks/*.py", "benchmarks/results/*"),
    *("notebooks/*.py", "notebooks/data/*", "notebooks/where/*.svg"),
)


def main(out: Path, numbers: list[str] | None = None) -> int:
    with tempfile.TemporaryDirectory() as folder:
        source, made = Path(folder) / "source", Path(folder) / "made"
        gather(source, numbers)
        # Only a part of the course: links to the others are missing, so warnings cannot be errors.
        options = ["-Q"] if numbers else ["-q", "-W", "--keep-going"]
        result = build_main([*options, "-b", "html", "-d", f"{folder}/doctrees", str(source), str(made)])
        shutil.rmtree(out, ignore_errors=True)
        shutil.copytree(made, out, ignore=shutil.ignore_patterns(".buildinfo*", "objects.inv"))
    if host := hosted.host():
        for page in (out / "notebooks").glob("[01]*.html"):
            downloads.write(ROOT / "notebooks" / f"{page.stem}.ipynb", page.parent, host)
    return result


def gather(folder: Path, numbers: list[str] | None) -> None:
    """Copy what the site is made of."""
    host = hosted.host()
    for pattern in (*PAGES, *LINKED):
        for path in ROOT.glob(pattern):
            _copy(path, folder / path.relative_to(ROOT))
    for path in HERE.glob("*.*"):
        _copy(path, folder / path.name)
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        if numbers is None or path.name[:2] in numbers:
            notebook = nbformat.read(path, as_version=4)
            prepare(notebook)
            if host:
                notebook.cells[0].source = downloads.with_links(notebook.cells[0].source, path.name, host)
            nbformat.write(notebook, folder / "notebooks" / path.name)
    for path in [*folder.rglob("*.md"), *folder.rglob("*.ipynb")]:
        _mend_links(path, folder)
    for name in interactive.PICTURES:
        (folder / "interactive").mkdir(exist_ok=True)
        (folder / "interactive" / f"{name}.html").write_text(interactive.html(name), encoding="utf-8")
    mathjax = (
        Path(importlib.util.find_spec("sphinx-mathjax-offline").origin).parent / "static" / "mathjax" / "tex-svg.js"
    )
    _copy(mathjax, folder / "_static" / "mathjax.js")
    _copy(HERE / "style.css", folder / "_static" / "style.css")


def _mend_links(page: Path, folder: Path) -> None:
    """Links to source files lead to pages that show them, links to folders to their README, within the site."""

    def mended(found: re.Match) -> str:
        target = (page.parent / found[1]).resolve()
        if target.suffix == ".py" and target.is_relative_to(folder):
            _show_source(target, folder)
            return f"]({found[1]}.md)"
        if (target / "README.md").exists() and target != folder:
            return f"]({found[1]}/README.md)"
        return found[0].replace("](../README.md", "](../index.md")

    text = page.read_text(encoding="utf-8")
    page.write_text(re.sub(r"\]\(([^)\s:#]+)\)", mended, text), encoding="utf-8")


def _show_source(path: Path, folder: Path) -> None:
    """A page with the text of a source file, beside it."""
    title = path.relative_to(folder).as_posix()
    text = f"---\norphan: true\nnosearch: true\n---\n\n# `{title}`\n\n```{{literalinclude}} {path.name}\n```\n"
    path.with_name(f"{path.name}.md").write_text(text, encoding="utf-8")


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(source, target)


def prepare(notebook: nbformat.NotebookNode) -> None:
    """Interactive pictures live, sliders that need a kernel gone, cells that draw folded, a text for every picture.

    The text is the cell's own, its metadata `alt`, or the paragraph before it.
    """
    said = ""
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = re.sub(r"^With(out)? a running kernel\b.*\n*", "", cell.source, flags=re.MULTILINE)
            said = _plain(cell.source) or said
            continue
        tags = cell.metadata.setdefault("tags", [])
        cell.outputs = [output for output in map(_live, cell.get("outputs", [])) if output is not None]
        kinds = {kind for output in cell.outputs for kind in output.get("data", {})}
        if not cell.outputs and "explore(" in cell.source:
            tags.append("remove-cell")
        if "text/html" in kinds or any(kind.startswith("image/") for kind in kinds):
            tags += [] if "hide-input" in tags else ["hide-input"]
            cell.metadata["mystnb"] = {"image": {"alt": cell.metadata.pop("alt", said)}}


def _live(output: nbformat.NotebookNode) -> nbformat.NotebookNode | None:
    """An output as the site shows it; None for sliders, whose still stands before them."""
    text = output.get("data", {}).get("text/plain", "")
    if text.startswith("[sliders"):
        return None
    if found := re.match(r"\[interactive picture: (\w+)\]", text):
        output.data = {"text/html": interactive.html(found[1])}
    return output


def _plain(markdown: str) -> str:
    """The last paragraph of a text, without marks: what a picture after it shows."""
    text = re.sub(r"<[^>]+>|[`*$#|\\]|\]\([^)]*\)|\[", "", markdown.strip().split("\n\n")[-1])
    return " ".join(text.split())[:250].replace('"', "'")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", nargs="?", type=Path, default=ROOT / "site")
    parser.add_argument("--notebooks", nargs="*", help="only these, by number")
    arguments = parser.parse_args()
    sys.exit(main(arguments.out, arguments.notebooks))
