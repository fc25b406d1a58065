"""Results in sentences are computed: the text of every page follows the data, and says what they support."""

import ast
import random
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from jinja2 import UndefinedError

from alrp_ref.machine.files import read_table
from figures import blocks, make, prose, seeds
from studies import results

FIGURES = Path(__file__).parents[1] / "figures"
TEMPLATES = sorted(FIGURES.glob("*.md.j2"))
PAGES = [path.name.removesuffix(".md.j2") for path in TEMPLATES]
NUMBER = re.compile(r"\d*\.?\d+")

NOT_RESULTS = {
    "0.9": "an IoU",
    "0.75": "an IoU",
    "0.5": "an IoU",
    ".9": "an IoU",
    "0.019": "a learning rate",
    "0.06": "a learning rate",
    "0.19": "a learning rate",
    ".019": "a learning rate",
    ".06": "a learning rate",
    ".19": "a learning rate",
    ".008": "a learning rate of the release",
    ".002": "a learning rate of the release",
    "0.8": "a noise of the toy",
    "1.2": "a noise of the toy",
    "0.4": "a noise of the toy",
    "3.4": "in the paper's text",
    "1.8": "in the paper's text",
    "8.4": "in the paper's text",
    ".2": "in the paper's text",
    ".48": "in the paper's text",
    ".49": "in the paper's text",
}


def written_again(name: str) -> tuple[Path, Callable[[str], str]]:
    """Where the page of a template lies, and what becomes of a text of it when it is written again."""
    if name in blocks.PAGES:
        found = blocks.rendered(name)
        return blocks.PAGES[name], lambda text: blocks.fill(name, text, found)
    drawn = make.drawings()[name].draw()
    return FIGURES / f"{name}.md", lambda text: drawn


def rendered(name: str, text: str) -> list[tuple[int, int]]:
    """From where to where a page is rendered: all of it, or what stands between its comments."""
    if name not in blocks.PAGES:
        return [(0, len(text))]
    comments = r"<!-- results: \w+ -->(.*?)<!-- end of results -->"
    return [found.span(1) for found in re.finditer(comments, text, re.DOTALL)]


@pytest.mark.parametrize("name", PAGES)
def test_no_printed_number_can_be_changed_by_hand(name: str):
    """The page is as rendered. A dozen of its numbers, drawn at random: with each changed, it no longer is."""
    path, again = written_again(name)
    text = path.read_text(encoding="utf-8")
    assert again(text) == text
    numbers = [m.span() for span in rendered(name, text) for m in NUMBER.finditer(text, *span)]
    assert numbers
    for start, end in random.Random(0).sample(numbers, min(12, len(numbers))):
        digit = next(i for i in range(start, end) if text[i].isdigit())
        changed = text[:digit] + str((int(text[digit]) + 1) % 10) + text[digit + 1 :]
        assert again(changed) == text != changed, text[start - 40 : end + 40]


@pytest.mark.parametrize("path", TEMPLATES, ids=PAGES)
def test_no_number_of_a_result_is_typed_in_a_template(path: Path):
    """Outside the calls, decimals are settings, IoUs, or numbers of the paper's text; and there are no percentages."""
    text = re.sub(r"\{\{.*?\}\}|\{%.*?%\}|```.*?```|`.*?`|\(\S*?\)", "", path.read_text(encoding="utf-8"), flags=re.S)
    typed = set(re.findall(r"(?<![\d.])\d*\.\d+|\d+ %", text))
    assert typed <= set(NOT_RESULTS), typed - set(NOT_RESULTS)


def test_a_number_in_a_sentence_follows_the_data(monkeypatch):
    """With one point of AP more in every row of the results, the means in the text rise by one; differences stay."""
    before = make.drawings()["claim_details"].draw()
    read = seeds.read_table

    def richer(path):
        return [row | {"AP": f"{float(row['AP']) + 0.01:.4f}"} for row in read(path)]

    found = re.search(r"constant 5: ([\d.]+) against ([\d.]+),", before.replace("\n", " "))
    monkeypatch.setattr(seeds, "read_table", richer)
    after = make.drawings()["claim_details"].draw().replace("\n", " ")
    ours, theirs = (f"{float(number) + 1:.1f}" for number in found.groups())
    assert f"constant 5: {ours} against {theirs}," in after
    assert prose.ahead("ap_alike_3", "alrp") in before and prose.ahead("ap_alike_3", "alrp") in after


def test_a_sentence_that_the_data_do_not_support_is_an_error():
    """A run is ahead by two standard errors or not at all; one that differs by ten of them is not level."""
    with pytest.raises(ValueError, match="a page says that ap has more AP90 than alrp"):
        prose.ahead("ap", "alrp", "AP90")
    with pytest.raises(ValueError, match="a page says that alrp has more AP than ap"):
        prose.ahead("alrp", "ap")
    with pytest.raises(ValueError, match="cannot be told apart in AP90"):
        prose.level("ap", "alrp", "AP90")
    with pytest.raises(ValueError, match=r"a page says that focal has more AP than ap \(person\)"):
        prose.Photographs().ahead("focal", "ap", "AP", "person")


def test_a_name_that_there_is_not_is_an_error(tmp_path, monkeypatch):
    """A run of another length, a misspelt run, a misspelt name in a template, a block that a page lacks."""
    with pytest.raises(ValueError, match=r"no run is \('alrp', 30000\); the runs are \('alrp', 10000\)"):
        prose.mean("alrp", steps=30_000)
    (tmp_path / "one.md.j2").write_text("{{ men('alrp') }}")
    monkeypatch.setattr(prose, "HERE", tmp_path)
    with pytest.raises(UndefinedError, match="'men' is undefined"):
        prose.render("one")
    (tmp_path / "readme.md.j2").write_text("{% block other %}one{% endblock %}")
    with pytest.raises(ValueError, match=r"README.md has the blocks \['address', 'results'\], and .* has \['other'\]"):
        blocks.filled("readme")


def test_paragraphs_are_filled_and_nothing_else_is(tmp_path, monkeypatch):
    """Lines of 120, in which a number and its error stay together; code, tables and headings stay as they are."""
    long = "word " * 23 + "12 ± 3"
    page = f"# {long}\n\n{long}\nwell\n\n| {long} |\n\n- {long}\n- one\n\n```bash\n{long}   x\n\nlast\n```\n"
    (tmp_path / "one.md.j2").write_text(page)
    monkeypatch.setattr(prose, "HERE", tmp_path)
    words = "word " * 22 + "word"
    filled = f"{words}\n12 ± 3 well\n\n| {long} |\n\n- {words}\n  12 ± 3\n- one\n\n"
    assert prose.render("one") == f"# {long}\n\n{filled}```bash\n{long}   x\n\nlast\n```\n"


@pytest.mark.parametrize("metric", results.MEASURED)
def test_the_error_of_every_row_is_of_the_last_evaluations_alone(metric: str):
    """The deviation on shapes is that of all runs of the results at their end, each loss and length a cell."""
    squares = freedom = 0
    rows = [row for row in read_table(results.DATA / "length" / "results.csv") if row["steps"] == row["total_steps"]]
    for cell in {(row["recipe"], row["steps"]) for row in rows}:
        values = np.array([float(row[metric]) for row in rows if (row["recipe"], row["steps"]) == cell])
        squares += (1 if metric == "rho" else 1e4) * values.var() * len(values)
        freedom += len(values) - 1
    assert seeds.shapes().deviation(metric) == (pytest.approx(np.sqrt(squares / freedom)), freedom)
    _, off = seeds.shapes().difference(("alrp", 10_000), ("ap", 10_000), metric)
    several = [len(seeds.shapes().values((run, 10_000), metric)) for run in ("alrp", "ap")]
    assert off == pytest.approx(np.sqrt(squares / freedom * sum(1 / n for n in several)))


@pytest.mark.parametrize("path", sorted(FIGURES.glob("*.py")), ids=lambda path: path.name)
def test_no_python_file_holds_a_paragraph(path: Path):
    """Outside docstrings, no string of a script is longer than 200 characters."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    docs = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    strings = [node for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    assert not [node.value for node in strings if id(node) not in docs and len(node.value) > 200]
