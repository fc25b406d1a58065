"""Beyond the paper: what the width delta of the step does to the gradient.

H rises from 0 to 1 between -delta and delta. (a) One positive at 0 and one negative on its way past it: what the
negative feels. From delta below the positive on it counts; the wider the step, the earlier. (b) 50 positives and
10,000 negatives: the share of the negatives that feel anything, and the loss. A wide step looks at many negatives far
below, a narrow one at those that stand above.
"""

import torch
from matplotlib.figure import Figure

from alrp_ref import alrp_loss
from alrp_ref.palette import BOXES, INK, NEGATIVE, OTHER, POSITIVE
from figures.style import letter

DELTAS = (0.1, 0.5, 1.0, 2.0)
WIDTHS = torch.logspace(-2, 1, 25)


def on_a_negative(delta: float) -> tuple[torch.Tensor, torch.Tensor]:
    """The gradient on a negative at each place, with a positive at 0 and another negative at -0.2."""
    places, felt = torch.linspace(-2.5, 2.5, 251, dtype=torch.float64), []
    for place in places:
        scores = torch.tensor([0.0, float(place), -0.2], dtype=torch.float64, requires_grad=True)
        alrp_loss(scores, torch.tensor([1, 0, 0]), torch.tensor([0.3], dtype=torch.float64), delta=delta).cls.backward()
        felt.append(scores.grad[1])
    return places, torch.stack(felt)


def in_a_list() -> tuple[torch.Tensor, torch.Tensor]:
    """For each of `WIDTHS` the share of negatives with a gradient, and the classification part."""
    rng = torch.Generator().manual_seed(0)
    scores = torch.randn(10_050, generator=rng, dtype=torch.float64)
    scores[:50] += 4
    targets = torch.zeros(10_050, dtype=torch.int64)
    targets[:50] = 1
    errors = torch.rand(50, generator=rng, dtype=torch.float64)
    shares, losses = [], []
    for width in WIDTHS.tolist():
        s = scores.clone().requires_grad_()
        loss = alrp_loss(s, targets, errors, delta=width).cls
        loss.backward()
        shares.append(float((s.grad[50:] > 0).double().mean()))
        losses.append(float(loss.detach()))
    return torch.tensor(shares), torch.tensor(losses)


def draw() -> Figure:
    figure = Figure(figsize=(9, 3.1))
    left, right = figure.subplots(1, 2)
    for delta, colour, style in zip(DELTAS, (INK, OTHER, POSITIVE, BOXES), ("-", "--", "-", ":"), strict=True):
        left.plot(*on_a_negative(delta), style, color=colour, label=rf"$\delta = {delta:g}$")
    left.set(xlabel="score of the negative, the positive's being 0", ylabel="gradient on the negative")
    left.legend()
    letter(left, "(a) a negative passes a positive")
    shares, losses = in_a_list()
    right.semilogx(WIDTHS, shares, color=NEGATIVE, label="negatives with a gradient, of all")
    right.semilogx(WIDTHS, losses, color=POSITIVE, label=r"$\mathcal{L}_{cls}$")
    right.axvline(1, color=INK, linewidth=0.8, linestyle=":")
    right.text(1.05, 0.03, r"the paper's $\delta$", color=INK)
    right.set(xlabel=r"$\delta$", ylim=(0, 1.05))
    right.legend(loc="center left")
    letter(right, "(b) 50 positives among 10,000 negatives")
    return figure
