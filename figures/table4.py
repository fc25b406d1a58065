"""Table 4: the weight that the self-balance starts from."""

from figures.runs import DATA, METRICS, read_table
from figures.style import markdown

NOTE = """The paper's text says that the initial weight has a negligible effect, even a very large one; its
numbers we have not read.
Ours: `alrp_tiny` on shapes, 468 steps of 156 an epoch, one seed, in percent. After the first epoch each run has the
weight that its own losses ask for."""


def draw() -> str:
    rows = [["initial weight", *METRICS]]
    for row in read_table(DATA / "results.csv"):
        rows.append([row["first_weight"], *(f"{100 * float(row[column]):.1f}" for column in METRICS)])
    return markdown("Table 4: initial weight of the self-balance", rows, NOTE)
