"""What a verification found: each number with its deviation and bound, and a table of them."""

import math
import textwrap
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

SHOWN, SHOWN_AND_EXPLAINED = 10, 3
"""Failures that are printed, fewer where they are explained; `Verification.failed` has all."""


class Case(NamedTuple):
    """One number, or one array of numbers, that was compared."""

    group: str
    name: str
    deviation: float
    """The largest, relative to the largest number there should be; see `deviation`."""
    bound: float
    note: str = ""
    """What else went wrong."""

    @property
    def passed(self) -> bool:
        return self.deviation <= self.bound

    @property
    def excess(self) -> float:
        """The deviation in units of its bound."""
        return self.deviation / self.bound if self.bound else math.inf * self.deviation if self.deviation else 0.0

    def __str__(self) -> str:
        where = f"{self.group}: {self.name}" if self.name else self.group
        return f"{where}: {self.note or f'off by {self.deviation:.2g}, bound {self.bound:.2g}'}"


def deviation(actual: object, expected: object) -> tuple[float, str]:
    r"""How far an array is off, and in words, if its shape or a value makes no sense.

    .. math:: \max |actual - expected| / \max |expected|

    Absolute where everything expected is 0. Infinite for another shape, or where a number is not finite.
    """
    actual, expected = np.asarray(actual, dtype=np.float64), np.asarray(expected, dtype=np.float64)
    if actual.shape != expected.shape:
        return math.inf, f"has shape {actual.shape} instead of {expected.shape}"
    if not np.isfinite(actual).all():
        return math.inf, f"is not finite in {int((~np.isfinite(actual)).sum())} of {actual.size} places"
    if actual.size == 0:
        return 0.0, ""
    return float(np.abs(actual - expected).max() / (np.abs(expected).max() or 1.0)), ""


def wrapped(text: str) -> list[str]:
    """A sentence of an explanation in lines of 80 characters."""
    return textwrap.wrap(text, width=80, subsequent_indent="  ")


@dataclass
class Verification:
    """All that was compared, in groups. `print` it for a table; `passed` says whether every number is in its bound."""

    subject: str
    """What was verified, and where."""
    cases: list[Case] = field(default_factory=list)
    times: dict[str, dict[str, float]] = field(default_factory=dict)
    """Of groups that are timed: loss and gradient, in units of a `sort` and of a `copy` of the logits."""
    explanation: list[str] = field(default_factory=list)
    """What the failures have in common, in lines."""

    @property
    def failed(self) -> list[Case]:
        return [case for case in self.cases if not case.passed]

    @property
    def passed(self) -> bool:
        return not self.failed

    def worst(self) -> list[Case]:
        """Of each group, the case that is furthest towards or beyond its bound."""
        groups: dict[str, Case] = {}
        for case in self.cases:
            if case.group not in groups or case.excess > groups[case.group].excess:
                groups[case.group] = case
        return list(groups.values())

    def to_dict(self) -> dict[str, Any]:
        """For JSON: an infinite deviation is None there."""
        cases = [
            case._asdict() | {"deviation": case.deviation if math.isfinite(case.deviation) else None}
            for case in self.cases
        ]
        found = {"cases": cases, "times": self.times, "explanation": self.explanation}
        return {"subject": self.subject, "passed": self.passed} | found

    def __str__(self) -> str:
        units = ("sorts", "copies") if self.times else ()
        lines = [self.subject, "", _line("", "", "numbers", "off by", "bound", *units)]
        for case in self.worst():
            number = sum(other.group == case.group for other in self.cases)
            times = self.times.get(case.group, {})
            taken = [f"{times[unit]:.2f}" if unit in times else "" for unit in ("sort", "copy")]
            mark = "[OK]" if case.passed else "[FAIL]"
            lines.append(_line(mark, case.group, str(number), f"{case.deviation:.1e}", f"{case.bound:.1e}", *taken))
        return "\n".join([*lines, "", *self._conclusion()])

    def _conclusion(self) -> Iterable[str]:
        failed = self.failed
        if not failed:
            yield "every number is within its bound"
            return
        yield f"{len(failed)} of {len(self.cases)} numbers are beyond their bound:"
        # An error that every list raises is one failure.
        distinct = list({case.note or case: case for case in reversed(failed)}.values())[::-1]
        shown = distinct[: SHOWN_AND_EXPLAINED if self.explanation else SHOWN]
        yield from (f"  {case}" for case in shown)
        if len(failed) > len(shown):
            yield f"  and {len(failed) - len(shown)} more"
        if self.explanation:
            yield from ("", *self.explanation)


def _line(mark: str, group: str, number: str, *columns: str) -> str:
    return f"{mark:<6} {group:<31} {number:>7} {''.join(f'{text:>8}' for text in columns)}".rstrip()
