"""The README's picture: three detectors that only a loss tying scores to boxes can tell apart.

Ten anchors with scores 1.0 to 0.1, four of them positive. The three detectors have the same scores and the same four
boxes; they differ in which box goes with which score. This is the toy example of the paper's Figure 1.
"""

from pathlib import Path

import torch
from matplotlib.figure import Figure

from alrp_ref import alrp_loss, ap_loss

SCORES = torch.arange(10, 0, -1, dtype=torch.float64) / 10
POSITIVES = [0, 2, 5, 9]
IOUS = {
    "The best boxes have the best scores": (0.95, 0.80, 0.65, 0.50),
    "The best box has the lowest score": (0.80, 0.65, 0.50, 0.95),
    "The worst boxes have the best scores": (0.50, 0.65, 0.80, 0.95),
}
HARD = 0.05
"""A step narrower than half the distance of two scores is the hard step of the figure."""

INK, GREY, ACCENT = "#222222", "#c9ccd1", "#b3361e"


def losses(ious: tuple[float, ...]) -> dict[str, float]:
    """What each loss says of a detector with these boxes."""
    targets = torch.zeros(10, dtype=torch.int64)
    targets[POSITIVES] = 1
    ious = torch.tensor(ious, dtype=torch.float64)
    cross_entropy = torch.nn.functional.binary_cross_entropy(SCORES, targets.double())
    alrp = alrp_loss(SCORES, targets, (1 - ious) / 0.5, delta=HARD)
    return {
        "cross entropy": float(cross_entropy),
        "IoU loss": float((1 - ious).mean()),
        "AP Loss": float(ap_loss(SCORES, targets, delta=HARD)),
        "aLRP Loss": float(alrp.cls + alrp.loc),
    }


def draw() -> Figure:
    """Three ranked lists, and under each what four losses say of it."""
    figure = Figure(figsize=(10, 3.4), layout="constrained")
    axes = figure.subplots(1, 3, sharey=True)
    for ax, (title, ious) in zip(axes, IOUS.items(), strict=True):
        ax.bar(range(1, 11), SCORES.tolist(), color=GREY, width=0.82)
        for place, iou in zip(POSITIVES, ious, strict=True):
            score = float(SCORES[place])
            # A positive is filled as far as its box covers the object.
            ax.bar(place + 1, score, color="white", edgecolor=ACCENT, width=0.82, linewidth=1)
            ax.bar(place + 1, score * iou, color=ACCENT, width=0.82)
            ax.text(place + 1, score + 0.02, f"{iou:.2f}", ha="center", va="bottom", color=ACCENT, fontsize=9)
        ax.set_title(title, fontsize=10.5, color=INK, loc="left")
        ax.set_xticks([])
        ax.set_ylim(0, 1.1)
        ax.spines[["top", "right"]].set_visible(False)
        for line, (name, value) in enumerate(losses(ious).items()):
            style = {"color": ACCENT, "weight": "bold"} if name == "aLRP Loss" else {"color": INK}
            ax.text(10.5, 1.0 - 0.085 * line, f"{name}  {value:.4f}", ha="right", va="center", fontsize=9.5, **style)
    axes[0].set_ylabel("score", fontsize=9.5)
    key = "grey: negatives · red: positives, filled and labelled by the IoU of their box"
    figure.supxlabel(f"ten anchors, best score first · {key}", fontsize=9, color=INK)
    return figure


if __name__ == "__main__":
    draw().savefig(Path(__file__).with_suffix(".png"), dpi=160)
