"""One look for all figures, and files that are the same byte for byte each time they are made."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from tabulate import tabulate

from alrp_ref.palette import ALRP_LOSS, AP_LOSS, CROSS_ENTROPY, FOCAL_LOSS, INK, RS_LOSS

matplotlib.rcParams.update(
    {
        "figure.constrained_layout.use": True,
        "font.size": 9,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.titlesize": 10,
        "axes.titlelocation": "left",
        "axes.edgecolor": INK,
        "legend.frameon": False,
        "lines.linewidth": 1.4,
        "svg.hashsalt": "alrp_ref",
    }
)


class Look(NamedTuple):
    """How the curve of a loss is drawn."""

    colour: str
    line: str | tuple[int, tuple[int, ...]]
    marker: str


LOOKS = {
    "aLRP Loss": Look(ALRP_LOSS, "-", "o"),
    "AP Loss": Look(AP_LOSS, "--", "s"),
    "cross entropy": Look(CROSS_ENTROPY, ":", "D"),
    "focal loss": Look(FOCAL_LOSS, "-.", "^"),
    "RS Loss": Look(RS_LOSS, (0, (6, 2, 1, 2, 1, 2)), "v"),
}


class Svg(str):
    """A picture as the text of its file: one that moves, which matplotlib does not draw."""


def save(drawn: Figure | Svg | str, path: Path) -> list[Path]:
    """Write a figure as `path`.png and `path`.svg, one that moves as `path`.svg, or a table as `path`.md."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(drawn, Svg):
        path.with_suffix(".svg").write_text(drawn, encoding="utf-8")
        return [path.with_suffix(".svg")]
    if isinstance(drawn, str):
        path.with_suffix(".md").write_text(drawn, encoding="utf-8")
        return [path.with_suffix(".md")]
    # Neither the date nor the version of matplotlib goes into a file.
    drawn.savefig(path.with_suffix(".png"), dpi=160, metadata={"Software": None})
    drawn.savefig(path.with_suffix(".svg"), metadata={"Date": None, "Creator": None})
    return [path.with_suffix(".png"), path.with_suffix(".svg")]


def letter(axes: Axes, text: str) -> None:
    """The title of one part of a figure, which begins with its letter."""
    axes.set_title(text, loc="left", color=INK)


def log_ticks(axes: Axes, ticks: Sequence[float]) -> None:
    """A logarithmic y axis with these ticks, as plain numbers, around what is drawn."""
    axes.set_yscale("log")
    limits = axes.get_ylim()
    axes.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.minorticks_off()
    axes.set_ylim(limits)


def table(rows: list[list[str]]) -> str:
    """A table whose first row holds the names of its columns; numbers to the right."""
    sides = ["left", *["right"] * (len(rows[0]) - 1)]
    return tabulate(rows, headers="firstrow", tablefmt="pipe", disable_numparse=True, colalign=sides)
