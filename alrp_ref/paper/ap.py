r"""AP Loss: one minus the mean precision at the positives, with the error-driven gradient (Section 2.1)."""

import torch
from torch import Tensor

from alrp_ref.paper.error_driven import Part, distribution, gradient
from alrp_ref.paper.ranking import Ranks


def precision_error(n_fp: Tensor, rank: Tensor) -> Tensor:
    r"""How imprecise the list is where it is cut at each positive.

    .. math:: \ell^{AP}(i) = 1 - \mathrm{precision}(i) = 1 - \frac{\mathrm{rank}^+(i)}{\mathrm{rank}(i)}
              = \frac{N_{FP}(i)}{\mathrm{rank}(i)}

    Shape: (|P|,), (|P|,) -> (|P|,).
    Source: Eq. (2), Section 2.1; AP Loss (CVPR 2019).
    """
    return n_fp / rank


def interpolate(ell: Tensor, s_pos: Tensor) -> Tensor:
    r"""Errors under interpolated precision: the best precision at this recall or any higher one.

    .. math:: \ell(i) \leftarrow \min_{k \in \mathcal P,\; s_k \le s_i} \ell(k)

    Shape: `ell`, `s_pos` (|P|,) -> (|P|,).
    Source: AP Loss (CVPR 2019). The release interpolates AP Loss, but not aLRP Loss.
    """
    lowest_first = s_pos.argsort(stable=True)
    return torch.empty_like(ell).index_copy(0, lowest_first, ell[lowest_first].cummin(0).values)


def section_2_1(ranks: Ranks, *, interpolated: bool) -> Part:
    r"""AP Loss of a ranked list, and its gradient on the scores.

    .. math:: \mathcal L^{AP} = \frac1{|\mathcal P|} \sum_{i \in \mathcal P} \ell^{AP}(i), \qquad
              p(j|i) = \frac{H(x_{ij})}{N_{FP}(i)}, \qquad \ell^{AP*}(i) = 0

    Shape: over |P| positives and the list -> scalar, and what `gradient` returns.
    Source: Eqs. (2) and (4), Section 2.1; AP Loss (CVPR 2019). `alrp_ref.ap_loss` is this, with all that a user needs.
    """
    ell = precision_error(ranks.n_fp, ranks.rank)  # of Eq. (2)
    if interpolated:
        ell = interpolate(ell, ranks.s_pos)
    p = distribution(ranks.h_ij, ranks.n_fp)  # of Eq. (4)
    grad = gradient(ell, 0.0, p)  # Eqs. (4) and (5), with a target of 0
    return Part(ell.mean(), grad)
