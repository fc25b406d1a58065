"""Pages whose text is a template beside this file, `NAME.md.j2`, and the numbers that a sentence can call for.

A template is Markdown with calls in double braces: `{{ mean("alrp") }}` is the AP of aLRP Loss on shapes in percent.
So a number in a sentence changes with the data. A name or a run that there is not raises an error. So does a sentence
that the data no longer support: `ahead` wants a difference of twice its standard error or more, and `level` a smaller
one.

Runs have the names of `data/length/results.csv`. In text, numbers below one have no zero before the point.
"""

import re
import textwrap
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from alrp_ref.machine.files import read_table
from figures import pictures
from figures import seeds as statistics
from figures.paper import TAGS
from figures.style import table
from studies.results import DATA, MEASURED

HERE = Path(__file__).parent
NUMBERS = "no one two three four five six seven eight nine ten".split()
GLUE = "\0±\0"
"""Keeps a number and its error on one line."""


def render(name: str, **values: Any) -> str:
    """The page of the template `NAME.md.j2`, in lines of 120. Raises: UndefinedError for a name it does not find."""
    return wrapped(environment().get_template(f"{name}.md.j2").render(**values))


def blocks(name: str, **values: Any) -> dict[str, str]:
    """The blocks of a template of which each is a part of a page that is otherwise written by hand."""
    template = environment().get_template(f"{name}.md.j2")
    texts = {block: "".join(write(template.new_context(values))).strip() for block, write in template.blocks.items()}
    return {block: wrapped(f"{text}\n") if text else "" for block, text in texts.items()}


def environment() -> Environment:
    """Templates of this folder, with the functions below by their names."""
    made = Environment(
        loader=FileSystemLoader(HERE),
        undefined=StrictUndefined,
        autoescape=False,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    shown = (
        *(mean, error, ahead, level, apart, by_pictures, of_seed, count, seeds, deviations, best_constant),
        *(third, rate, bound, on_coco, decimal, table),
    )
    made.globals.update({function.__name__: function for function in shown})
    made.globals |= {"photo": Photographs(), "heads": Heads(), "tags": TAGS}
    return made


def wrapped(page: str) -> str:
    """Paragraphs and list items in lines of 120. Tables, headings, code, pictures and comments stay as they are."""
    parts = re.split(r"(^```.*?^```$)", page, flags=re.MULTILINE | re.DOTALL)
    return "".join(part if part.startswith("```") else _filled(part) for part in parts)


def _filled(part: str) -> str:
    paragraphs = re.split(r"(\n{2,})", part)
    return "".join(p if not p.strip() or p.lstrip()[0] in "|#!<" else _fill(p) for p in paragraphs)


def _fill(paragraph: str) -> str:
    head, tail = re.match(r"\n*", paragraph)[0], re.search(r"\n*$", paragraph)[0]
    items = re.split(r"\n(?=- )", paragraph.strip("\n"))
    look = {"width": 120, "break_on_hyphens": False, "break_long_words": False}
    lines = [
        textwrap.fill(
            " ".join(item.split()).replace(" ± ", GLUE), **look, subsequent_indent="  " if item.startswith("- ") else ""
        )
        for item in items
    ]
    return head + "\n".join(lines).replace(GLUE, " ± ") + tail


def decimal(value: float, digits: int = 1) -> str:
    """A number as a sentence has it: 66.7, .5, -.5; and 0 for what is rounded to nothing."""
    text = f"{value:.{digits}f}"
    return re.sub(r"^(-?)0\.", r"\1.", text) if float(text) else "0"


def mean(run: str, metric: str = "AP", steps: int = 10_000, digits: int | None = None) -> str:
    """Mean of a run over its seeds."""
    return decimal(statistics.shapes().mean((run, steps), metric)[0], _digits(metric) if digits is None else digits)


def error(run: str, metric: str = "AP", steps: int = 10_000) -> str:
    """The standard error of `mean`."""
    return decimal(statistics.shapes().mean((run, steps), metric)[1], _digits(metric))


def of_seed(run: str, seed: int, metric: str = "AP", steps: int = 10_000) -> str:
    """What one seed of a run has."""
    rows = statistics.shapes().cells[run, steps]
    return decimal(100 * float(next(row[metric] for row in rows if row["seed"] == str(seed))))


class Compared:
    """What a sentence says of two runs of a study, whose `difference` has the mean of one less that of the other."""

    def difference(self, run: str, other: str, metric: str, *where: Any, **named: Any) -> tuple[float, float]:
        """The difference and its standard error, in percent."""
        raise NotImplementedError

    def apart(self, run: str, other: str, metric: str = "AP", *where: Any, **named: Any) -> str:
        """The difference and its standard error: "-1.9 ± .3"."""
        by, off = self.difference(run, other, metric, *where, **named)
        return f"{decimal(by, _digits(metric))} ± {decimal(off, _digits(metric))}"

    def ahead(self, run: str, other: str, metric: str = "AP", *where: Any, **named: Any) -> str:
        """`apart`, of a run that has more by twice the standard error. Raises: ValueError if it has not."""
        by, off = self.difference(run, other, metric, *where, **named)
        _check(by >= 2 * off, f"{run} has more {metric} than {other}", by, off, *where, *named.values())
        return self.apart(run, other, metric, *where, **named)

    def level(self, run: str, other: str, metric: str = "AP", *where: Any, **named: Any) -> str:
        """`apart`, within twice the standard error. Raises: ValueError if it is not, since the sentence says so."""
        by, off = self.difference(run, other, metric, *where, **named)
        sentence = f"{run} and {other} cannot be told apart in {metric}"
        _check(abs(by) <= 2 * off, sentence, by, off, *where, *named.values())
        return self.apart(run, other, metric, *where, **named)


def _check(holds: bool, sentence: str, by: float, off: float, *where: Any) -> None:
    """Raises: ValueError if the data do not support what a page says."""
    if not holds:
        place = f" ({', '.join(map(str, where))})" if where else ""
        raise ValueError(f"a page says that {sentence}{place}; it is {by:.2f} ± {off:.2f}")


class Shapes(Compared):
    """The runs on shapes at their end."""

    def difference(self, run: str, other: str, metric: str, steps: int = 10_000) -> tuple[float, float]:
        return statistics.shapes().difference((run, steps), (other, steps), metric)


apart, ahead, level = Shapes().apart, Shapes().ahead, Shapes().level


def by_pictures(run: str, other: str, metric: str = "AP", steps: int = 10_000) -> str:
    """The standard error of `apart` that other pictures would bring, where it is another seed there."""
    runs = [
        [f"{name}_{steps}_{row['seed']}" for row in statistics.shapes().cells[name, steps]] for name in (run, other)
    ]
    return decimal(pictures.error("length", *runs, metric), _digits(metric))


def _digits(metric: str) -> int:
    return 2 if metric == "rho" else 1


def deviations() -> str:
    """The pooled standard deviation of a seed, by metric, and the degrees of freedom."""
    study = statistics.shapes()
    found = [f"{metric} {decimal(study.deviation(metric)[0], 3 if metric == 'rho' else 2)}" for metric in MEASURED]
    return f"{joined(found)}, with {study.deviation('AP')[1]} degrees of freedom"


def count(run: str, steps: int = 10_000) -> int:
    """How many seeds a run has."""
    return len(statistics.shapes().values((run, steps), "AP"))


def seeds(*runs: str, steps: int = 10_000) -> str:
    """ "two seeds"; for several runs "two seeds each", or "two and three seeds"."""
    numbers = [count(run, steps) for run in runs]
    if len(set(numbers)) > 1:
        return f"{joined([NUMBERS[n] for n in numbers])} seeds"
    return several(numbers[0]) + " each" * (len(runs) > 1)


def several(number: int) -> str:
    """ "one seed", "two seeds"."""
    return f"{NUMBERS[number]} seed{'s' * (number > 1)}"


def joined(words: list[str]) -> str:
    """With commas, and "and" before the last."""
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def third(run: str, group: str, column: str = "IoU", steps: int = 10_000) -> str:
    """Of the positives in thirds by score: mean IoU of the boxes, ".693", or share of the pull in percent, "76"."""
    (row,) = (
        row
        for row in read_table(DATA / "length" / "groups.csv")
        if (row["loss"], row["group"], row["steps"]) == (run, group, str(steps))
    )
    return decimal(100 * float(row[column]), 0) if column == "pull" else decimal(float(row[column]), 3)


def rate(loss: str, rate: float) -> str:
    """AP after 2,500 steps of the sweep, on training pictures held out."""
    return mean(f"rate_{loss}_{rate}", steps=2500)


def best_constant(error: str) -> str:
    """Of the constant weights of Table 3, for giou or iou, the one with most AP."""
    study, prefix = statistics.shapes(), f"{error}_weight_"
    found = {run: study.mean((run, steps), "AP")[0] for run, steps in study.cells if run.startswith(prefix)}
    return max(found, key=found.get).removeprefix(prefix)


def bound(run: str, order: str, metric: str = "AP") -> float:
    """AP of a detector with the scores of its true positives in worst order (lower), as it is, or best (upper)."""
    (row,) = (
        row for row in read_table(DATA / "length" / "bounds.csv") if (row["recipe"], row["order"]) == (run, order)
    )
    return 100 * float(row[metric])


def on_coco(loss: str, boxes: str = "", detector: str = "RetinaNet", epochs: int = 100) -> str:
    """AP that others have on COCO, with an error of the boxes whose name begins so."""
    (row,) = (
        row
        for row in read_table(DATA / "elsewhere.csv")
        if (row["detector"], row["loss"], row["epochs"]) == (detector, loss, str(epochs))
        and row["boxes"].startswith(boxes)
    )
    return row["AP"]


class Photographs(Compared):
    """The runs on photographs, of which each group of classes has a deviation of its own."""

    def difference(self, loss: str, other: str, metric: str, group: str) -> tuple[float, float]:
        return statistics.photographs(group).difference(loss, other, metric)

    def steps(self, loss: str) -> str:
        """At which steps the seeds were evaluated, each once."""
        steps = sorted({int(row["steps"]) for row in statistics.photographs("all").cells[loss]})
        return joined([f"{step:,}" for step in steps])


class Heads(Compared):
    """Heads on frozen features. A standard error is that of a paired bootstrap over the photographs."""

    def difference(self, row: str, other: str, metric: str, group: str = "all") -> tuple[float, float]:
        ours, theirs = self.of(row, group), self.of(other, group)
        if ours["folds"] != theirs["folds"]:
            raise ValueError(f"{row} has {ours['folds']} folds and {other} {theirs['folds']}: they are not compared")
        names = ([f"{one['row']}_{one['folds']}"] for one in (ours, theirs))
        return 100 * (float(ours[metric]) - float(theirs[metric])), pictures.error("heads", *names, metric)

    def of(self, row: str, group: str = "all") -> dict[str, str]:
        """What a row has on a group of classes: all, person or others."""
        rows = read_table(DATA / "heads" / "results.csv")
        return next(one for one in rows if (one["row"], one["class"]) == (row, group))
