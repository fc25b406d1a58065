r"""aLRP Loss: the LRP error of the list cut at each positive, averaged over the positives.

.. math:: \mathcal L^{aLRP} = \frac1{|\mathcal P|} \sum_{i \in \mathcal P} \ell^{LRP}(i)
          = \mathcal L_{cls} + \mathcal L_{loc}

==============  =========================================================================  ============
`e_above`       :math:`\sum_{k \ne i} \mathcal E_{loc}(k) H(x_{ik})`, errors above `i`      (|P|,)
`cls`           :math:`\mathcal L_{cls}`, the classification component                     scalar
`loc`           :math:`\mathcal L_{loc}`, the localisation component                       scalar
==============  =========================================================================  ============

The two parts share the rank. A badly localised box costs more the higher it is scored, because it then enters the
error of every positive below it.
"""

from typing import Literal

import torch
from torch import Tensor

from alrp_ref.paper.ap import precision_error
from alrp_ref.paper.error_driven import Part, distribution, gradient
from alrp_ref.paper.ranking import Ranks

LocStep = Literal["hard", "smoothed"]

NO_FALSE_POSITIVES = 1e-5
"""As in the release, a positive with an N_FP up to this shares no error: p(j|i) is close to 0/0 there."""


def lrp_error(n_fp: Tensor, e_loc: Tensor, e_above: Tensor, rank: Tensor) -> Tensor:
    r"""The LRP error of the list cut at each positive.

    .. math:: \ell^{LRP}(i) = \frac1{\mathrm{rank}(i)} \Big( N_{FP}(i) + \mathcal E_{loc}(i)
              + \sum_{k \in \mathcal P, k \ne i} \mathcal E_{loc}(k) H(x_{ik}) \Big)

    Compared with the LRP metric, Eq. (6), :math:`N_{FN}` is gone: anchors are taken to cover every object. And the
    divisor is the rank: a detection has the label of its anchor, so :math:`N_{TP} + N_{FP}` is the place in the list.

    Args: `e_above`, the sum over the other positives; the rest by name.
    Shape: four times (|P|,) -> (|P|,).
    Source: Eq. (10), Section 4.
    """
    return (n_fp + e_loc + e_above) / rank


def target_lrp_error(e_loc: Tensor, rank: Tensor) -> Tensor:
    r"""What is left of the error when nothing stands above positive `i`: its own localisation error.

    .. math:: \ell^{LRP*}(i) = \mathcal E_{loc}(i) / \mathrm{rank}(i)

    No ranking can remove it, so no score gradient should try. Appendix G of the paper shows a bad target.

    Shape: (|P|,), (|P|,) -> (|P|,).
    Source: Eq. (12), Section 4.
    """
    return e_loc / rank


def localisation_weights(ranks: Ranks, loc_step: LocStep) -> Tensor:
    r"""What the localisation error of each positive counts in the localisation part, which is linear in them.

    .. math:: \mathcal L_{loc} = \frac1{|\mathcal P|} \sum_{i \in \mathcal P} \frac1{\mathrm{rank}(i)}
              \Big( \mathcal E_{loc}(i) + \sum_{k \in \mathcal P, k \ne i} \mathcal E_{loc}(k) H(x_{ik}) \Big)
              = \sum_{k \in \mathcal P} a(k)\, \mathcal E_{loc}(k), \qquad
              a(k) = \frac1{|\mathcal P|} \Big( \frac1{\mathrm{rank}(k)}
              + \sum_{i \in \mathcal P, i \ne k} \frac{H(x_{ik})}{\mathrm{rank}(i)} \Big)

    An error enters the term of its own positive, and that of every positive below it. So these weights are the gradient
    on the errors, and the order in which aLRP Loss pulls at boxes. `loc_step` is explained at `alrp_ref.alrp_loss`.

    Shape: over |P| positives -> (|P|,).
    Source: Eq. (11), Section 4, collected by k instead of by i.
    """
    of_term = 1 / (ranks.rank * len(ranks.rank))
    if loc_step == "smoothed":
        return of_term + ranks.h_ik.T @ of_term
    # The hard step: a running sum up the list. Of tied positives the last stands higher, as in the release.
    lowest_first = ranks.s_pos.argsort(stable=True)
    return torch.empty_like(of_term).index_copy(0, lowest_first, of_term[lowest_first].cumsum(0))


def section_4(ranks: Ranks, loc_errors: Tensor, *, loc_step: str) -> tuple[Part, Part]:
    r"""The two parts of aLRP Loss of a ranked list. The first has the gradient of both on the scores.

    .. math:: \mathcal L_{cls} = \frac1{|\mathcal P|} \sum_i \frac{N_{FP}(i)}{\mathrm{rank}(i)}, \qquad
              \Delta x_{ij} = \big( \ell^{LRP*}(i) - \ell^{LRP}(i) \big) \frac{H(x_{ij})}{N_{FP}(i)}

    Shape: over |P| positives and the list, `loc_errors` (|P|,) -> two scalars with their gradients.
    Source: Eqs. (9) to (13), Section 4. `alrp_ref.alrp_loss` is this, with all that a user needs.
    """
    ell = lrp_error(ranks.n_fp, loc_errors, ranks.h_ik @ loc_errors, ranks.rank)  # Eq. (10)
    ell_star = target_lrp_error(loc_errors, ranks.rank)  # Eq. (12)
    p = distribution(ranks.h_ij, ranks.n_fp, eps=NO_FALSE_POSITIVES)  # of Eq. (7)
    grad = gradient(ell, ell_star, p)  # Eqs. (13) and (5)
    cls = precision_error(ranks.n_fp, ranks.rank).mean()  # Eq. (11), its first part
    a = localisation_weights(ranks, loc_step)
    loc = a @ loc_errors  # Eq. (11), its second part
    return Part(cls, grad), Part(loc, a)
