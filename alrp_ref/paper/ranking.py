r"""Ranks of the positives, from score differences.

With :math:`x_{ij} = s_j - s_i` and the step function :math:`H`, Eq. (3) of the paper counts

.. math::
    \mathrm{rank}^+(i) = 1 + \sum_{j \in \mathcal P, j \ne i} H(x_{ij}), \qquad
    N_{FP}(i) = \sum_{j \in \mathcal N} H(x_{ij}), \qquad
    \mathrm{rank}(i) = \mathrm{rank}^+(i) + N_{FP}(i).

==============  =========================================================================  ============
`s_pos`         :math:`s_i, i \in \mathcal P`, the logits of the positives                 (|P|,)
`s_neg`         :math:`s_j, j \in \mathcal N`, the logits of the negatives                 (J,)
`x`             :math:`x_{ij}`, how far `j` is above `i`, in logits                        (|P|, J)
`delta`         :math:`\delta`, half width of the step's ramp, in logits                   number
`rank_pos`      :math:`\mathrm{rank}^+(i)`, the place among the positives                  (|P|,)
`n_fp`          :math:`N_{FP}(i)`, the number of negatives above `i`                       (|P|,)
`rank`          :math:`\mathrm{rank}(i)`, the place among all                              (|P|,)
`h_ik`          :math:`H(x_{ik})`, over pairs of positives, 0 at `k = i`                   (|P|, |P|)
`h_ij`          :math:`H(x_{ij})`, over pairs of a positive and a negative                 (|P|, J)
==============  =========================================================================  ============

J is |N|, or the length n of the whole list: a score of :math:`-\infty` outranks nothing. So the losses keep the list,
put :math:`-\infty` where an example is not a negative, and neither gather the negatives nor scatter their gradients.

A detector has some hundred positives and millions of negatives. The pairs of positives are an ordinary matrix. Those
of a positive and a negative are out of the question: `StepMatrix` multiplies with their matrix, exactly, by

.. math:: 2 \delta\, H(x) = \mathrm{relu}(x + \delta) - \mathrm{relu}(x - \delta),

in :math:`O((|P| + J) \log |P|)`. `alrp_ref.paper.pairwise` forms it, and the tests compare the two.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from alrp_ref.paper.bins import Reduce
from alrp_ref.paper.step_matrix import Pairs, StepMatrix, exact_dtype

MANY = 1024
"""With more positives than this their pairs are not formed either: they would take more than 8 MiB."""


def has_nonzero_static(device: torch.device) -> bool:
    """Whether a known number of positives is found without waiting. Apple's GPUs cannot in torch 2.11."""
    return device.type != "mps"


class Examples(NamedTuple):
    """A list of examples, as the losses look at it."""

    positives: Tensor
    """Where the positives are in the list, (|P|,)."""
    s_pos: Tensor
    """Their scores, (|P|,), in float64 where the device has it."""
    s_neg: Tensor
    r"""The scores of the whole list, (n,), with :math:`-\infty` where an example is not a negative."""


def examples(logits: Tensor, targets: Tensor, num_positives: int | None = None) -> Examples:
    """Tell positives from negatives.

    Args:
        logits, targets: all examples; targets 1 positive, 0 negative, anything else ignored.
        num_positives: if it is known, a GPU need not be waited for to count them.

    Shape: `logits`, `targets` (n,).
    Source: Eq. (3), Section 2.1.
    """
    is_positive, logits = targets == 1, logits.detach()
    if num_positives is None or not has_nonzero_static(logits.device):
        positives = is_positive.nonzero()[:, 0]
    else:
        positives = is_positive.nonzero_static(size=num_positives, fill_value=0)[:, 0]
    s_neg = torch.where(targets == 0, logits, -torch.inf)
    return Examples(positives, logits[positives].to(exact_dtype(logits.device)), s_neg)


def step(x: Tensor, delta: float) -> Tensor:
    r"""The smoothed step function. Shape: any.

    .. math:: H(x) = \mathrm{clip}\left(\tfrac{x}{2\delta} + \tfrac12,\; 0,\; 1\right)

    Source: Section 2.1, below Eq. (3).
    """
    return (x / (2 * delta) + 0.5).clamp(0, 1)


def others_above(s_pos: Tensor, delta: float) -> Pairs:
    r"""How far each *other* positive `k` outranks `i`: :math:`H(x_{ik})`, and 0 at `k = i`.

    Shape: (|P|,) -> (|P|, |P|).
    Source: Eq. (3), Section 2.1.
    """
    if len(s_pos) > MANY:
        return StepMatrix(s_pos, s_pos, delta, others_only=True)
    return step(s_pos[None, :] - s_pos[:, None], delta).fill_diagonal_(0)


class Ranks(NamedTuple):
    """Where each positive stands, in the order of the positives, and the matrices that say who is above it."""

    s_pos: Tensor
    delta: float
    rank_pos: Tensor
    n_fp: Tensor
    rank: Tensor
    h_ik: Pairs
    """H(x_ik) over the other positives k: 0 at k = i."""
    h_ij: StepMatrix
    """H(x_ij) over negatives j."""


def ranks(s_pos: Tensor, s_neg: Tensor, delta: float = 1.0, *, reduce: Reduce | None = None) -> Ranks:
    r"""Ranks of the positives.

    .. math:: \mathrm{rank}^+(i) = 1 + \sum_{j \in \mathcal P, j \ne i} H(x_{ij}), \quad
              N_{FP}(i) = \sum_{j \in \mathcal N} H(x_{ij}), \quad
              \mathrm{rank}(i) = \mathrm{rank}^+(i) + N_{FP}(i)

    Args:
        s_pos, s_neg: logits of the positives and of the negatives.
        delta: half width of the step.
        reduce: a sum over processes, where each holds a share of the negatives; :math:`N_{FP}` then counts all shares.

    Shape: `s_pos` (|P|,), `s_neg` (J,).
    Source: Eq. (3), Section 2.1.
    """
    h_ik = others_above(s_pos, delta)
    h_ij = StepMatrix(s_pos, s_neg, delta, reduce=reduce)
    rank_pos, n_fp = 1 + h_ik.sum(1), h_ij.sum(1)
    return Ranks(s_pos, delta, rank_pos, n_fp, rank_pos + n_fp, h_ik, h_ij)
