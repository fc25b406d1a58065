"""Figure 2: where the gradients of aLRP Loss come from. The paper has a sketch; here each width is a real gradient.

Three positives and five negatives on a list by score, best on top. p1 has the best score and the worst box.
(a) What lifts the score of a positive: each negative above it, and the error of each box above it. So the bad box of
p1 lifts p2 and p3. (b) The same amount pushes the negatives above that positive down, in proportion to how far the
step counts them: n3, slightly below p2, by a fifth. (c) A box is pulled by the term of its own positive and by those of
all positives below: that of p1 by all three, that of p3 by its own alone, with the smallest weight.
"""

from typing import NamedTuple

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Polygon
from torch import Tensor

from alrp_ref import alrp_loss, pairwise
from alrp_ref.palette import BOXES, GREY, INK, NEGATIVE, POSITIVE
from figures.style import letter

S_POS = torch.tensor([3.0, 1.0, -1.0], dtype=torch.float64)
S_NEG = torch.tensor([2.2, 1.6, 0.4, -0.2, -2.5], dtype=torch.float64)
E_LOC = torch.tensor([0.8, 0.3, 0.2], dtype=torch.float64)
TARGETS = torch.tensor([1] * 3 + [0] * 5)

WIDTH = 2.2
"""How wide a gradient of 1 is drawn, in units of the score axis."""
LEFT, RIGHT, HEAD = 0.0, 1.0, 0.07


def gradients() -> tuple[Tensor, Tensor, Tensor]:
    """How far the loss moves the three positives up (3,), the five negatives down (5,), and the boxes' errors (3,)."""
    logits, errors = torch.cat([S_POS, S_NEG]).requires_grad_(), E_LOC.clone().requires_grad_()
    out = alrp_loss(logits, TARGETS, errors)
    (out.cls + out.loc).backward()
    return -logits.grad[:3], logits.grad[3:], errors.grad


class Parts(NamedTuple):
    """What those gradients are sums of: rows are the terms of the three positives."""

    lift_by_negatives: Tensor
    """(3, 5), and with `lift_by_boxes` the lift of each positive, in its row."""
    lift_by_boxes: Tensor
    """(3, 3)"""
    push: Tensor
    """(3, 5), the push on each negative, in its column."""
    pull: Tensor
    """(3, 3), the pull on each box, in its column."""


def parts() -> Parts:
    """Eqs. (13) and (11), a number for each pair."""
    per_rank = 1 / (len(S_POS) * pairwise.rank(S_POS, S_NEG))[:, None]
    by_negatives = per_rank * pairwise.step(pairwise.differences(S_POS, S_NEG))
    by_boxes = per_rank * pairwise.others_above(S_POS) * E_LOC
    lift = (by_negatives.sum(1) + by_boxes.sum(1))[:, None]
    pull = per_rank * (pairwise.hard_order(S_POS) + torch.eye(len(S_POS)))
    return Parts(by_negatives, by_boxes, lift * pairwise.distribution(S_POS, S_NEG), pull)


def draw() -> Figure:
    lift, push, pull = gradients()
    made = parts()
    figure = Figure(figsize=(10, 4.6))
    axes = figure.subplots(1, 3, sharey=True)
    titles = {
        "(a) lift of each positive's score": "from negatives above, and errors of boxes above",
        "(b) push on each negative's score": "from positives below",
        "(c) pull on each positive's box": "from the terms that its error enters",
    }
    for ax, (title, key) in zip(axes, titles.items(), strict=True):
        letter(ax, title)
        ax.text(0.5, 3.85, key, ha="center", color=GREY)
        ax.set(xlim=(-0.4, 1.3), ylim=(-2.9, 4.1), xticks=[])
        ax.spines["bottom"].set_visible(False)
    axes[0].set(ylabel="score", yticks=range(-2, 4))
    for ax in axes[1:]:
        ax.spines["left"].set_visible(False)
        ax.tick_params(left=False)

    everything = torch.cat([S_POS, S_NEG])
    lifted = torch.cat([made.lift_by_boxes, made.lift_by_negatives], 1)
    _flows(axes[0], everything, S_POS, lifted.T, [BOXES] * 3 + [NEGATIVE] * 5)
    _marks(axes[0], LEFT, S_POS, "p", BOXES, [f"error {e:.1f}" for e in E_LOC])
    _marks(axes[0], LEFT, S_NEG, "n", NEGATIVE)
    _marks(axes[0], RIGHT, S_POS, "p", POSITIVE, lift.tolist())

    _flows(axes[1], S_POS, S_NEG, made.push, [POSITIVE] * 3)
    _marks(axes[1], LEFT, S_POS, "p", POSITIVE, lift.tolist())
    _marks(axes[1], RIGHT, S_NEG, "n", NEGATIVE, push.tolist())

    _flows(axes[2], S_POS, S_POS, made.pull, [POSITIVE] * 3)
    _marks(axes[2], LEFT, S_POS, "p", POSITIVE, [rf"$\ell$({k})" for k in (1, 2, 3)])
    _marks(axes[2], RIGHT, S_POS, "p", BOXES, pull.tolist())
    return figure


def _flows(ax: Axes, sources: Tensor, targets: Tensor, widths: Tensor, colours: list[str]) -> None:
    """An arrow from each source to each target, as wide as their number; those of one target share its head."""
    left, right = _ports(sources, widths), _ports(targets, widths.T).T
    t = np.linspace(0, 1, 40)
    x, ease = LEFT + 0.08 + (RIGHT - HEAD - LEFT - 0.16) * t, t**2 * (3 - 2 * t)
    for source, target in widths.nonzero().tolist():
        middle = left[source, target] + (right[source, target] - left[source, target]) * ease
        half = WIDTH * float(widths[source, target]) / 2
        outline = np.concatenate([np.stack([x, middle - half], 1), np.stack([x, middle + half], 1)[::-1]])
        ax.add_patch(Polygon(outline, facecolor=colours[source], alpha=0.55, edgecolor="white", linewidth=0.3))
    for place, total in zip(targets.tolist(), widths.sum(0).tolist(), strict=True):
        if total:
            half, tip = WIDTH * total / 2 + 0.06, RIGHT - 0.06
            ax.add_patch(Polygon([(x[-1], place - half), (x[-1], place + half), (tip, place)], facecolor=GREY))


def _ports(places: Tensor, widths: Tensor) -> np.ndarray:
    """Where the middle of each arrow is at its own end: side by side, the one to the highest other end on top."""
    widths = WIDTH * widths.numpy()
    ends = widths.cumsum(1)
    return places.numpy()[:, None] + widths.sum(1, keepdims=True) / 2 - (ends - widths / 2)


def _marks(ax: Axes, x: float, places: Tensor, name: str, colour: str, texts: list | None = None) -> None:
    """A round mark for each positive and a square one for each negative, with its name inside and a text beside it."""
    ax.plot([x] * len(places), places, "o" if name == "p" else "s", color=colour, markersize=13, zorder=3)
    side, to = (-0.07, "right") if x == LEFT else (0.07, "left")
    for k, place in enumerate(places.tolist()):
        ax.text(x, place - 0.015, f"${name}_{k + 1}$", ha="center", va="center", color="white", fontsize=8, zorder=4)
        if texts is not None:
            text = texts[k] if isinstance(texts[k], str) else f"{texts[k]:.3f}"
            ax.text(x + side, place, text, ha=to, va="center", color=INK)
