"""Beyond the paper: what the loss costs, and what it costs to be fast.

One list of a million negatives, 10 to 1,000 positives, value and gradient, float64, on a CPU. The loop over positives
is how the release works; buckets of negatives at their mean are a known way to be faster (2024), exact for the hard
step only; running sums are ours. Times are in units of ours at 10 positives. Measured by `studies/cost.py`.
"""

from matplotlib.figure import Figure

from alrp_ref.machine.files import read_table
from alrp_ref.palette import GREY, NEGATIVE, POSITIVE
from figures.style import letter, log_ticks
from studies.results import DATA

LOOKS = {"loop": (GREY, "--", "o"), "buckets": (NEGATIVE, ":", "^"), "running sums": (POSITIVE, "-", "s")}
NOTHING = 1e-17
"""Where an error of 0 is drawn."""


def draw() -> Figure:
    rows = read_table(DATA / "cost.csv")
    figure = Figure(figsize=(9, 3.2))
    times, errors = figure.subplots(1, 2)
    for method, (colour, line, marker) in LOOKS.items():
        mine = [row for row in rows if row["method"] == method]
        positives = [int(row["positives"]) for row in mine]
        times.loglog(positives, [float(row["time"]) for row in mine], line, color=colour, marker=marker, label=method)
        if method != "loop":
            off = [max(NOTHING, float(row["error_gradient"])) for row in mine]
            errors.loglog(positives, off, line, color=colour, marker=marker, label=method)
    times.set(xlabel="positives", ylabel="time of value and gradient")
    times.legend()
    log_ticks(times, (0.3, 1, 3, 10, 30, 100))
    letter(times, "(a) time, in units of ours at 10 positives")
    errors.set(xlabel="positives", ylabel="relative error", ylim=(1e-18, 1e3))
    errors.legend(loc="center right")
    letter(errors, "(b) error of the gradient, against the loop")
    return figure
