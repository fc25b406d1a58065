"""Figure 4: how hard the negatives push for each push of the positives, while detectors train.

With aLRP Loss, and with AP Loss, the ratio is 1 at every step, whatever the imbalance: Theorem 2. With a target of 0 in
place of E_loc / rank it is 1, too, as long as no positive without a negative above it is pushed. That curve is not part
of the paper's figure; Appendix G shows a bad target. Cross entropy and focal loss wander: thin lines are single steps,
thick ones means over a fortieth of the run. (The paper: 12 epochs of COCO, mean over 10 runs.)
"""

import numpy as np
from matplotlib.figure import Figure

from alrp_ref.palette import INK
from alrp_ref.reports.means import block_means
from figures.runs import DATA, Run, read_log
from figures.style import LOOKS, Look, letter, log_ticks

PANELS = {
    "(a) alrp_tiny and kin on shapes": {
        "cross entropy": "log_cross_entropy",
        "focal loss": "log_focal",
        "aLRP Loss": "log_alrp_giou_sb_atss",
        "aLRP Loss, target 0": "log_alrp_zero_target",
    },
    "(b) alrp_mobilenet_320 and kin on a sample of COCO": {
        "focal loss": "comparison/log_focal",
        "aLRP Loss": "comparison/log_alrp",
        "AP Loss": "comparison/log_ap",
    },
}
TARGET_0 = Look(INK, (0, (1, 2)), "")
BLOCKS = 40


def logs(title: str) -> dict[str, dict[str, np.ndarray]]:
    """By the name of the loss, the logs of our runs in a panel."""
    return {name: read_log(DATA / f"{file}.csv") for name, file in PANELS[title].items()}


def draw(run: Run | None = None) -> Figure:
    """Of our runs, or of another one."""
    if run is None:
        panels = {title: logs(title) for title in PANELS}
    else:
        panels = {"": {run.folder.name: read_log(run.folder / "metrics.csv")}}
    figure = Figure(figsize=(4.6 * len(panels) + 0.6, 4.8))
    columns = figure.subplots(2, len(panels), sharex="col", sharey="row", squeeze=False, height_ratios=(3, 2)).T
    for (balance, losses), (title, runs) in zip(columns, panels.items(), strict=True):
        for name, log in runs.items():
            colour, line, _ = LOOKS.get(name, TARGET_0 if "target 0" in name else LOOKS["aLRP Loss"])
            length = max(1, len(log["step"]) // BLOCKS)
            step, ratio, loss = (block_means(log[column], length) for column in ("step", "balance", "loss_cls"))
            extremes = f"{np.nanmin(log['balance']):.3g} to {np.nanmax(log['balance']):.3g}"
            balance.plot(log["step"], log["balance"], color=colour, linewidth=0.6, alpha=0.4)
            balance.plot(step, ratio, linestyle=line, color=colour, label=f"{name}: {extremes}")
            losses.plot(step, loss, linestyle=line, color=colour)
        letter(balance, title)
        balance.legend(fontsize=8, title="least to largest of a step", title_fontsize=8)
        losses.set(xlabel="training step")
    log_ticks(columns[0][0], (0.01, 0.1, 1, 10))  # shared by the other column
    log_ticks(columns[0][1], (0.2, 0.5, 1, 2, 5, 10, 20, 50))
    columns[0][0].set(ylabel="gradient of negatives\n/ of positives")
    columns[0][1].set(ylabel="classification loss")
    return figure
