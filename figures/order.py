"""Beyond the paper: the released code's localisation part against the formula.

The formula counts a positive k above i by the ramp H(x_ik) in rank(i) *and* in the sum of errors. The release smooths
the rank and sums the errors in hard order. The two agree where scores are far apart or tie for the step's whole width;
in between the release is off. Left: 50 positives with scores of a growing spread, 5,000 negatives, ten draws each.
Right: how both see one positive pass another.
"""

import torch
from matplotlib.figure import Figure

from alrp_ref import alrp_loss
from alrp_ref.palette import BOXES, INK, NEGATIVE
from figures.style import letter

SPREADS = torch.logspace(-1.5, 1.5, 25)
DRAWS = 10


def deviations() -> torch.Tensor:
    """Hard over smoothed localisation part, less 1: (spread, draw)."""
    rows = []
    for spread in SPREADS:
        row = []
        for seed in range(DRAWS):
            rng = torch.Generator().manual_seed(seed)
            scores = torch.randn(5050, generator=rng, dtype=torch.float64) * spread
            targets = torch.zeros(5050, dtype=torch.int64)
            targets[:50] = 1
            errors = torch.rand(50, generator=rng, dtype=torch.float64)
            hard, smoothed = (float(alrp_loss(scores, targets, errors, loc_step=s).loc) for s in ("hard", "smoothed"))
            row.append(hard / smoothed - 1)
        rows.append(row)
    return torch.tensor(rows)


def passing() -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """The localisation part of two positives, the worse box passing the better one, with one negative far below."""
    gaps = torch.linspace(-2, 2, 401, dtype=torch.float64)
    targets, errors = torch.tensor([1, 1, 0]), torch.tensor([0.9, 0.1], dtype=torch.float64)
    parts = {}
    for loc_step in ("hard", "smoothed"):
        lists = (torch.stack([gap, gap.new_tensor(0.0), gap.new_tensor(-9.0)]) for gap in gaps)
        parts[loc_step] = torch.stack([alrp_loss(one, targets, errors, loc_step=loc_step).loc for one in lists])
    return gaps, parts


def draw() -> Figure:
    off = 100 * deviations()
    figure = Figure(figsize=(9, 3.1))
    left, right = figure.subplots(1, 2)
    left.fill_between(SPREADS, off.amin(1), off.amax(1), color=NEGATIVE, alpha=0.2, linewidth=0)
    left.semilogx(SPREADS, off.mean(1), color=NEGATIVE)
    left.axhline(0, color=INK, linewidth=0.8)
    left.set(xlabel="standard deviation of the scores (the step: 1 on each side)", ylabel="deviation, %")
    letter(left, "(a) release / formula − 1: mean and range of ten lists")
    gaps, parts = passing()
    right.plot(gaps, parts["hard"], color=NEGATIVE, label="release: hard order, smoothed rank")
    right.plot(gaps, parts["smoothed"], color=BOXES, label="formula: smoothed both")
    right.set(
        xlabel="score of the worse box less that of the better one", ylabel=r"$\mathcal{L}_{loc}$", ylim=(0, None)
    )
    right.legend(loc="lower right")
    letter(right, "(b) two positives, errors 0.9 and 0.1")
    return figure
