"""What the failures of a port have in common, in words."""

import traceback
from collections.abc import Callable, Iterator

import numpy as np

from alrp_ref.verification import mistakes
from alrp_ref.verification.ports import BOUNDS, Kind, List, Port, Results, judged, official_lists
from alrp_ref.verification.report import deviation, wrapped

LARGEST = 1_100
"""Logits of the lists that are tried with each mistake: `pairwise` takes long for more."""
TRIALS = 400
"""Calls of a port while its smallest failing list is looked for."""

PROPERTIES: dict[str, Callable[[List], bool]] = {
    "examples are ignored": lambda one: bool((one.targets == -1).any()),
    "delta is not 1": lambda one: one.delta != 1,
    "there are two positives or more": lambda one: (one.targets == 1).sum() > 1,
    "two positives have the same score": lambda one: len(np.unique(one.logits[one.targets == 1])) < len(one.loc_errors),
}
FACTORS: dict[str, Callable[[List], float]] = {
    "|P|": lambda one: len(one.loc_errors),
    "1 / |P|": lambda one: 1 / len(one.loc_errors),
    "-1": lambda one: -1.0,
    "2": lambda one: 2.0,
    "1/2": lambda one: 0.5,
    "|N|": lambda one: float((one.targets == 0).sum()),
}
Tried = list[tuple[List, Results, Results]]
"""Lists, with what there should be and what there is."""


def explained(port: Port, kind: Kind) -> list[str]:
    """Lines, of 80 characters at most: the error that was raised, or what the failing lists share, the mistake that
    explains them, and the smallest list that fails."""
    tried: Tried = []
    for number, (one, expected) in enumerate(official_lists(kind)):
        try:
            tried.append((one, expected, tuple(map(np.asarray, port(*one)))))
        except Exception as error:
            return wrapped(f"list {number}, of {len(one.logits)} logits: {_place(error)}")
    if any(len(got) != len(expected) or got[-1].shape != expected[-1].shape for _, expected, got in tried):
        return []  # what was returned is no result, and the failures say so
    lines, names = [], (*kind.parts, "gradient")
    failing = {name: _failing(tried, part) for part, name in enumerate(names)}
    failing = {name: lists for name, lists in failing.items() if lists}
    for name, lists in failing.items():
        lines += wrapped(_shared(name, names.index(name), lists, tried))
    lines += [line for text in _mistakes(kind, names, failing) for line in wrapped(text)]
    if failing:
        name = next(iter(failing))
        lines += ["", *_smallest(port, kind, names.index(name), failing[name])]
    return lines


def _place(error: Exception) -> str:
    """An error with the line that raised it, the last one that is not of an installed package."""
    frames = traceback.extract_tb(error.__traceback__)
    frame = next((f for f in reversed(frames) if "site-packages" not in f.filename), frames[-1])
    return f"{type(error).__name__}: {error}, in {frame.name}, {frame.filename}:{frame.lineno}: {frame.line}"


def _failing(tried: Tried, part: int) -> Tried:
    def is_right(expected: np.ndarray, got: np.ndarray) -> bool:
        return bool(np.isnan(expected).all()) or deviation(got, expected)[0] <= BOUNDS.get(got.dtype, 1e-12) * 10

    return [one for one in tried if not is_right(one[1][part], one[2][part])]


def _shared(name: str, part: int, failing: Tried, tried: Tried) -> str:
    """Where a part fails, and by which factor."""
    wrong = {id(one) for one, _, _ in failing}
    judged_lists = [one for one, expected, _ in tried if not np.isnan(expected[part]).all()]
    text = f"{name} fails in {len(failing)} of {len(judged_lists)} lists"
    if len(failing) == len(judged_lists):
        text = f"{name} fails in every list"
    for words, holds in PROPERTIES.items():
        having = {id(one) for one in judged_lists if holds(one)}
        if wrong <= having and len(having) < len(judged_lists):
            text += f", only where {words}" + (", and in all of those" if wrong == having else "")
            break
    for words, factor in FACTORS.items():
        if all(deviation(got[part], factor(one) * expected[part])[0] < 1e-6 for one, expected, got in failing):
            return f"{text}: it is {words} times what it should be in all of them"
    return text


def _mistakes(kind: Kind, names: tuple[str, ...], failing: dict[str, Tried]) -> Iterator[str]:
    """The mistakes that the failing parts agree with, those that explain most first."""
    left, candidates = dict(failing), mistakes.of_kind(kind)
    while left:
        agrees = {
            text: [n for n in left if _agrees(wrong, names.index(n), left[n])] for text, wrong in candidates.items()
        }
        text = max(agrees, key=lambda one: len(agrees[one]))
        if not agrees[text]:
            return
        *most, last = agrees[text]
        parts = f"{', '.join(most)} and {last} agree" if most else f"{last} agrees"
        yield f"It is as if {text}: {parts} with that."
        left = {name: lists for name, lists in left.items() if name not in agrees[text]}


def _agrees(mistake: mistakes.Mistake, part: int, failing: Tried) -> bool:
    few = [one for one in failing if len(one[0].logits) <= LARGEST][:12]
    close = (deviation(got[part], mistake(one)[part])[0] < 1e-5 for one, _, got in few)
    return bool(few) and all(close)


def _smallest(port: Port, kind: Kind, part: int, failing: Tried) -> list[str]:
    """A list that fails, with as few examples and digits as can be, printed whole."""
    one = min((one for one, _, _ in failing), key=lambda one: len(one.logits))
    trials = iter(range(TRIALS))

    def fails(candidate: List) -> bool:
        if next(trials, None) is None or not (candidate.targets == 1).any():
            return False
        try:
            return bool(
                _failing([(candidate, judged(candidate, kind), tuple(map(np.asarray, port(*candidate))))], part)
            )
        except Exception:
            return False

    size = len(one.logits) // 2
    while size:
        for start in range(0, len(one.logits), size):
            kept = np.arange(len(one.logits))
            kept = (kept < start) | (kept >= start + size)
            if not kept.all() and fails(smaller := _part(one, kept)):
                one = smaller
        size = size // 2
    rounded = one._replace(logits=one.logits.round(1), loc_errors=one.loc_errors.round(1))
    one = rounded if fails(rounded) else one
    return _printed(one, kind, judged(one, kind), tuple(map(np.asarray, port(*one))))


def _part(one: List, kept: np.ndarray) -> List:
    return one._replace(
        logits=one.logits[kept], targets=one.targets[kept], loc_errors=one.loc_errors[kept[one.targets == 1]]
    )


def _printed(one: List, kind: Kind, expected: Results, got: Results) -> list[str]:
    lines = [f"A small list that fails, with delta {one.delta:g}:"]
    numbers = iter(one.loc_errors)
    title = "" if kind.parts == ("loss",) else kind.numbers
    lines.append(f"  {'target':>6}{'logit':>10}{title:>12}{'gradient':>14}{'got':>14}")
    for k in range(min(24, len(one.logits))):
        number = f"{next(numbers):.4g}" if one.targets[k] == 1 and title else ""
        values = f"{expected[-1][k]:>14.6g}{got[-1][k]:>14.6g}"
        lines.append(f"  {one.targets[k]:>6}{one.logits[k]:>10.4g}{number:>12}{values}")
    if len(one.logits) > 24:
        lines.append(f"  and {len(one.logits) - 24} more")
    for name, right, found in zip(kind.parts, expected, got, strict=False):
        lines.append(f"  {name:<28}{float(right):>14.6g}{float(found):>14.6g}")
    return lines
