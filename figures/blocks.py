"""Pages written by hand that hold results: what stands between two comments is rendered from a template.

    <!-- results: NAME -->
    ... the block NAME of the page's template, with numbers from the data ...
    <!-- end of results -->

`python -m figures readme` writes the blocks of the README again, where they are; `python -m figures` those of all
pages, after the figures and tables. In a notebook the comments stand in Markdown cells.
"""

import json
import re
from pathlib import Path

from alrp_ref.machine.files import read_table
from alrp_ref.reports.seeds import Study
from figures import claim, fig4, hosted, toy
from figures.prose import blocks, count, decimal, error, mean, several
from studies.results import DATA

HERE = Path(__file__).parent
ROOT = HERE.parent
PAGES = {
    "readme": ROOT / "README.md",
    "landing": ROOT / "docs" / "site" / "index.md",
    "index": HERE / "README.md",
    "training": ROOT / "docs" / "training.md",
    "balance": ROOT / "notebooks" / "07_self_balance.ipynb",
    "coco": ROOT / "notebooks" / "10_training_on_coco.ipynb",
    "worth": ROOT / "notebooks" / "11_what_is_it_worth.ipynb",
    "came_after": ROOT / "notebooks" / "13_what_came_after.ipynb",
}
"""By the name of the template, which is `NAME.md.j2`."""

BLOCK = re.compile(r"(^ *<!-- results: (\w+) -->\n)(.*?)(^ *<!-- end of results -->$)", re.MULTILINE | re.DOTALL)


def filled(page: str) -> str:
    """The text of a page with its blocks as they should be."""
    return fill(page, PAGES[page].read_text(encoding="utf-8"), rendered(page))


def rendered(page: str) -> dict[str, str]:
    """The blocks of a page by name."""
    return blocks(page, **values())


def fill(page: str, text: str, found: dict[str, str]) -> str:
    """The text of a page with these blocks. Raises: ValueError if it has others."""
    names = [name for _, name, *_ in BLOCK.findall("\n".join(parts(text, PAGES[page].suffix)))]
    if sorted(names) != sorted(found):
        raise ValueError(f"{PAGES[page].name} has the blocks {names}, and {page}.md.j2 has {sorted(found)}")

    def put(part: str) -> str:
        return BLOCK.sub(lambda block: block[1] + found[block[2]] + block[4], part)

    if PAGES[page].suffix != ".ipynb":
        return put(text)
    notebook = json.loads(text)
    for cell in markdown_cells(notebook):
        cell["source"] = put("".join(cell["source"])).splitlines(keepends=True)
    return json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"


def write(page: str) -> Path:
    """Write the blocks of a page again. Returns: its path."""
    PAGES[page].write_text(filled(page), encoding="utf-8")
    return PAGES[page]


def parts(text: str, suffix: str) -> list[str]:
    """The texts of a page in which blocks can be: itself, or its Markdown cells."""
    return [text] if suffix != ".ipynb" else ["".join(c["source"]) for c in markdown_cells(json.loads(text))]


def markdown_cells(notebook: dict) -> list[dict]:
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "markdown"]


def values() -> dict:
    """What the templates of these pages know beyond the numbers of `prose`."""
    functions = (readme_table, toy_table, toy_by_scores, toy_most, in_toy, cost, balance, during, short, demo)
    named = {function.__name__: function for function in functions}
    return named | {"host": hosted.host(), "weighting": claim.weighting()}


def in_toy(scores_by: str, boxes_by: str, metric: str, examples: str = "seen", noise: float = 0.8) -> str:
    """Mean of ten seeds of the toy: aLRP or AP, aLRP or alike."""
    return decimal(toy.corner(noise, examples, scores_by, boxes_by)[metric].mean(), 3)


def readme_table() -> list[list[str]]:
    """Three detectors on shapes at both lengths, AP and AP90 with their standard errors."""
    rows = [["shapes, 10,000 and 20,000 steps", "seeds", "AP", "AP50", "AP75", "AP90", "rho"]]
    for title, run in (("aLRP Loss", "alrp"), ("AP Loss, smooth L1", "ap"), ("AP Loss, mean GIoU × 3", "ap_alike_3")):
        lengths = (10_000, 20_000)
        cells = [", ".join(str(count(run, steps)) for steps in lengths)]
        for metric in rows[0][2:]:
            errors = [f" ± {error(run, metric, steps)}" if metric in ("AP", "AP90") else "" for steps in lengths]
            both = zip(lengths, errors, strict=True)
            cells.append(", ".join(mean(run, metric, steps) + off for steps, off in both))
        rows.append([title, *cells])
    return rows


def toy_table() -> list[list[str]]:
    """The examples seen in training, a row for each setting of the switches."""
    rows = [["scores by", "boxes by", *toy.METRICS]]
    for scores_by, boxes_by in toy.CORNERS:
        boxes = "aLRP Loss" if boxes_by == "aLRP" else f"mean × {toy.best_weight(0.8, scores_by)}"
        found = toy.corner(0.8, "seen", scores_by, boxes_by)
        rows.append([f"{scores_by} Loss", boxes, *(f"{found[metric].mean():.3f}" for metric in toy.METRICS)])
    return rows


def toy_by_scores() -> str:
    """The largest difference in an AP that the loss of the scores makes."""
    means = {c: [toy.corner(0.8, "seen", *c)[ap].mean() for ap in ("AP50", "AP75", "AP90")] for c in toy.CORNERS}
    pairs = [zip(means["aLRP", boxes], means["AP", boxes], strict=True) for boxes in ("aLRP", "alike")]
    return decimal(max(abs(one - other) for pair in pairs for one, other in pair), 3)


def toy_most(metric: str, examples: str) -> str:
    """The largest mean over the four settings of the switches."""
    return decimal(max(toy.corner(0.8, examples, *corner)[metric].mean() for corner in toy.CORNERS), 3)


def cost(method: str, positives: int, column: str = "time") -> float:
    """Of a million negatives and so many positives: time, in units of ours at ten, or an error."""
    rows = read_table(DATA / "cost.csv")
    (row,) = (row for row in rows if (row["method"], row["positives"]) == (method, str(positives)))
    return float(row[column])


def balance(loss: str) -> str:
    """Figure 4's ratio of the gradients at the first step."""
    return f"{fig4.curves()[loss]['balance'][0]:.2g}"


def during(run: str, step: int, metric: str = "AP") -> float:
    """Mean over the seeds at a step of the runs of 10,000, in percent."""
    rows = read_table(DATA / "length" / "results.csv")
    mine = Study([row for row in rows if row["total_steps"] == "10000"], lambda row: (row["recipe"], int(row["steps"])))
    return float(mine.values((run, step), metric).mean())


def short(metric: str, recipe: str = "alrp_mobilenet_320") -> str:
    """What a recipe has after fourteen epochs of photographs, as a fraction."""
    rows = read_table(DATA / "long" / "comparison.csv")
    (row,) = (row for row in rows if row["recipe"] == recipe)
    return decimal(float(row[metric]), 0 if metric == "minutes" else 3)


def demo(loss: str) -> str:
    """AP of a loss on the pictures of `alrp demo`, and of how many seeds it is the mean: ".46 with one seed"."""
    aps = Study(read_table(DATA / "length" / "demo.csv"), lambda row: row["recipe"]).values(loss, "AP")
    return f"{decimal(float(aps.mean()) / 100, 2)} with {several(len(aps))}"
