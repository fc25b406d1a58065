"""What several seeds say: the mean of a run over its seeds, and how far it may be off.

A *cell* is one loss, trained to one length, with n seeds. A cell has few seeds, too few for a standard deviation of
its own. So the deviation is pooled over all cells of a study that have several seeds:

    s = sqrt( sum_c sum_k (x_ck - mean_c)^2 / sum_c (n_c - 1) )

with value x_ck of seed k in cell c. A cell with one seed adds nothing. The denominator is the degrees of freedom.
The standard error of a mean is s / sqrt(n), and that of a difference of two means is s * sqrt(1 / n_1 + 1 / n_2).

Every table and page prints this standard error of the mean behind "±", and nothing else.
"""

import math
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

Rows = Sequence[Mapping[str, Any]]
"""Numbers, or strings from a CSV file; what is not known is None or empty."""
UNSCALED = ("rho", "minutes")
"""Columns that are not in percent."""


def pooled_deviation(cells: Iterable[Sequence[float]]) -> tuple[float, int]:
    """Standard deviation of a seed, pooled over cells, and its degrees of freedom. Raises: ValueError without any."""
    several = [np.asarray(cell) for cell in cells if len(cell) > 1]
    freedom = sum(len(cell) - 1 for cell in several)
    if not freedom:
        raise ValueError("no cell has more than one seed, so the seeds' deviation is not known")
    return math.sqrt(sum(((cell - cell.mean()) ** 2).sum() for cell in several) / freedom), freedom


def standard_error(deviation: float, *seeds: int) -> float:
    """Of a mean of so many seeds; with two numbers, of the difference of two means: s * sqrt(sum of 1 / n)."""
    return deviation * math.sqrt(sum(1 / n for n in seeds))


class Study:
    """The cells of one study, which share the deviation of a seed."""

    def __init__(self, rows: Rows, cell_of: Callable[[Mapping[str, Any]], Hashable]) -> None:
        cells = defaultdict(list)
        for row in rows:
            cells[cell_of(row)].append(row)
        self.cells: dict[Hashable, Rows] = dict(cells)

    def values(self, cell: Hashable, column: str) -> np.ndarray:
        """The known values of the seeds, in percent but for `UNSCALED`. Raises: ValueError for an unknown cell."""
        if cell not in self.cells:
            raise ValueError(f"no run is {cell!r}; the runs are {', '.join(map(repr, self.cells))}")
        known = [float(row[column]) for row in self.cells[cell] if row.get(column) not in (None, "")]
        return np.array(known) * (1 if column in UNSCALED else 100)

    def deviation(self, column: str) -> tuple[float, int]:
        """`pooled_deviation` of all cells."""
        return pooled_deviation([self.values(cell, column) for cell in self.cells])

    def mean(self, cell: Hashable, column: str) -> tuple[float, float | None]:
        """Mean over the seeds, and its standard error: None in a study in which no cell has several seeds."""
        values = self.values(cell, column)
        return float(values.mean()), self._error(column, len(values))

    def difference(self, cell: Hashable, other: Hashable, column: str) -> tuple[float, float | None]:
        """Mean of a cell less that of another one, and its standard error, None as for `mean`."""
        ours, theirs = self.values(cell, column), self.values(other, column)
        return float(ours.mean() - theirs.mean()), self._error(column, len(ours), len(theirs))

    def _error(self, column: str, *seeds: int) -> float | None:
        several = any(len(self.values(cell, column)) > 1 for cell in self.cells)
        return standard_error(self.deviation(column)[0], *seeds) if several else None

    def shown(self, cell: Hashable, column: str) -> str:
        """For a table: the mean, ± its standard error if a cell of the study has several seeds; - if not known."""
        if not len(self.values(cell, column)):
            return "-"
        digits = 1 if column == "minutes" else 2
        mean, error = self.mean(cell, column)
        return f"{mean:.{digits}f}" + ("" if error is None else f" ± {error:.{digits}f}")
