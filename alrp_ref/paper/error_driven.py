r"""Definition 1, the error-driven update and Theorems 1 and 2, for any ranking-based loss.

A ranking-based loss is a mean of errors of the positives, :math:`\mathcal L = \frac1Z \sum_{i \in \mathcal P} \ell(i)`,
and :math:`\ell(i)` is a count over scores: its derivative is zero almost everywhere. The paper shares the error of
each positive among the negatives by a distribution :math:`p(j|i)`, and updates every pair by the error that it holds
beyond its target.

==============  =========================================================================  ============
`ell`           :math:`\ell(i)`, the error of positive `i`                                 (|P|,)
`ell_star`      :math:`\ell^*(i)`, the error it should have                                (|P|,)
`p`             :math:`p(j|i)`, the share of negative `j` in the error of `i`              (|P|, |N|)
`delta_x`       :math:`\Delta x_{ij}`, the update of a pair                                (|P|, |N|)
`z`             :math:`Z`, the normaliser of the loss                                      number
==============  =========================================================================  ============

Matrices over pairs are plain tensors or a `StepMatrix`, which is never formed. The functions here multiply their rows
by numbers and take sums of rows and columns, which both can do. Rows are positives. Columns are negatives in the
paper's two losses, `alrp_ref.paper.ap` and `alrp_ref.paper.alrp`; another loss may compare positives with each other.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from alrp_ref.paper.step_matrix import Pairs


def distribution(h_ij: Pairs, n_fp: Tensor, eps: float = 0.0) -> Pairs:
    r"""How the error of a positive is shared among the negatives: equally among those above it.

    .. math:: p(j|i) = H(x_{ij}) / N_{FP}(i)

    Args:
        h_ij: step functions of the score differences.
        n_fp: their sums over the negatives.
        eps: where :math:`N_{FP}(i)` is not above this, no negative shares the error: the row is 0 instead of 0/0.

    Shape: `h_ij` (|P|, |N|), `n_fp` (|P|,) -> (|P|, |N|).
    Source: Definition 1, Eq. (7), Section 3. The paper allows other distributions, for example one that is skewed to
        harder negatives.
    """
    return h_ij / torch.where(n_fp > eps, n_fp, torch.inf)[:, None]


def primary_terms(ell: Tensor, p: Pairs) -> Pairs:
    r"""The primary terms of a ranking-based loss.

    .. math:: L_{ij} = \ell(i)\, p(j|i) \quad (i \in \mathcal P,\, j \in \mathcal N), \qquad \sum_{j} p(j|i) = 1

    Shape: `ell` (|P|,), `p` (|P|, |N|) -> (|P|, |N|).
    Source: Definition 1, Eq. (7), Section 3.
    """
    return ell[:, None] * p


def update(ell: Tensor, ell_star: Tensor | float, p: Pairs) -> Pairs:
    r"""The error-driven update, in place of :math:`-\partial \mathcal L / \partial x_{ij}`.

    .. math:: \Delta x_{ij} = L^*_{ij} - L_{ij} = (\ell^*(i) - \ell(i))\, p(j|i)

    Error and target are shared by the same distribution, so the difference of two primary terms is the primary term
    of the difference.

    Shape: `ell` (|P|,), `ell_star` (|P|,) or a number, `p` (|P|, |N|) -> (|P|, |N|).
    Source: Section 3; line 3 of Algorithm 1. For aLRP Loss this is Eq. (13), Section 4.
    """
    return primary_terms(ell_star - ell, p)


class Gradient(NamedTuple):
    """Gradients with respect to the scores of the rows (|P|,) and of the columns (|N|,) of the pairs."""

    rows: Tensor
    columns: Tensor


class Part(NamedTuple):
    """A part of a loss, a scalar, and the gradient that its `backward()` gives.

    The gradient is a `Gradient` on the scores; or a tensor, on what else a loss is given for each positive, (|P|,); or
    None.
    """

    value: Tensor
    gradient: Gradient | Tensor | None


def gradient(ell: Tensor, ell_star: Tensor | float, p: Pairs, z: float | None = None) -> Gradient:
    r"""Gradients of the scores, from the update.

    .. math:: \frac{\partial \mathcal L}{\partial s_i}
              = \frac1Z \Big( \sum_j \Delta x_{ij} - \sum_j \Delta x_{ji} \Big)

    This is the chain rule over :math:`x_{ij} = s_j - s_i`, with :math:`-\Delta x_{ij} / Z` in place of the derivative
    with respect to :math:`x_{ij}`. Only pairs of a row and a column have an update. So the score of a row keeps the
    first sum, over its row, and the score of a column the second, over its column.

    Args:
        ell, ell_star: error and target error of each positive.
        p: distribution of each positive's error over the columns; a row of zeros shares out nothing.
        z: the normaliser; |P| if not given.

    Shape: `ell` (|P|,), `ell_star` (|P|,) or a number, `p` (|P|, |N|).
    Source: Eq. (5), Section 2.1; Algorithm 1, Section 3.
    """
    z = ell.numel() if z is None else z
    delta_x = update(ell, ell_star, p) / z
    return Gradient(rows=delta_x.sum(1), columns=(-delta_x).sum(0))


class Theorem1(NamedTuple):
    """The two sides of Theorem 1."""

    loss: Tensor
    sum_of_primary_terms: Tensor


def theorem_1(ell: Tensor, p: Pairs, z: float | None = None) -> Theorem1:
    r"""The loss is the sum of its primary terms.

    .. math:: \mathcal L = \frac1Z \sum_{i \in \mathcal P} \ell(i)
              = \frac1Z \sum_{i \in \mathcal P} \sum_{j \in \mathcal N} L_{ij}

    *Proof.* Sum out `j`: :math:`\sum_j \ell(i)\, p(j|i) = \ell(i)`. It needs :math:`p(\cdot|i)` to sum to one, and
    fails by the :math:`\ell(i)` of every positive that has an error but no negative to share it with.

    Shape: `ell` (|P|,), `p` (|P|, |N|) -> two scalars.
    Source: Theorem 1, Section 3.
    """
    z = ell.numel() if z is None else z
    return Theorem1(loss=ell.sum() / z, sum_of_primary_terms=primary_terms(ell, p).sum(1).sum() / z)


class Theorem2(NamedTuple):
    """The two sides of Theorem 2, and whether its condition holds."""

    positives: Tensor
    negatives: Tensor
    sign_condition: Tensor


def theorem_2(ell: Tensor, ell_star: Tensor | float, p: Pairs, z: float | None = None) -> Theorem2:
    r"""Positives and negatives receive gradients of equal total magnitude, however unequal their numbers.

    .. math:: \sum_{i \in \mathcal P} \Big| \frac{\partial \mathcal L}{\partial s_i} \Big|
              = \sum_{i \in \mathcal N} \Big| \frac{\partial \mathcal L}{\partial s_i} \Big|

    *Proof.* Both *signed* sums are :math:`\pm \frac1Z \sum_{ij} \Delta x_{ij}`, always. The absolute sums follow if no
    terms cancel within them, which is the **sign condition** :math:`\ell(i) \ge \ell^*(i)` for all `i`: every
    :math:`\Delta x_{ij} \le 0`, so positives only rise and negatives only fall.

    Without it, a negative may be pushed down by one positive and up by another. The two cancel in its
    own sum, but not in the sum over positives, and the balance is lost: `negatives` < `positives`.

    Shape: `ell` (|P|,), `ell_star` (|P|,) or a number, `p` (|P|, |N|) -> three scalars, the last one boolean.
    Source: Theorem 2, Section 3.
    """
    grad = gradient(ell, ell_star, p, z)
    return Theorem2(grad.rows.abs().sum(), grad.columns.abs().sum(), (ell >= ell_star).all())
