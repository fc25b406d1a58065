r"""The losses that a detector calls: formulas behind one door.

Each function and module here is a formula made a loss by `alrp_ref.ranking_loss`, and says what it takes and what it
returns. The formulas are `alrp_ref.paper.ap.section_2_1`, `alrp_ref.paper.alrp.section_4` and, of a later paper,
`alrp_ref.rank_sort.rank_sort`.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from alrp_ref import checks
from alrp_ref.machine.processes import RankScope
from alrp_ref.paper.alrp import LocStep, section_4
from alrp_ref.paper.ap import section_2_1
from alrp_ref.paper.self_balance import SelfBalance
from alrp_ref.rank_sort import rank_sort
from alrp_ref.ranking_loss import ranking_loss

_ap_loss = ranking_loss(section_2_1, name="ap_loss")
_alrp_loss = ranking_loss(section_4, name="alrp_loss")
_rank_sort_loss = ranking_loss(rank_sort, name="rank_sort_loss", bounds=(0, 1))


def ap_loss(
    logits: Tensor,
    targets: Tensor,
    *,
    num_positives: int | None = None,
    delta: float = 1.0,
    interpolated: bool = True,
    rank_scope: RankScope = "process",
    validate: bool = False,
) -> Tensor:
    r"""AP Loss.

    .. math:: \mathcal L^{AP} = \frac1{|\mathcal P|} \sum_{i \in \mathcal P} \ell^{AP}(i), \qquad
              p(j|i) = \frac{H(x_{ij})}{N_{FP}(i)}, \qquad \ell^{AP*}(i) = 0

    Args:
        logits: scores before the sigmoid, of all examples in one list.
        targets: integers, 1 positive, 0 negative, -1 ignored.
        num_positives: how many targets are 1. If it is given, a GPU is not waited for to count them.
        delta: half width of the step function, in logits, above 0.
        interpolated: use interpolated precision, as the release does; the plain formula if False.
        rank_scope: as for `alrp_loss`.
        validate: on a GPU, wait for the checks of values and raise. By default the loss is NaN there if a value is
            wrong, and nothing waits. On a CPU wrong values always raise.

    Shape: `logits`, `targets` (n,) -> scalar in [0, 1], in float32 or, for float64 logits, float64.
    Returns: the loss; zero, and connected to `logits`, where there are no positives.
    Raises: ValueError, naming the argument, for wrong shapes, dtypes, labels, non-finite logits, another number of
        positives, `delta` <= 0.
    Warns: UserWarning if the logits look like probabilities. Not on a GPU.
    Source: Eqs. (2) and (4), Section 2.1; AP Loss (CVPR 2019).

    Example:
        >>> logits = torch.tensor([3.0, 1.0, 2.0], requires_grad=True)
        >>> ap_loss(logits, torch.tensor([0, 1, 0]), delta=0.5).item()
        0.6666666865348816
    """
    options = {"num_positives": num_positives, "delta": delta, "rank_scope": rank_scope, "validate": validate}
    loss, _ = _ap_loss(logits, targets, interpolated=interpolated, **options)
    return loss


class ALRP(NamedTuple):
    """The two components of aLRP Loss, scalars, and the rank of each positive (|P|,)."""

    cls: Tensor
    loc: Tensor
    rank: Tensor


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
    with the weight of `alrp_ref.SelfBalance`. Neither has a second derivative.

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
    Warns: UserWarning if the logits look like probabilities. Not on a GPU.
    Source: Eqs. (9) to (13), Section 4.

    Example:
        >>> logits = torch.tensor([3.0, 1.0, 2.0], requires_grad=True)
        >>> out = alrp_loss(logits, torch.tensor([0, 1, 1]), torch.tensor([0.2, 0.4]), delta=0.5)
        >>> out.cls.item(), out.loc.item()
        (0.4166666567325592, 0.20000000298023224)
    """
    if loc_step not in ("hard", "smoothed"):
        raise ValueError(f'loc_step must be "hard" or "smoothed", got {loc_step!r}')
    options = {"delta": delta, "rank_scope": rank_scope, "validate": validate}
    return ALRP(*_alrp_loss(logits, targets, loc_errors, loc_step=loc_step, **options))


class RankSort(NamedTuple):
    """The two parts of RS Loss, scalars. Only `ranking` has a gradient, that of both."""

    ranking: Tensor
    sorting: Tensor

    @property
    def total(self) -> Tensor:
        """The loss to train with, `ranking + sorting`, a scalar."""
        return self.ranking + self.sorting


def rank_sort_loss(
    logits: Tensor,
    targets: Tensor,
    ious: Tensor,
    *,
    delta: float = 0.5,
    rank_scope: RankScope = "process",
    validate: bool = False,
) -> RankSort:
    r"""Rank & Sort Loss (RS Loss), its two parts and its error-driven gradient. It came after aLRP Loss.

    .. math:: \mathcal L = \frac1{|\mathcal P|} \sum_{i \in \mathcal P} \ell_R(i) + \ell_S(i) - \ell_S^*(i), \qquad
              \ell_R(i) = \frac{N_{FP}(i)}{\mathrm{rank}(i)}, \qquad
              \ell_S(i) = \frac{\sum_{k \in \mathcal P} H(x_{ik}) (1 - y_k)}{\sum_{k \in \mathcal P} H(x_{ik})}

    :math:`\ell_S^*(i)` is the sorting error over those with :math:`y_k \ge y_i`. ``out.ranking.backward()`` leaves the
    gradient of both parts on `logits`, as in the release; ``out.total`` is their sum. In aLRP and AP Loss a positive
    counts itself as 1; here as :math:`H(0) = \frac12`.

    Args:
        logits, targets: as for `alrp_loss`.
        ious: the IoU of the box of each positive, :math:`y_i`, in the order of the positives; it gets no gradient.
            `flatten_batch(..., loc_error=alrp_ref.rank_sort.paired_ious)` gives all three.
        delta: half width of the step function, in logits, above 0; the release has 0.5.
        rank_scope, validate: as for `alrp_loss`.

    Shape: `logits`, `targets` (n,), `ious` (|P|,) -> two scalars, float32, or float64 where the logits are. Time and
        memory are those of `alrp_loss`, and the time of the pairs of positives, which are formed in parts.
    Returns: `RankSort(ranking, sorting)`. Without positives both are zero, `ranking` connected to `logits`.
    Raises: ValueError, naming the argument, as `alrp_loss`; `ious` must be in [0, 1].
    Source: RS Loss (Oksuz, Cam, Akbas and Kalkan, ICCV 2021) and its release. Not of the aLRP paper.

    Example:
        >>> logits = torch.tensor([3.0, 1.0, 2.0], requires_grad=True)
        >>> out = rank_sort_loss(logits, torch.tensor([0, 1, 1]), torch.tensor([0.9, 0.4]))
        >>> out.ranking.item(), out.sorting.item()
        (0.5333333611488342, 0.1666666567325592)
    """
    options = {"delta": delta, "rank_scope": rank_scope, "validate": validate}
    checks.tensor("ious", ious)
    ranking, sorting, _ = _rank_sort_loss(logits, targets, ious.detach(), **options)
    return RankSort(ranking, sorting.detach())


class RankSortLoss(nn.Module):
    """`rank_sort_loss` as a module; see there for formula, arguments, shapes and errors. It has no state."""

    __call__: Callable[..., RankSort]

    def __init__(self, *, delta: float = 0.5, rank_scope: RankScope = "process"):
        super().__init__()
        self.delta, self.rank_scope = delta, rank_scope

    def forward(self, logits: Tensor, targets: Tensor, ious: Tensor) -> RankSort:
        """The two parts; train with their `total`. Shape: `logits`, `targets` (n,), `ious` (|P|,) -> two scalars."""
        return rank_sort_loss(logits, targets, ious, delta=self.delta, rank_scope=self.rank_scope)

    def extra_repr(self) -> str:
        return f"delta={self.delta}, rank_scope={self.rank_scope!r}"


class APLoss(nn.Module):
    """`ap_loss` as a module; see there for formula, arguments, shapes and errors."""

    __call__: Callable[..., Tensor]

    def __init__(self, *, delta: float = 1.0, interpolated: bool = True, rank_scope: RankScope = "process"):
        super().__init__()
        self.delta, self.interpolated, self.rank_scope = delta, interpolated, rank_scope

    def forward(self, logits: Tensor, targets: Tensor, num_positives: int | None = None) -> Tensor:
        """The loss of a list, a scalar. Shape: `logits`, `targets` (n,) -> scalar."""
        options = {"delta": self.delta, "interpolated": self.interpolated, "rank_scope": self.rank_scope}
        return ap_loss(logits, targets, num_positives=num_positives, **options)

    def extra_repr(self) -> str:
        return f"delta={self.delta}, interpolated={self.interpolated}, rank_scope={self.rank_scope!r}"


class BalancedALRP(NamedTuple):
    """aLRP Loss with self-balance: `cls`, `loc` and `rank` of `ALRP`, and the weight of the localisation part.

    It is a tuple: train with its `total`, not with its sum.
    """

    cls: Tensor
    loc: Tensor
    rank: Tensor
    loc_weight: Tensor

    @property
    def total(self) -> Tensor:
        """The loss to train with, `cls + loc_weight * loc`, a scalar."""
        return self.cls + self.loc_weight * self.loc


class ALRPLoss(nn.Module):
    r"""aLRP Loss with self-balance: the parts of `alrp_loss`, their weight of Section 4.2, and the total to train with.

    .. math:: \mathcal L = \mathcal L_{cls} + w\, \mathcal L_{loc}

    Args:
        period: how often the weight is renewed: the number of calls in an epoch, usually `len(data_loader)`. With
            gradient accumulation over K calls it is so, too; if each K of them are within one
            ``with criterion.self_balance.accumulate():``, it is `len(data_loader) // K`. None keeps `initial_weight`
            for ever.
        initial_weight: weight of the localisation part in the first epoch.
        delta, loc_step, rank_scope: as for `alrp_loss`.

    Shape, errors: as for `alrp_loss`. In training mode each call with gradients enabled counts as one step of the
    self-balance, and all calls within `self_balance.accumulate()` together as one. Its statistics are averaged over
    processes where `torch.distributed` runs, each of which must then call it in each training step, and saved in
    `state_dict`. Activation checkpointing (`torch.utils.checkpoint`) belongs around the model, not around this module:
    a call that is computed again is counted again.
    Returns: `BalancedALRP(cls, loc, rank, loc_weight)`, and as a property `total`. `cls`, `loc` and `rank` are those of
        `alrp_loss`.
    Source: Eqs. (9) to (13), Section 4; self-balance, Section 4.2.
    """

    __call__: Callable[..., BalancedALRP]

    def __init__(
        self,
        period: int | None,
        *,
        initial_weight: float = 50.0,
        delta: float = 1.0,
        loc_step: LocStep = "hard",
        rank_scope: RankScope = "process",
    ):
        super().__init__()
        self.delta, self.loc_step, self.rank_scope = delta, loc_step, rank_scope
        self.self_balance = SelfBalance(period, initial_weight=initial_weight)

    def forward(self, logits: Tensor, targets: Tensor, loc_errors: Tensor) -> BalancedALRP:
        """The two parts, the ranks, and the weight of the second part.

        Args: scores before the sigmoid; targets 1, 0 or -1 (ignored); the localisation error of each positive, in the
            order of the positives. `alrp_ref.flatten_batch` makes these three.
        Shape: `logits`, `targets` (n,), `loc_errors` (|P|,).
        """
        options = {"delta": self.delta, "loc_step": self.loc_step, "rank_scope": self.rank_scope}
        out = alrp_loss(logits, targets, loc_errors, **options)
        # A loss under `torch.no_grad()` is a validation loss, even in training mode: torchvision's detectors need it.
        if self.training and torch.is_grad_enabled():
            self.self_balance.update(out.cls, out.loc, has_positives=(out.rank > 0).any())
        return BalancedALRP(*out, loc_weight=self.self_balance.weight.to(out.loc.dtype, copy=True))

    def extra_repr(self) -> str:
        return f"delta={self.delta}, loc_step={self.loc_step!r}, rank_scope={self.rank_scope!r}"
