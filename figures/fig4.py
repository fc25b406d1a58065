"""Figure 4: gradient of the negatives over that of the positives, and the loss, while detectors train.

With aLRP Loss the ratio is 1 at every step, whatever the imbalance: Theorem 2. With cross entropy and focal loss it is
not. It only tends to 1 on average, because the difference of the two sides is the derivative by the last layer's bias.
The paper's figure is RetinaNet over 12 epochs of COCO, mean of ten runs. Ours is `alrp_tiny` with each loss over 12
epochs of 40 steps on pictures of shapes: the mean of our runs as a line, and their range as a band.
"""

import numpy as np
from matplotlib.figure import Figure

from alrp_ref.machine.files import read_table
from figures.style import LOOKS, letter, log_ticks
from studies.results import DATA, Run, read_log

LOSSES = {"cross_entropy": "cross entropy", "focal": "focal loss", "alrp": "aLRP Loss"}
CURVES = tuple(name + end for name in ("balance", "loss_cls") for end in ("", "_least", "_most"))


def curves() -> dict[str, dict[str, np.ndarray]]:
    """By loss, columns of our runs: mean, least and most at each step."""
    rows = read_table(DATA / "length" / "figure4.csv")
    return {
        title: {c: np.array([float(row[c]) for row in rows if row["loss"] == name]) for c in CURVES}
        for name, title in LOSSES.items()
    }


def draw(run: Run | None = None) -> Figure:
    """Of our runs, or of another one."""
    logs = curves() if run is None else {run.folder.name: read_log(run.folder / "metrics.csv")}
    figure = Figure(figsize=(9, 3.4))
    balance, losses = figure.subplots(1, 2)
    for title, log in logs.items():
        look = LOOKS.get(title, LOOKS["aLRP Loss"])
        for axes, name, unit in ((balance, "balance", 1.0), (losses, "loss_cls", log["loss_cls"][0])):
            step = np.arange(len(log[name]))
            axes.plot(step, log[name] / unit, look.line, color=look.colour, label=title)
            if f"{name}_least" in log:
                band = log[f"{name}_least"] / unit, log[f"{name}_most"] / unit
                axes.fill_between(step, *band, color=look.colour, alpha=0.2, linewidth=0)
    letter(balance, "(a) gradient of negatives / of positives")
    letter(losses, "(b) classification loss / its first value")
    log_ticks(balance, (0.01, 0.1, 0.5, 1, 2, 5))
    for axes in (balance, losses):
        axes.set(xlabel="training step")
    losses.set(ylim=(0, None))
    losses.legend()
    return figure
