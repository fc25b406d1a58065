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

from typing import Literal, NamedTuple

import torch
from torch import Tensor

from alrp_ref import checks
from alrp_ref.machine.processes import RankScope, Scope
from alrp_ref.paper import error_driven
from alrp_ref.paper.ap import precision_error
from alrp_ref.paper.ranking import examples, ranks
from alrp_ref.paper.step_matrix import StepMatrix

LocStep = Literal["hard", "smoothed"]

NO_FALSE_POSITIVES = 1e-5
"""As in the release, a positive with an N_FP up to this shares no error: p(j|i) is close to 0/0 there."""


class ALRP(NamedTuple):
    """The two components of aLRP Loss, scalars, and the rank of each positive (|P|,)."""

    cls: Tensor
    loc: Tensor
    rank: Tensor


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


def localisation_component(
    loc_errors: Tensor, s_pos: Tensor, rank: Tensor, h_ik: StepMatrix, loc_step: LocStep
) -> Tensor:
    r"""The localisation part of the loss, a function of the localisation errors alone: ranks are constants.

    .. math:: \mathcal L_{loc} = \frac1{|\mathcal P|} \sum_{i \in \mathcal P} \frac1{\mathrm{rank}(i)}
              \Big( \mathcal E_{loc}(i) + \sum_{k \in \mathcal P, k \ne i} \mathcal E_{loc}(k) H(x_{ik}) \Big)

    With the hard step the sum over `k` is a running sum down the list of positives. `loc_step` is explained at
    `alrp_loss`.

    Shape: `loc_errors`, `s_pos`, `rank` (|P|,), `h_ik` (|P|, |P|) -> scalar.
    Source: Eq. (11), Section 4.
    """
    if loc_step == "hard":
        best_first = s_pos.argsort(stable=True).flip(0)  # of tied positives the last counts first, as in the release
        return (loc_errors[best_first].cumsum(0) / rank[best_first]).mean()
    # Collect by k instead of by i: E_loc(k) enters its own term with 1 and the term of i with H(x_ik).
    share = 1 / rank + h_ik.T @ (1 / rank)
    return (loc_errors * share).mean()


@torch.compiler.allow_in_graph  # one node for torch.compile, which cannot look into StepMatrix's operators
def alrp_loss(
    logits: Tensor,
    targets: Tensor,
    loc_errors: Tensor,
    *,
    delta: float = 1.0,
    loc_step: LocStep = "hard",
    rank_scope: RankScope = "process",
    validate: bool = False,
) -> ALRP:
    r"""aLRP Loss, its two components and its error-driven gradient.

    .. math:: \mathcal L_{cls} = \frac1{|\mathcal P|} \sum_i \frac{N_{FP}(i)}{\mathrm{rank}(i)}, \qquad
              \mathcal L_{loc} = \frac1{|\mathcal P|} \sum_i \frac1{\mathrm{rank}(i)}
              \Big( \mathcal E_{loc}(i) + \sum_{k \ne i} \mathcal E_{loc}(k) H(x_{ik}) \Big)

    ``out.cls.backward()`` leaves on `logits` the gradient of the *whole* loss with respect to the scores, whose
    update is :math:`\Delta x_{ij} = (\ell^{LRP*}(i) - \ell^{LRP}(i))\, H(x_{ij}) / N_{FP}(i)`;
    ``out.loc`` is differentiable in `loc_errors` only. The loss to train with is ``out.cls + weight * out.loc``,
    with the weight of `alrp_ref.SelfBalance`.

    Args:
        logits: scores before the sigmoid, of all examples (images, anchors, classes) in one list.
        targets: integers, 1 positive, 0 negative, -1 ignored.
        loc_errors: localisation error of each positive, in the order of the positives in `targets`.
        delta: half width of the step function, in logits, above 0.
        loc_step: `"hard"` is what the release computes: a hard order of the positives inside :math:`\mathcal L_{loc}`,
            over the smoothed rank. `"smoothed"` is what the formula says, with one and the same step everywhere.
            The score gradient uses the smoothed step either way.
        rank_scope: `"process"` ranks the examples of this process; `"global"` those of all that `torch.distributed`
            knows, each of which must call this at the same time: the loss is that of the whole list, the gradients
            are such that their *mean* over the processes is that of the whole list.
        validate: on a GPU, wait for the checks of values and raise. By default the loss is NaN there if a value is
            wrong, and nothing waits. On a CPU wrong values always raise.

    Shape: `logits`, `targets` (n,), `loc_errors` (|P|,) -> `cls`, `loc` scalars, `rank` (|P|,); float32, or float64
        where the logits are. In [0, 1] if no localisation error exceeds 1.
    Returns: `ALRP(cls, loc, rank)`. Without positives both parts are zero, and connected to their inputs.
    Raises: ValueError, naming the argument, for wrong shapes, dtypes, labels, non-finite logits, errors that are
        negative or not finite or not as many as the positives, `delta` <= 0, an unknown `loc_step`.
    Source: Eqs. (9) to (13), Section 4.

    Example:
        >>> logits = torch.tensor([3.0, 1.0, 2.0], requires_grad=True)
        >>> out = alrp_loss(logits, torch.tensor([0, 1, 1]), torch.tensor([0.2, 0.4]), delta=0.5)
        >>> out.cls.item(), out.loc.item()
        (0.4166666567325592, 0.20000000298023224)
    """
    if loc_step not in ("hard", "smoothed"):
        raise ValueError(f'loc_step must be "hard" or "smoothed", got {loc_step!r}')
    wrong = checks.loss_input(logits, targets, delta, loc_errors, validate=validate)
    positives, s_pos, s_neg = examples(logits, targets, num_positives=loc_errors.numel())
    scope = Scope(rank_scope, s_pos)
    s_pos, loc_errors = scope.gather(s_pos), scope.gather(loc_errors)
    if s_pos.numel() == 0:
        cls, loc = checks.nan_if(wrong, checks.zero(logits)), checks.zero(loc_errors)
        return ALRP(cls, loc, s_pos.to(cls.dtype))

    _, n_fp, rank, h_ik, h_ij = ranks(s_pos, s_neg, delta, reduce=scope.sum)
    e_loc = loc_errors.detach().to(rank.dtype)
    ell, ell_star = lrp_error(n_fp, e_loc, h_ik @ e_loc, rank), target_lrp_error(e_loc, rank)  # Eqs. (10) and (12)
    p = error_driven.distribution(h_ij, n_fp, eps=NO_FALSE_POSITIVES)  # of Eq. (7)
    grad = error_driven.gradient(ell, ell_star, p)  # Eqs. (13) and (5)
    grad = grad._replace(positives=scope.local_part(grad.positives))

    cls = error_driven.with_gradient(precision_error(n_fp, rank).mean(), logits, positives, grad)  # Eq. (11)
    loc = localisation_component(loc_errors.to(rank.dtype), s_pos, rank, h_ik, loc_step)  # Eq. (11)
    cls, loc = scope.scale_for_ddp_mean(cls), scope.scale_for_ddp_mean(loc)
    cls, loc = checks.nan_if(wrong, cls), checks.nan_if(wrong, loc)
    return ALRP(cls, loc.to(cls.dtype), scope.local_part(rank).to(cls.dtype))
