r"""The judge: the paper's losses once more, over all pairs, line by line as the formulas read.

Every sum of the paper runs over pairs of examples, so write all pairs down. Three letters name the axes throughout:

====  =========================  ==============================
`i`   a positive                 rows of every matrix
`j`   a negative                 columns of (|P|, |N|) matrices
`k`   another positive           columns of (|P|, |P|) matrices
====  =========================  ==============================

This takes O(|P| (|P| + |N|)) time *and* memory: hopeless for the millions of negatives of a detector, and obvious.
The fast files of the package are tested against this one; it imports nothing of theirs, so that it can judge them.
It takes their arguments and gives their results, but checks nothing: bad input is their business.
"""

from typing import NamedTuple

import torch
from torch import Tensor

# --- Section 2: from scores to ranks -------------------------------------------------------------------------------


def step(x: Tensor, delta: float = 1.0) -> Tensor:
    r"""The smoothed step function.

    .. math:: H(x) = \mathrm{clip}\left(\tfrac{x}{2\delta} + \tfrac12,\; 0,\; 1\right)

    Shape: any -> the same.
    """
    return (x / (2 * delta) + 0.5).clamp(0, 1)


def differences(s_i: Tensor, s_j: Tensor) -> Tensor:
    r"""The difference transform: above zero where `j` outranks `i`.

    .. math:: x_{ij} = -(s_i - s_j) = s_j - s_i

    Shape: (I,), (J,) -> (I, J).
    """
    return s_j[None, :] - s_i[:, None]


def others_above(s_pos: Tensor, delta: float = 1.0) -> Tensor:
    r"""How far each *other* positive `k` outranks `i`: :math:`H(x_{ik})` for `k` != `i`, and 0 on the diagonal.

    Shape: (|P|,) -> (|P|, |P|).
    """
    return step(differences(s_pos, s_pos), delta).fill_diagonal_(0)


def rank_pos(s_pos: Tensor, delta: float = 1.0) -> Tensor:
    r"""Rank among the positives.

    .. math:: \mathrm{rank}^+(i) = 1 + \sum_{k \in \mathcal P, k \ne i} H(x_{ik})

    Shape: (|P|,) -> (|P|,).
    """
    return 1 + others_above(s_pos, delta).sum(1)


def n_fp(s_pos: Tensor, s_neg: Tensor, delta: float = 1.0) -> Tensor:
    r"""Number of false positives: the negatives that outrank a positive.

    .. math:: N_{FP}(i) = \sum_{j \in \mathcal N} H(x_{ij})

    Shape: (|P|,), (|N|,) -> (|P|,).
    """
    return step(differences(s_pos, s_neg), delta).sum(1)


def rank(s_pos: Tensor, s_neg: Tensor, delta: float = 1.0) -> Tensor:
    r"""Rank among all examples.

    .. math:: \mathrm{rank}(i) = \mathrm{rank}^+(i) + N_{FP}(i)

    Shape: (|P|,), (|N|,) -> (|P|,).
    """
    return rank_pos(s_pos, delta) + n_fp(s_pos, s_neg, delta)


# --- Section 3: from an error per positive to a gradient per score -------------------------------------------------


def distribution(s_pos: Tensor, s_neg: Tensor, delta: float = 1.0, eps: float = 0.0) -> Tensor:
    r"""Who is to blame for the error of positive `i`: the negatives above it, each by its step.

    .. math:: p(j|i) = H(x_{ij}) / N_{FP}(i)

    With no negative above (:math:`N_{FP}(i) \le` `eps`) that is 0/0: nobody is to blame, and the row is 0.

    Shape: (|P|,), (|N|,) -> (|P|, |N|).
    """
    h_ij = step(differences(s_pos, s_neg), delta)
    n_fp_i = h_ij.sum(1, keepdim=True)
    return torch.where(n_fp_i > eps, h_ij / n_fp_i, 0)


def primary_terms(ell: Tensor, p: Tensor) -> Tensor:
    r"""Definition 1.

    .. math:: L_{ij} = \ell(i)\, p(j|i)

    Shape: (|P|,), (|P|, |N|) -> (|P|, |N|).
    """
    return ell[:, None] * p


def gradient(ell: Tensor, ell_star: Tensor, p: Tensor) -> tuple[Tensor, Tensor]:
    r"""The error-driven update, collected per score.

    .. math:: \Delta x_{ij} = L^*_{ij} - L_{ij}, \qquad \frac{\partial \mathcal L}{\partial s_i}
              = \frac1{|\mathcal P|} \Big( \sum_j \Delta x_{ij} - \sum_j \Delta x_{ji} \Big)

    Only pairs (positive, negative) have an update: a positive sees the first sum, a negative the second.

    Shape: `ell`, `ell_star` (|P|,), `p` (|P|, |N|) -> (|P|,), (|N|,).
    """
    delta_x = primary_terms(ell_star, p) - primary_terms(ell, p)
    return delta_x.sum(1) / len(ell), -delta_x.sum(0) / len(ell)


def carry(value: Tensor, logits: Tensor, targets: Tensor, grad: tuple[Tensor, Tensor]) -> Tensor:
    """`value` as a scalar whose `backward()` puts the gradients of positives and negatives on `logits`."""
    slope = torch.zeros_like(logits, dtype=value.dtype)
    slope[targets == 1], slope[targets == 0] = grad
    still = logits.to(value.dtype) - logits.detach().to(value.dtype)  # zero, but its derivative is one
    return (value + (slope * still).sum()).to(torch.promote_types(logits.dtype, torch.float32))


def nothing(x: Tensor) -> Tensor:
    """The loss of a list without positives: zero, still connected to `x`."""
    return (0 * x).sum(dtype=torch.promote_types(x.dtype, torch.float32))


# --- AP Loss -------------------------------------------------------------------------------------------------------


def interpolate(precision: Tensor, s_pos: Tensor) -> Tensor:
    r"""Interpolated precision: the best at this recall or any higher one.

    .. math:: \mathrm{precision}(i) \leftarrow \max_{k \in \mathcal P,\; s_k \le s_i} \mathrm{precision}(k)

    Shape: (|P|,), (|P|,) -> (|P|,).
    """
    return torch.where(differences(s_pos, s_pos) <= 0, precision[None, :], 0).amax(1)


def ap_loss(
    logits: Tensor, targets: Tensor, *, delta: float = 1.0, interpolated: bool = True, validate: bool = False
) -> Tensor:
    r"""AP Loss, as `alrp_ref.ap_loss`.

    .. math:: \ell^{AP}(i) = 1 - \mathrm{rank}^+(i) / \mathrm{rank}(i), \qquad \ell^{AP*}(i) = 0
    """
    s_pos, s_neg = logits[targets == 1].detach().double(), logits[targets == 0].detach().double()
    if not len(s_pos):
        return nothing(logits)
    precision = rank_pos(s_pos, delta) / rank(s_pos, s_neg, delta)
    if interpolated:
        precision = interpolate(precision, s_pos)
    ell = 1 - precision
    grad = gradient(ell, torch.zeros_like(ell), distribution(s_pos, s_neg, delta))
    return carry(ell.mean(), logits, targets, grad)


# --- aLRP Loss -----------------------------------------------------------------------------------------------------


class ALRP(NamedTuple):
    """The two components of aLRP Loss, scalars, and the rank of each positive (|P|,)."""

    cls: Tensor
    loc: Tensor
    rank: Tensor


def hard_order(s_pos: Tensor) -> Tensor:
    """1 where positive `k` is counted before `i`, by score; of a tie, the one that appears later comes first.

    Shape: (|P|,) -> (|P|, |P|), with 0 on the diagonal.
    """
    x_ik = differences(s_pos, s_pos)
    return ((x_ik > 0) | (x_ik == 0) & torch.ones_like(x_ik, dtype=torch.bool).triu(1)).double()


def alrp_loss(
    logits: Tensor,
    targets: Tensor,
    loc_errors: Tensor,
    *,
    delta: float = 1.0,
    loc_step: str = "hard",
    validate: bool = False,
) -> ALRP:
    r"""aLRP Loss, as `alrp_ref.alrp_loss`.

    .. math:: \ell^{LRP}(i) = \frac1{\mathrm{rank}(i)} \Big( N_{FP}(i) + \mathcal E_{loc}(i)
              + \sum_{k \ne i} \mathcal E_{loc}(k) H(x_{ik}) \Big), \qquad
              \ell^{LRP*}(i) = \frac{\mathcal E_{loc}(i)}{\mathrm{rank}(i)}
    """
    s_pos, s_neg = logits[targets == 1].detach().double(), logits[targets == 0].detach().double()
    if not len(s_pos):
        return ALRP(nothing(logits), nothing(loc_errors), s_pos.to(nothing(logits).dtype))
    n_fp_i, rank_i, h_ik = n_fp(s_pos, s_neg, delta), rank(s_pos, s_neg, delta), others_above(s_pos, delta)

    e_loc = loc_errors.detach().double()
    ell, ell_star = (n_fp_i + e_loc + h_ik @ e_loc) / rank_i, e_loc / rank_i
    p = distribution(s_pos, s_neg, delta, eps=1e-5)  # the release shares out nothing below this N_FP
    cls = carry((n_fp_i / rank_i).mean(), logits, targets, gradient(ell, ell_star, p))

    above = hard_order(s_pos) if loc_step == "hard" else h_ik  # the release orders hard, over the smoothed rank
    e_loc = loc_errors.double()  # not detached: this part is the boxes' loss
    loc = ((e_loc + above @ e_loc) / rank_i).mean()
    return ALRP(cls, loc.to(cls.dtype), rank_i.to(cls.dtype))
