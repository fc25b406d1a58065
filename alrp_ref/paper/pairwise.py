r"""The judge: the paper's losses once more, over all pairs, line by line as the formulas read.

Every sum of the paper runs over pairs of examples, so write all pairs down. Three letters name the axes:

    i   a positive          the rows of every matrix
    j   a negative          the columns of (|P|, |N|) matrices
    k   another positive    the columns of (|P|, |P|) matrices

That takes O(|P| (|P| + |N|)) time *and* memory: obvious, and hopeless for a detector's millions of negatives.
The fast files of the package are tested against this one; it imports nothing of theirs, so that it can judge.
Its losses have the arguments and results of `alrp_ref.alrp_loss` and `alrp_ref.ap_loss`, and compute in float64. They
lack two things: they do not check their input, so `validate` changes nothing, and they rank the examples of one process
only, so there is no `rank_scope`.
"""

from typing import NamedTuple

import torch
from torch import Tensor

# Section 2.1: from scores to ranks


def step(x: Tensor, delta: float = 1.0) -> Tensor:
    r"""The smoothed step function, on any shape.

    .. math:: H(x) = \mathrm{clip}\left(\tfrac{x}{2\delta} + \tfrac12,\; 0,\; 1\right)

    Source: Section 2.1, below Eq. (3).
    """
    return (x / (2 * delta) + 0.5).clamp(0, 1)


def differences(s_i: Tensor, s_j: Tensor) -> Tensor:
    r"""The difference transform, above zero where `j` outranks `i`. Shape: (I,), (J,) -> (I, J).

    .. math:: x_{ij} = -(s_i - s_j) = s_j - s_i

    Source: Section 2.1, above Eq. (3).
    """
    return s_j[None, :] - s_i[:, None]


def others_above(s_pos: Tensor, delta: float = 1.0) -> Tensor:
    r"""How far each *other* positive outranks `i`: 0 on the diagonal. Shape: (|P|,) -> (|P|, |P|).

    .. math:: H(x_{ik}), \quad k \in \mathcal P,\; k \ne i

    Source: Eq. (3), Section 2.1.
    """
    return step(differences(s_pos, s_pos), delta).fill_diagonal_(0)


def rank_pos(s_pos: Tensor, delta: float = 1.0) -> Tensor:
    r"""Rank among the positives. Shape: (|P|,) -> (|P|,).

    .. math:: \mathrm{rank}^+(i) = 1 + \sum_{k \in \mathcal P, k \ne i} H(x_{ik})

    Source: Eq. (3), Section 2.1.
    """
    return 1 + others_above(s_pos, delta).sum(1)


def n_fp(s_pos: Tensor, s_neg: Tensor, delta: float = 1.0) -> Tensor:
    r"""Number of false positives: the negatives that outrank `i`. Shape: (|P|,), (|N|,) -> (|P|,).

    .. math:: N_{FP}(i) = \sum_{j \in \mathcal N} H(x_{ij})

    Source: Eq. (3), Section 2.1.
    """
    return step(differences(s_pos, s_neg), delta).sum(1)


def rank(s_pos: Tensor, s_neg: Tensor, delta: float = 1.0) -> Tensor:
    r"""Rank among all examples. Shape: (|P|,), (|N|,) -> (|P|,).

    .. math:: \mathrm{rank}(i) = \mathrm{rank}^+(i) + N_{FP}(i)

    Source: Eq. (3), Section 2.1.
    """
    return rank_pos(s_pos, delta) + n_fp(s_pos, s_neg, delta)


# Section 3: from an error per positive to a gradient per score


def distribution(s_pos: Tensor, s_neg: Tensor, delta: float = 1.0, eps: float = 0.0) -> Tensor:
    r"""Who is to blame for the error of `i`: the negatives above it. Shape: (|P|,), (|N|,) -> (|P|, |N|).

    .. math:: p(j|i) = H(x_{ij}) / N_{FP}(i)

    With no negative above (:math:`N_{FP}(i) \le` `eps`) that is 0/0: nobody is to blame, and the row is 0.

    Source: Eq. (7), Section 3.
    """
    h_ij = step(differences(s_pos, s_neg), delta)
    n_fp_i = h_ij.sum(1, keepdim=True)
    return torch.where(n_fp_i > eps, h_ij / n_fp_i, 0)


def primary_terms(ell: Tensor, p: Tensor) -> Tensor:
    r"""Definition 1: each positive's error, shared out. Shape: (|P|,), (|P|, |N|) -> (|P|, |N|).

    .. math:: L_{ij} = \ell(i)\, p(j|i)

    Source: Definition 1, Eq. (7), Section 3.
    """
    return ell[:, None] * p


def gradient(ell: Tensor, ell_star: Tensor, p: Tensor) -> tuple[Tensor, Tensor]:
    r"""The error-driven update, collected per score. Shape: (|P|,), (|P|,), (|P|, |N|) -> (|P|,), (|N|,).

    .. math:: \Delta x_{ij} = L^*_{ij} - L_{ij}, \qquad \frac{\partial \mathcal L}{\partial s_i}
              = \frac1{|\mathcal P|} \Big( \sum_j \Delta x_{ij} - \sum_j \Delta x_{ji} \Big)

    Only pairs (positive, negative) have an update: a positive keeps the first sum, a negative the second.

    Source: Eq. (5), Section 2.1; Algorithm 1, Section 3.
    """
    delta_x = primary_terms(ell_star, p) - primary_terms(ell, p)
    return delta_x.sum(1) / len(ell), -delta_x.sum(0) / len(ell)


def attach_gradient(value: Tensor, logits: Tensor, targets: Tensor, grad: tuple[Tensor, Tensor]) -> Tensor:
    """`value` as a scalar whose `backward()` puts the gradients of positives and negatives on `logits`."""
    slope = torch.zeros_like(logits, dtype=value.dtype)
    slope[targets == 1], slope[targets == 0] = grad
    still = logits.to(value.dtype) - logits.detach().to(value.dtype)  # always 0, but its derivative is 1
    return (value + (slope * still).sum()).to(torch.promote_types(logits.dtype, torch.float32))


def zero_loss(x: Tensor) -> Tensor:
    """The loss of a list without positives: zero, still connected to `x`."""
    return (0 * x).sum(dtype=torch.promote_types(x.dtype, torch.float32))


# AP Loss


def interpolate(precision: Tensor, s_pos: Tensor) -> Tensor:
    r"""The best precision at this recall or any higher one. Shape: (|P|,), (|P|,) -> (|P|,).

    .. math:: \mathrm{precision}(i) \leftarrow \max_{k \in \mathcal P,\; s_k \le s_i} \mathrm{precision}(k)

    Source: AP Loss (CVPR 2019); not in the paper, but in the release.
    """
    return torch.where(differences(s_pos, s_pos) <= 0, precision[None, :], 0).amax(1)


def ap_loss(
    logits: Tensor, targets: Tensor, *, delta: float = 1.0, interpolated: bool = True, validate: bool = False
) -> Tensor:
    r"""AP Loss: see `alrp_ref.ap_loss`.

    .. math:: \ell^{AP}(i) = 1 - \mathrm{rank}^+(i) / \mathrm{rank}(i), \qquad \ell^{AP*}(i) = 0

    Source: Eqs. (2) and (4), Section 2.1.
    """
    s_pos, s_neg = logits[targets == 1].detach().double(), logits[targets == 0].detach().double()
    if not len(s_pos):
        return zero_loss(logits)
    precision = rank_pos(s_pos, delta) / rank(s_pos, s_neg, delta)
    if interpolated:
        precision = interpolate(precision, s_pos)
    ell = 1 - precision
    grad = gradient(ell, torch.zeros_like(ell), distribution(s_pos, s_neg, delta))
    return attach_gradient(ell.mean(), logits, targets, grad)


# Section 4: aLRP Loss


class ALRP(NamedTuple):
    """The two components of aLRP Loss, Eq. (11), scalars, and the rank of each positive (|P|,)."""

    cls: Tensor
    loc: Tensor
    rank: Tensor


def hard_order(s_pos: Tensor) -> Tensor:
    """1 where `k` counts before `i`: by score, of a tie the later one. Shape: (|P|,) -> (|P|, |P|)."""
    x_ik = differences(s_pos, s_pos)
    is_later = torch.ones_like(x_ik).triu(1) > 0
    return ((x_ik > 0) | (x_ik == 0) & is_later).double()


def alrp_loss(
    logits: Tensor,
    targets: Tensor,
    loc_errors: Tensor,
    *,
    delta: float = 1.0,
    loc_step: str = "hard",
    validate: bool = False,
) -> ALRP:
    r"""aLRP Loss: see `alrp_ref.alrp_loss`.

    .. math:: \ell^{LRP}(i) = \frac1{\mathrm{rank}(i)} \Big( N_{FP}(i) + \mathcal E_{loc}(i)
              + \sum_{k \ne i} \mathcal E_{loc}(k) H(x_{ik}) \Big), \qquad
              \ell^{LRP*}(i) = \frac{\mathcal E_{loc}(i)}{\mathrm{rank}(i)}

    Source: Eqs. (9) to (13), Section 4.
    """
    s_pos, s_neg = logits[targets == 1].detach().double(), logits[targets == 0].detach().double()
    if not len(s_pos):
        return ALRP(zero_loss(logits), zero_loss(loc_errors), s_pos.to(zero_loss(logits).dtype))
    n_fp_i, rank_i, h_ik = n_fp(s_pos, s_neg, delta), rank(s_pos, s_neg, delta), others_above(s_pos, delta)

    e_loc = loc_errors.detach().double()
    ell, ell_star = (n_fp_i + e_loc + h_ik @ e_loc) / rank_i, e_loc / rank_i
    p = distribution(s_pos, s_neg, delta, eps=1e-5)  # at a smaller N_FP the release shares out nothing
    cls = attach_gradient((n_fp_i / rank_i).mean(), logits, targets, gradient(ell, ell_star, p))

    # The release orders the positives hard, over the smoothed rank. Not detached: this part trains the boxes.
    e_loc, above = loc_errors.double(), hard_order(s_pos) if loc_step == "hard" else h_ik
    loc = ((e_loc + above @ e_loc) / rank_i).mean()
    return ALRP(cls, loc.to(cls.dtype), rank_i.to(cls.dtype))


# What came after: Rank & Sort Loss (ICCV 2021), which is not of this paper


class RankSort(NamedTuple):
    """The ranking and the sorting part of RS Loss, scalars. Only `ranking` has a gradient, that of both."""

    ranking: Tensor
    sorting: Tensor


def rank_sort_loss(
    logits: Tensor, targets: Tensor, ious: Tensor, *, delta: float = 0.5, validate: bool = False
) -> RankSort:
    r"""RS Loss: see `alrp_ref.rank_sort_loss`. A positive counts itself as H(0) = 1/2 here.

    .. math:: \ell_R(i) = \frac{N_{FP}(i)}{\mathrm{rank}(i)}, \qquad
              \ell_S(i) = \frac{\sum_k H(x_{ik}) (1 - y_k)}{\sum_k H(x_{ik})}, \qquad
              \ell_S^*(i) = \text{the same over } y_k \ge y_i

    Source: RS Loss (ICCV 2021) and its release.
    """
    s_pos, s_neg = logits[targets == 1].detach().double(), logits[targets == 0].detach().double()
    if not len(s_pos):
        return RankSort(zero_loss(logits), zero_loss(logits.detach()))
    y, h_ik, n_fp_i = ious.detach().double(), step(differences(s_pos, s_pos), delta), n_fp(s_pos, s_neg, delta)
    is_worse = y[None, :] < y[:, None]  # [y_k < y_i]

    ell_rank = n_fp_i / (h_ik.sum(1) + n_fp_i)
    of_order = h_ik * ~is_worse
    ell_sort = h_ik @ (1 - y) / h_ik.sum(1) - of_order @ (1 - y) / of_order.sum(1)

    zero, missorted = torch.zeros_like(ell_rank), h_ik * is_worse
    total = missorted.sum(1, keepdim=True)
    p_sort = torch.where(total > 1e-10, missorted / total, 0)
    lift, push = gradient(ell_rank, zero, distribution(s_pos, s_neg, delta, eps=1e-10))
    up, down = gradient(ell_sort, zero, p_sort)
    ranking = attach_gradient(ell_rank.mean(), logits, targets, (lift + up + down, push))
    return RankSort(ranking, ell_sort.mean().to(ranking.dtype))
