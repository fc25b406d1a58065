"""The README's picture: three detectors that only a loss tying scores to boxes can tell apart.

The toy example of the paper's Figure 1, see fig1.py: the three detectors have the same scores and the same four boxes;
they differ in which box goes with which score.
"""

from matplotlib.figure import Figure

from alrp_ref.palette import INK, LIGHT, POSITIVE
from figures.fig1 import IOUS, POSITIVES, SCORES, numbers
from figures.style import LOOKS, letter

TITLES = (
    "The best boxes have the best scores",
    "The best box has the lowest score",
    "The worst boxes have the best scores",
)
LOSSES = ("cross\nentropy", "IoU\nLoss", "AP\nLoss", "aLRP\nLoss")


def draw() -> Figure:
    """Three ranked lists, and under each what four losses say of it."""
    figure = Figure(figsize=(10, 3.4))
    axes = figure.subplots(1, 3, sharey=True)
    for ax, title, ious, values in zip(axes, TITLES, IOUS.values(), numbers().values(), strict=True):
        ax.bar(range(1, 11), SCORES.tolist(), color=LIGHT, width=0.82)
        for place, iou in zip(POSITIVES, ious, strict=True):
            score = float(SCORES[place])
            # A positive is filled as far as its box covers the object.
            ax.bar(place + 1, score, color="white", edgecolor=POSITIVE, width=0.82, linewidth=1)
            ax.bar(place + 1, score * iou, color=POSITIVE, width=0.82)
            ax.text(place + 1, score + 0.02, f"{iou:.2f}", ha="center", va="bottom", color=POSITIVE)
        letter(ax, title)
        ax.set(xticks=[], ylim=(0, 1.1))
        for line, name in enumerate(LOSSES):
            is_ours = name == LOSSES[-1]
            looks = {"color": LOOKS["aLRP Loss"].colour, "weight": "bold"} if is_ours else {"color": INK}
            text = f"{name} {values[name]:.4f}".replace("\n", " ")
            ax.text(10.5, 1.0 - 0.085 * line, text, ha="right", va="center", fontsize=9.5, **looks)
    axes[0].set_ylabel("score")
    key = "grey: negatives · blue: positives, filled and labelled by the IoU of their box"
    figure.supxlabel(f"ten anchors, best score first · {key}", fontsize=9, color=INK)
    return figure
