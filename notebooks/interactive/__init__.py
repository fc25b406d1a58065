"""Interactive pictures: one ES module each, for JupyterLab through anywidget and for the site's pages.

A picture is `name.js`, whose default export has `render({model, el})`, anywidget's contract. The pictures ask nothing
of the model, so they live without a kernel. `name.png` is the still where no script runs (from `stills.py`).
What a picture shows of measured results is in `measured.js`, which `measured.py` writes.
"""

import re
from base64 import b64encode
from pathlib import Path

FOLDER = Path(__file__).parent
PICTURES = {
    "anchors": "Ten anchors as bars, best score first. Drag a bar or a box: four losses and the APs follow.",
    "precision": "Seven scores, one a negative to drag: step function, ranks and the precision at three positives.",
    "negative": "Three positives and a negative to drag: ranks, precision and the gradients of three losses.",
    "race": "One list of ten examples, sorted step by step by cross entropy, AP Loss and aLRP Loss.",
    "boxes": "Two boxes to drag, with IoU, the smallest box around both, GIoU and the pull on each side.",
    "threshold": "Detections in a picture under a score threshold, with the three parts of the LRP error.",
    "worse": "Ten anchors as bars, and sliders for two boxes: LRP errors, aLRP Loss and a usual loss follow.",
    "knobs": "Scores with arrows and three boxes: one negative and the errors of the boxes can be dragged.",
    "descent": "Ten anchors of detector R3 as bars, trained step by step by cross entropy, AP Loss or aLRP Loss.",
    "balance": "Two positives, one negative and a slider for a target: both sides of Theorem 2, equal or not.",
    "staircase": "Negatives above a score as a staircase, with its mean over the ramp of a positive to drag.",
    "weights": "AP of a detector over the constant weight of its boxes, with a slider; self-balance is a line.",
    "buckets": "Negatives on a score axis and their buckets below, with the error of AP Loss as the step gets wider.",
}
"""Each picture and what it shows, in words, for those who cannot see it."""


def self_contained(path: Path) -> str:
    """The source of a module in which each import of a neighbour is a data: address that holds that neighbour.

    So it runs where relative imports do not: in JupyterLab, which gets the text alone, and in a page opened from a
    folder, where browsers refuse to import files.
    """

    def inline(found: re.Match) -> str:
        code = b64encode(self_contained(path.parent / found[1]).encode()).decode()
        return f'from "data:text/javascript;base64,{code}"'

    return re.sub(r'from "\./(\w+\.js)"', inline, path.read_text(encoding="utf-8"))


def page(name: str) -> str:
    """A page with nothing but the picture."""
    head = "<!doctype html><meta name='color-scheme' content='light dark'>"
    return f"{head}<body style='margin: 8px'>{script(name)}</body>"


def html(name: str) -> str:
    """The picture as a piece of a page: its still, which the script replaces."""
    still = b64encode((FOLDER / f"{name}.png").read_bytes()).decode()
    return script(name, f'<img alt="{PICTURES[name]}" src="data:image/png;base64,{still}">')


def script(name: str, still: str = "") -> str:
    """The element of the picture and the script that fills it."""
    module = b64encode(self_contained(FOLDER / f"{name}.js").encode()).decode()
    return f"""<div class="interactive" id="interactive-{name}">
{still}
</div>
<script type="module">
import picture from "data:text/javascript;base64,{module}";
const el = document.getElementById("interactive-{name}");
el.replaceChildren();
picture.render({{ el }});
</script>"""


def widget(name: str):
    """The picture as a widget of JupyterLab."""
    import anywidget

    class Picture(anywidget.AnyWidget):
        _esm = self_contained(FOLDER / f"{name}.js")

        def _repr_mimebundle_(self, **options):
            bundle = super()._repr_mimebundle_(**options)
            data, metadata = bundle if isinstance(bundle, tuple) else (bundle, {})
            still = {
                "image/png": b64encode((FOLDER / f"{name}.png").read_bytes()).decode(),
                "text/plain": f"[interactive picture: {name}] {PICTURES[name]}",
            }
            return {**(data or {}), **still}, metadata

    return Picture()
