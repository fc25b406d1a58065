"""Table 4: the weight that the self-balance starts from."""

from figures.claim import METRICS, spread
from figures.runs import at_the_end
from figures.style import markdown

COLUMNS = (*METRICS, "rho")
RUNS = {"1": "first_weight_1", "10": "first_weight_10", "50, the recipe's": "alrp"}
"""The recipe of each initial weight in `data/length/results.csv`."""
NOTE = """The paper's text says that the initial weight has a negligible effect, even a very large one; its
numbers we have not read.
Ours: `alrp_tiny` on shapes, 10,000 steps, 500 an epoch, in percent but for rho; with three seeds mean ± half of the
range. After the first epoch each run has the weight that its own losses ask for. At the end no row is
further from the recipe's mean than its seeds are from each other, but for rho, by a hundredth. So the effect is
negligible here, too."""


def draw() -> str:
    rows = [["initial weight", "seeds", *COLUMNS]]
    for weight, recipe in RUNS.items():
        ours = at_the_end(recipe)
        rows += [[weight, str(len(ours)), *spread(ours, COLUMNS)]]
    return markdown("Table 4: initial weight of the self-balance", rows, NOTE)
