"""What several seeds say: the mean of a run over its seeds, and how far it may be off.

A *cell* is one loss, trained to one length, with n seeds. Here every cell has one to three, too few for a standard
deviation of its own. So the deviation is pooled over all cells of a study that have several seeds:

    s = sqrt( sum_c sum_k (x_ck - mean_c)^2 / sum_c (n_c - 1) )

with value x_ck of seed k in cell c. A cell with one seed adds nothing. The denominator is the degrees of freedom.
The standard error of a mean is s / sqrt(n), and that of a difference of two means is s * sqrt(1 / n_1 + 1 / n_2).

The pages print nothing else behind "±".
"""

import math
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence

import numpy as np

from figures.runs import DATA, read_table

Rows = list[dict[str, str]]
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

    def __init__(self, rows: Rows, cell_of: Callable[[dict[str, str]], Hashable]) -> None:
        self.cells: Mapping[Hashable, Rows] = defaultdict(list)
        for row in rows:
            self.cells[cell_of(row)].append(row)
        self.cells = dict(self.cells)

    def values(self, cell: Hashable, column: str) -> np.ndarray:
        """One value a seed, in percent but for rho. Raises: ValueError for a cell that there is not."""
        if cell not in self.cells:
            raise ValueError(f"no run is {cell!r}; the runs are {', '.join(map(repr, self.cells))}")
        return np.array([float(row[column]) for row in self.cells[cell]]) * (1 if column in UNSCALED else 100)

    def deviation(self, column: str) -> tuple[float, int]:
        """`pooled_deviation` of all cells."""
        return pooled_deviation([self.values(cell, column) for cell in self.cells])

    def mean(self, cell: Hashable, column: str) -> tuple[float, float | None]:
        """Mean over the seeds, and its standard error: None in a study in which no cell has several seeds."""
        values = self.values(cell, column)
        several = any(len(rows) > 1 for rows in self.cells.values())
        return float(values.mean()), standard_error(self.deviation(column)[0], len(values)) if several else None

    def difference(self, cell: Hashable, other: Hashable, column: str) -> tuple[float, float]:
        """Mean of a cell less that of another one, and its standard error."""
        ours, theirs = self.values(cell, column), self.values(other, column)
        error = standard_error(self.deviation(column)[0], len(ours), len(theirs))
        return float(ours.mean() - theirs.mean()), error


def shapes() -> Study:
    """The runs on shapes at their end, by recipe and length."""
    rows = [row for row in read_table(DATA / "length" / "results.csv") if row["steps"] == row["total_steps"]]
    return Study(rows, lambda row: (row["recipe"], int(row["steps"])))


def photographs(group: str) -> Study:
    """The runs on photographs where they stopped, by loss: the classes all, person or others."""
    rows = [row for row in read_table(DATA / "length" / "photographs.csv") if row["class"] == group]
    return Study(rows, lambda row: row["loss"])
