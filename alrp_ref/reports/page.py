"""Self-contained HTML pages: sections, tables and pictures."""

import base64
import html
import io
from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure
from tabulate import tabulate

from alrp_ref.machine.files import write_atomic

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #222; }
h1, h2 { font-weight: 600; } h2 { margin-top: 2.5rem; border-bottom: 1px solid #ddd; }
table { border-collapse: collapse; display: block; overflow-x: auto; }
td:first-child { font-weight: 600; white-space: normal; }
td, th { padding: .2rem 1rem .2rem 0; text-align: left; vertical-align: top; }
td { font-variant-numeric: tabular-nums; white-space: nowrap; } img { max-width: 100%; } p { max-width: 44rem; }
"""


def page(title: str, sections: Sequence[str]) -> str:
    """A whole page."""
    title = html.escape(title)
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f"<style>{STYLE}</style></head>\n<body><h1>{title}</h1>\n" + "\n".join(sections) + "\n</body></html>\n"
    )


def section(title: str, *parts: str) -> str:
    """A heading and the `parts` below it."""
    return "\n".join([f"<h2>{html.escape(title)}</h2>", *parts])


def paragraph(text: str) -> str:
    return f"<p>{html.escape(text)}</p>"


def table(rows: Sequence[Sequence[str]], *, header: bool = False) -> str:
    """Rows whose first cell is their name; with `header`, the first row names the columns."""
    return tabulate(rows, headers="firstrow" if header else (), tablefmt="html", disable_numparse=True)


def picture(path: Path, figure: Figure) -> str:
    """Save a figure as a PNG file, and embed it in the page."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    write_atomic(path, buffer.getvalue())
    data = base64.b64encode(buffer.getvalue()).decode()
    return f'<img src="data:image/png;base64,{data}" alt="{html.escape(path.stem.replace("_", " "))}">'
