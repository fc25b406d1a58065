r"""Ranks of the positives, from score differences, without forming the pairs.

With :math:`x_{ij} = s_j - s_i` and the step function :math:`H`, Section 2 of the paper counts

.. math::
    \mathrm{rank}^+(i) = 1 + \sum_{j \in \mathcal P, j \ne i} H(x_{ij}), \qquad
    N_{FP}(i) = \sum_{j \in \mathcal N} H(x_{ij}), \qquad
    \mathrm{rank}(i) = \mathrm{rank}^+(i) + N_{FP}(i).

==============  =========================================================================  ============
`s_pos`         :math:`s_i, i \in \mathcal P`, the logits of the positives                 (|P|,)
`s_neg`         :math:`s_j, j \in \mathcal N`, the logits of the negatives                 (|N|,)
`x`             :math:`x_{ij}`, how far `j` is above `i`, in logits                        (|P|, |N|)
`delta`         :math:`\delta`, half width of the step's ramp, in logits                   number
`rank_pos`      :math:`\mathrm{rank}^+(i)`, the place among the positives                  (|P|,)
`n_fp`          :math:`N_{FP}(i)`, the number of negatives above `i`                       (|P|,)
`rank`          :math:`\mathrm{rank}(i)`, the place among all                              (|P|,)
`h_pos`         :math:`H(x_{ik})`, over pairs of positives                                 (|P|, |P|)
`h_neg`         :math:`H(x_{ij})`, over pairs of a positive and a negative                 (|P|, |N|)
==============  =========================================================================  ============

A detector has some hundred positives and millions of negatives, so the :math:`|P| \times |N|` matrix of
:math:`H(x_{ij})` is out of the question. `StepMatrix` multiplies with it, exactly, in
:math:`O((|P| + |N|) \log |P|)`; `alrp_ref.pairwise` forms it, and the tests compare the two.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from alrp_ref.columns import exact_dtype
from alrp_ref.step_matrix import StepMatrix


def step(x: Tensor, delta: float) -> Tensor:
    r"""The smoothed step function, linear on :math:`[-\delta, \delta]`.

    .. math:: H(x) = \mathrm{clip}\left(\tfrac{x}{2\delta} + \tfrac12,\; 0,\; 1\right), \qquad H(x) + H(-x) = 1

    Args:
        x: score differences, any shape.
        delta: half width of the ramp, in logits; the hard step is its limit at 0.

    Shape: the same as `x`.
    Source: Section 2; AP Loss (CVPR 2019).
    """
    return (x / (2 * delta) + 0.5).clamp(0, 1)


def difference_transform(s_i: Tensor, s_j: Tensor) -> Tensor:
    r"""All differences of scores, above zero where `j` outranks `i`.

    .. math:: x_{ij} = -(s_i - s_j) = s_j - s_i

    Shape: `s_i` (I,), `s_j` (J,) -> (I, J). For small inputs and for reading; the losses never call it.
    Source: Section 2.
    """
    return s_j[None, :] - s_i[:, None]


class Examples(NamedTuple):
    """A list of examples, as the losses look at it."""

    positives: Tensor
    """Where the positives are in the list, (|P|,)."""
    s_pos: Tensor
    """Their scores, (|P|,), in float64 where the device has it."""
    s_neg: Tensor
    """The scores of all, (n,), but -inf where an example is not a negative. Such a one is above no positive, so it is
    neither counted nor blamed, and nothing of the list's length has to be gathered and put back."""


def examples(logits: Tensor, targets: Tensor, num_positives: int | None = None) -> Examples:
    """Tell positives from negatives.

    Args:
        logits, targets: all examples; targets 1 positive, 0 negative, anything else ignored.
        num_positives: if it is known, a GPU need not be waited for to count them.

    Shape: `logits`, `targets` (n,).
    Source: Section 2.
    """
    is_positive, logits = targets == 1, logits.detach()
    if num_positives is None:
        positives = is_positive.nonzero()[:, 0]
    else:
        positives = is_positive.nonzero_static(size=num_positives, fill_value=0)[:, 0]
    s_neg = torch.where(targets == 0, logits, -torch.inf)
    return Examples(positives, logits[positives].to(exact_dtype(logits.device)), s_neg)


class Ranks(NamedTuple):
    """Where each positive stands. All (|P|,), in the order of the positives; the matrices give sums over pairs."""

    rank_pos: Tensor
    n_fp: Tensor
    rank: Tensor
    h_pos: StepMatrix
    """H(x_ik) over positives k, the diagonal H(0) = 1/2 included."""
    h_neg: StepMatrix
    """H(x_ij) over negatives j."""


def ranks(s_pos: Tensor, s_neg: Tensor, delta: float = 1.0, *, spread: bool = False) -> Ranks:
    r"""Ranks of the positives.

    .. math:: \mathrm{rank}^+(i) = 1 + \sum_{j \in \mathcal P, j \ne i} H(x_{ij}), \quad
              N_{FP}(i) = \sum_{j \in \mathcal N} H(x_{ij}), \quad
              \mathrm{rank}(i) = \mathrm{rank}^+(i) + N_{FP}(i)

    Args:
        s_pos, s_neg: logits of the positives and of the negatives.
        delta: half width of the step.
        spread: the negatives are this process's; :math:`N_{FP}` counts those of all (see `alrp_ref.scope`).

    Shape: `s_pos` (|P|,), `s_neg` (|N|,).
    Source: Section 2.
    """
    h_pos, h_neg = StepMatrix(s_pos, s_pos, delta), StepMatrix(s_pos, s_neg, delta, spread=spread)
    rank_pos = 1 + (h_pos.sum(1) - h_pos.at_zero)  # j = i is in the matrix, not in the sum
    n_fp = h_neg.sum(1)
    return Ranks(rank_pos, n_fp, rank_pos + n_fp, h_pos, h_neg)
