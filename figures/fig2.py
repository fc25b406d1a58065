"""Figure 2: where the gradients of aLRP Loss go, on a precision-recall curve. A sketch in the paper, real ones here.

Three positives and five negatives. (a) How hard each positive's score is lifted: by what stands above it, and by how
bad the boxes above it are. (b) Each positive spreads that over the negatives above it; what a negative feels is the
sum. (c) How hard each box is pulled: one high in the list enters every term below it.
"""

import torch
from matplotlib.figure import Figure

from alrp_ref import alrp_loss, pairwise
from alrp_ref.palette import BOXES, INK, NEGATIVE, OTHER, POSITIVE
from alrp_ref.ranking import ranks
from figures.style import letter

S_POS = torch.tensor([3.0, 1.0, -1.0], dtype=torch.float64)
S_NEG = torch.tensor([2.2, 1.6, 0.4, -0.2, -2.5], dtype=torch.float64)
E_LOC = torch.tensor([0.8, 0.3, 0.2], dtype=torch.float64)


def gradients() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Of the three positives' scores, (3,); spread over the negatives, (3, 5); and of the three boxes' errors, (3,)."""
    logits = torch.cat([S_POS, S_NEG]).requires_grad_()
    errors = E_LOC.clone().requires_grad_()
    out = alrp_loss(logits, torch.tensor([1] * 3 + [0] * 5), errors)
    out.cls.backward()
    out.loc.backward()
    on_scores = -logits.grad[:3]
    spread = on_scores[:, None] * pairwise.distribution(S_POS, S_NEG, eps=1e-5)
    return on_scores, spread, errors.grad


def draw() -> Figure:
    on_scores, spread, on_boxes = gradients()
    figure = Figure(figsize=(10, 3.1))
    curve, share, boxes = figure.subplots(1, 3)
    for ax, pulls, colour in ((curve, on_scores, POSITIVE), (boxes, on_boxes, BOXES)):
        _curve(ax, pulls.tolist(), colour)
    letter(curve, "(a) lift of each positive's score")
    letter(boxes, "(c) pull on each positive's box")
    letter(share, "(b) push on each negative, by positive")
    bottom = torch.zeros(5, dtype=torch.float64)
    for k, colour in enumerate((POSITIVE, OTHER, INK)):
        share.bar(range(5), spread[k], bottom=bottom, color=colour, width=0.65, label=f"from $p_{k + 1}$")
        bottom = bottom + spread[k]
    share.set_xticks(range(5), [f"$n_{j + 1}$" for j in range(5)], color=NEGATIVE)
    share.set(xlabel="negatives, best score first", ylabel="gradient")
    share.legend()
    return figure


def _curve(ax, pulls: list[float], colour: str) -> None:
    r = ranks(S_POS, S_NEG)
    recall, precision = torch.arange(1, 4) / 3, r.rank_pos / r.rank
    ax.plot(recall, precision, color=INK, linewidth=1, zorder=1)
    ax.scatter(recall, precision, s=[3000 * pull for pull in pulls], color=colour, alpha=0.55, linewidths=0, zorder=2)
    for k, pull in enumerate(pulls):
        place = (float(recall[k]), float(precision[k]))
        ax.annotate(f"$p_{k + 1}$\n{pull:.3f}", place, (0, 22), textcoords="offset points", ha="center")
    ax.set(xlabel="recall", ylabel="precision", xlim=(0.1, 1.2), ylim=(0, 1.4), xticks=(1 / 3, 2 / 3, 1))
    ax.set_xticklabels(["1/3", "2/3", "1"])
