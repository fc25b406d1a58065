"""Figure 3: the two parts of aLRP Loss, their ratio, and the weight of the self-balance, while a detector trains.

At first ranks are huge, and since they divide the localisation part, boxes hardly learn: the ratio of the whole loss
to its localisation part is in the hundreds. The self-balance multiplies that part by the mean of this ratio over the
last epoch (50 in the first). The paper's figure is a ResNet-50 over 100 epochs of COCO.
"""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from alrp_ref.palette import BOXES, INK, POSITIVE
from alrp_ref.reports.curves import block_means
from figures.style import LOOKS, letter, log_ticks
from studies.results import DATA, Run, read_log

OURS = {
    "(a) alrp_tiny on shapes, 10,000 steps": DATA / "length" / "log_alrp_giou_sb.csv",
    "(b) alrp_mobilenet_320 on a sample of COCO, 14 epochs": DATA / "long" / "log_alrp.csv",
}
BLOCKS = 60
"""Points of each curve: means over so many parts of the run."""


def draw(run: Run | None = None) -> Figure:
    """Of our two runs, or of another one."""
    logs = OURS if run is None else {run.folder.name: run.folder / "metrics.csv"}
    figure = Figure(figsize=(4.2 * len(logs) + 0.8, 4.4))
    columns = figure.subplots(2, len(logs), sharex="col", squeeze=False, height_ratios=(3, 2)).T
    for (losses, ratio), (title, path) in zip(columns, logs.items(), strict=True):
        _draw(losses, ratio, read_log(path))
        letter(losses, title)
    columns[0][0].legend(loc="upper right")
    columns[0][1].legend(loc="upper right")
    return figure


def _draw(losses: Axes, ratio: Axes, log: dict[str, np.ndarray]) -> None:
    length, colour = max(1, len(log["step"]) // BLOCKS), LOOKS["aLRP Loss"].colour
    step, cls = (block_means(log[name], length) for name in ("step", "loss_cls"))
    loc = block_means(log["loss_loc"] / log["weight"], length)
    losses.plot(step, cls, color=POSITIVE, label=r"$\mathcal{L}_{cls}$")
    losses.plot(step, loc, color=BOXES, label=r"$\mathcal{L}_{loc}$")
    losses.plot(step, cls + loc, color=colour, label=r"$\mathcal{L}^{aLRP}$")
    losses.plot(
        step, block_means(log["loss_loc"], length), ":", color=BOXES, label=r"weight $\cdot\,\mathcal{L}_{loc}$"
    )
    losses.set(ylabel="loss", ylim=(0, None))
    ratio.plot(step, (cls + loc) / loc, color=colour, label=r"$\mathcal{L}^{aLRP} / \mathcal{L}_{loc}$")
    ratio.step(log["step"], log["weight"], where="post", color=INK, label="self-balance weight")
    ratio.set(xlabel="training step")
    log_ticks(ratio, (2, 5, 10, 20, 50, 100, 200, 500, 1000))
