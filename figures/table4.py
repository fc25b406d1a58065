"""Table 4: the weight that the self-balance starts from."""

from figures.claim import COLUMNS, spread
from figures.runs import at_the_end
from figures.style import markdown

RUNS = {"1": "first_weight_1", "10": "first_weight_10", "50, the recipe's": "alrp", "200": "first_weight_200"}
"""The recipe of each initial weight in `data/length/results.csv`."""
NOTE = """The paper's text says that the initial weight has a negligible effect, even a very large one; its
numbers we have not read.
Ours: `alrp_tiny` on shapes, 10,000 steps, 500 an epoch, in percent but for rho; with three seeds mean ± half of the
range. After the first epoch each run has the weight that its own losses ask for.

1, 10 and 50 cannot be told apart: they end within .7 points of AP of each other, and the three seeds of 50 are .6
apart. 200 ends 1.6 points of AP lower, below all seeds of 50. It is about one epoch late: the mean of L_cls over the
last hundred steps of the first epoch is .93, with 50 .84, and it comes to .80 at the end of the second. We think that
this is the clipping of the gradient's norm, which the boxes fill when their weight is large. An epoch is a twentieth of
the training here, and a hundredth in the paper."""


def draw() -> str:
    rows = [["initial weight", "seeds", *COLUMNS]]
    for weight, recipe in RUNS.items():
        ours = at_the_end(recipe)
        rows += [[weight, str(len(ours)), *spread(ours, COLUMNS)]]
    return markdown("Table 4: initial weight of the self-balance", rows, NOTE)
