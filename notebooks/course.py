"""What the notebooks share: the package's source on the page, checked answers, pictures, tables and sliders.

Nothing of the paper is in here. `show` prints a formula and the function that computes it, both read from the
package; `check` judges an exercise; `still` and `explore` draw a picture once, or under sliders.
"""

import ast
import html
import inspect
import io
import math
import re
import textwrap
from collections.abc import Callable

import ipywidgets as widgets
import matplotlib.pyplot as plt
import torch
from IPython.display import Image, Markdown, display
from matplotlib.figure import Figure

from alrp_ref.palette import (  # noqa: F401 (the notebooks take their colours from here)
    ALRP_LOSS,
    AP_LOSS,
    BOXES,
    CROSS_ENTROPY,
    FOCAL_LOSS,
    GREY,
    INK,
    LIGHT,
    NEGATIVE,
    ORANGE,
    OTHER,
    POSITIVE,
    RS_LOSS,
    SKY_BLUE,
)

plt.rcParams.update(
    {
        "figure.dpi": 100,
        "figure.constrained_layout.use": True,
        "font.size": 10,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.prop_cycle": plt.cycler(color=[POSITIVE, NEGATIVE, BOXES, OTHER, ORANGE, SKY_BLUE]),
        "legend.frameon": False,
    }
)


# The package's source


def show(*functions: Callable) -> None:
    """The formula of each function and its code, as they stand in the package."""
    for function in functions:
        display(Markdown(shown(function)))


def shown(function: Callable) -> str:
    """The same as Markdown."""
    file = inspect.getsourcefile(inspect.unwrap(function)).rpartition("alrp_ref/")[2]
    name = f"{file.removesuffix('.py').replace('/', '.')}.{function.__qualname__}"
    formulas = "\n\n".join(f"$${formula}$$" for formula in formulas_of(function))
    return f"[`{name}`](../alrp_ref/{file})\n\n{formulas}\n\n```python\n{_code(function)}\n```"


def formulas_of(documented: object) -> list[str]:
    """The display formulas of a docstring, in LaTeX."""
    text = inspect.getdoc(documented) or ""
    blocks = re.findall(r"^\.\. math::(.*(?:\n[ \t]+\S.*|\n(?=\n[ \t]+\S))*)", text, re.MULTILINE)
    return [" ".join(block.split()) for block in blocks]


def _code(function: Callable) -> str:
    """The source without its docstring: formula and words are on the page already."""
    source = textwrap.dedent(inspect.getsource(function))
    node = ast.parse(source).body[0]
    lines = source.splitlines()
    if ast.get_docstring(node) is not None:
        first = node.body[0]
        del lines[first.lineno - 1 : first.end_lineno]
    return "\n".join(line for line in lines if line.strip())


# Numbers


def table(**columns) -> None:
    """Print columns of equal length: numbers with four digits, everything else as it is."""
    cells = {name: _cells(values) for name, values in columns.items()}
    widths = [max(len(name), *map(len, values)) for name, values in cells.items()]
    rows = [list(cells), *zip(*cells.values(), strict=True)]
    for row in rows:
        print("  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)))


def _cells(values) -> list[str]:
    values = values.tolist() if isinstance(values, torch.Tensor) else list(values)
    # Adding 0.0 turns a rounded -0.0 into 0.0.
    return [
        f"{round(value, 4) + 0.0:.4f}" if isinstance(value, float) else str(value)
        for value in values
    ]


def check(
    answer, expected, tolerance: float = 1e-4, wrong: dict[str, object] | None = None
) -> None:
    """Say whether the answer to an exercise is right; if it is a number or a tensor, how far off it is.

    `wrong` holds answers that are often given, by what is wrong with them: such an answer is told that. An answer
    with two or three digits is right if these are the digits of the expected one.
    """
    if answer is None or answer is ...:
        print("not answered yet")
        return
    digits = _digits(answer, expected, tolerance)
    for reason, mistaken in (wrong or {}).items():
        if _digits(answer, mistaken, tolerance) > digits:
            print(f"wrong: {reason}")
            return
    if digits == math.inf:
        print("right")
    elif digits:
        exactly = ", ".join(f"{value:.6g}" for value in _numbers(expected).flatten().tolist())
        print(f"right to {('two', 'three')[digits - 2]} digits; exactly {exactly}")
    else:
        print(f"wrong: {_difference(answer, expected)}")


def _digits(answer, expected, tolerance: float) -> float:
    """To how many digits an answer is right: all of them (infinity), 3, 2, or 0 if it is wrong."""
    if isinstance(expected, str | bool | set):
        names = isinstance(expected, set) and isinstance(answer, list | tuple)
        return math.inf if (set(answer) if names else answer) == expected else 0
    got, want = _numbers(answer), _numbers(expected)
    if got is None or got.shape != want.shape:
        return 0
    pairs = list(zip(got.flatten().tolist(), want.flatten().tolist(), strict=True))
    if all(abs(a - b) <= tolerance for a, b in pairs):
        return math.inf
    # A count is not rounded: 10,900 for 10,912 is not the result of counting.
    if any(b.is_integer() and a != b for a, b in pairs):
        return 0
    return next((k for k in (3, 2) if all(a == b or _rounded(a, b, k) for a, b in pairs)), 0)


def _rounded(got: float, want: float, digits: int) -> bool:
    """Whether an answer has so many digits at most, and they are those of the expected number."""
    last_digit = 10 ** (math.floor(math.log10(abs(want))) + 1 - digits)
    near = abs(got - want) <= 0.5001 * last_digit  # a half may be rounded to either side
    return near and math.isclose(got, float(f"{got:.{digits}g}"), rel_tol=1e-12)


def _numbers(answer) -> torch.Tensor | None:
    """An answer as a tensor; None if it is something else, such as text."""
    if isinstance(answer, list | tuple):
        answer = [x.detach() if isinstance(x, torch.Tensor) else x for x in answer]
    try:
        return torch.as_tensor(answer, dtype=torch.float64).detach()
    except (TypeError, ValueError, RuntimeError):
        return None


def _difference(answer, expected) -> str:
    """What is wrong with an answer."""
    if isinstance(expected, set) and not isinstance(answer, set | list | tuple):
        return f"{answer!r} is not a set of names, as the text gives an example of"
    if isinstance(expected, str | bool | set):
        return f"{answer!r} is not it"
    got, want = _numbers(answer), _numbers(expected)
    asked_for = "a number" if not want.ndim else f"numbers of the shape {tuple(want.shape)}"
    if isinstance(answer, str):
        return f"{answer!r} is text; write {asked_for}, without quotation marks"
    if got is None:
        return f"{answer!r} is not {asked_for}"
    if got.shape != want.shape:
        return f"the shape is {tuple(got.shape)}, it should be {tuple(want.shape)}"
    return f"off by {float((got - want).abs().max()):.4g}"


# Pictures under sliders

Drawing = Callable[..., tuple[Figure, str]]


def still(draw: Drawing, **values) -> None:
    """Show the picture and the numbers that `draw` returns for these values."""
    figure, text = draw(**values)
    display(Image(_png(figure)))
    print(text)


def explore(draw: Drawing, **controls: widgets.Widget) -> None:
    """The same picture and numbers under widgets, one for each argument of `draw`.

    Each slider takes arrow keys, and a value typed into the number beside it. Without a kernel, as on a code host,
    only the `still` before it is there to see.
    """
    picture, numbers = widgets.Image(format="png"), widgets.HTML()
    picture.add_class("explorer-picture")
    numbers.add_class("explorer-numbers")

    def redraw(_=None) -> None:
        figure, text = draw(**{name: control.value for name, control in controls.items()})
        picture.value, numbers.value = _png(figure), f"<pre>{html.escape(text)}</pre>"

    for name, control in controls.items():
        control.description = control.description or name.replace("_", " ")
        control.style.description_width = "18em"
        control.layout.width = "42em"
        control.observe(redraw, names="value")
    redraw()
    panel = _Explorer([*controls.values(), picture, numbers])
    panel.add_class("explorer")
    display(panel)


class _Explorer(widgets.VBox):
    def _repr_mimebundle_(self, **options):
        bundle = super()._repr_mimebundle_(**options)
        names = ", ".join(child.description for child in self.children[:-2])
        return {**bundle, "text/plain": f"[sliders, with a running kernel: {names}]"}


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=100)
    plt.close(figure)
    return buffer.getvalue()
