"""aLRP Loss of a list whose number of positives is fixed, as one CUDA graph for all steps needs it.

The list is followed by `most` scores so low that they rank below all others. As many of these are positives as the list
lacks, and the others are ignored: how many they are is computed on the device. They get weight 0 in every sum.
"""

import torch
from torch import Tensor

from alrp_ref.paper.alrp import NO_FALSE_POSITIVES, lrp_error, target_lrp_error
from alrp_ref.paper.ap import precision_error
from alrp_ref.paper.error_driven import Part, distribution, gradient
from alrp_ref.ranking_loss import ranking_loss

BELOW_ALL = -8192.0
"""The score of what a list is padded with, exact in 16 bits, too. All scores of a list must be above it by more than
2 delta."""


@ranking_loss(bounds=(0, 1))
def padded_section_4(ranks, loc_errors) -> tuple[Part, Part]:
    """`alrp_ref.paper.alrp.section_4` of the positives that are not padding."""
    is_real = (ranks.s_pos > BELOW_ALL).to(ranks.rank)
    number = is_real.sum().clamp(min=1)
    ell = is_real * lrp_error(ranks.n_fp, loc_errors, ranks.h_ik @ loc_errors, ranks.rank)
    ell_star = is_real * target_lrp_error(loc_errors, ranks.rank)
    p = distribution(ranks.h_ij, ranks.n_fp, eps=NO_FALSE_POSITIVES)
    cls = (is_real * precision_error(ranks.n_fp, ranks.rank)).sum() / number
    of_term = is_real / (ranks.rank * number)
    lowest_first = ranks.s_pos.argsort(stable=True)
    a = torch.empty_like(of_term).index_copy(0, lowest_first, of_term[lowest_first].cumsum(0))
    return Part(cls, gradient(ell, ell_star, p, number)), Part(a @ loc_errors, a)


def padded_alrp_loss(logits: Tensor, targets: Tensor, loc_errors: Tensor) -> tuple[Tensor, Tensor]:
    """`cls` and `loc` of `alrp_ref.alrp_loss`. No shape in here depends on the number of positives.

    With more positives than `most` both are NaN on a GPU, and an error elsewhere.

    Args: as for `alrp_ref.alrp_loss`, but `loc_errors` are followed by zeros.
    Shape: `logits`, `targets` (n,), `loc_errors` (most,) -> two scalars.
    """
    most = len(loc_errors)
    lacking = most - (targets == 1).sum()
    padding = torch.where(torch.arange(most, device=targets.device) < lacking, 1, -1).to(targets.dtype)
    logits = torch.cat([logits, logits.new_full((most,), BELOW_ALL)])
    cls, loc, _ = padded_section_4(logits, torch.cat([targets, padding]), loc_errors)
    return cls, loc
