"""The studies that the pages speak of, as cells with several seeds."""

from alrp_ref.machine.files import read_table
from alrp_ref.reports.seeds import Study
from studies.results import DATA


def shapes() -> Study:
    """The runs on shapes at their end, by recipe and length."""
    rows = [row for row in read_table(DATA / "length" / "results.csv") if row["steps"] == row["total_steps"]]
    return Study(rows, lambda row: (row["recipe"], int(row["steps"])))


def photographs(group: str) -> Study:
    """The runs on photographs where they stopped, by loss: the classes all, person or others."""
    rows = [row for row in read_table(DATA / "length" / "photographs.csv") if row["class"] == group]
    return Study(rows, lambda row: row["loss"])
