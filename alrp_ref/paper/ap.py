r"""AP Loss: one minus the mean precision at the positives, with the error-driven gradient."""

import torch
from torch import Tensor, nn

from alrp_ref import checks
from alrp_ref.machine.processes import RankScope, Scope
from alrp_ref.paper import error_driven
from alrp_ref.paper.ranking import examples, ranks


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
        num_positives: how many targets are 1. If it is given, a GPU is not waited for to count them, and
            `torch.compile(fullgraph=True)` takes the loss.
        delta: half width of the step function, in logits, above 0.
        interpolated: use interpolated precision, as the release does; the plain formula if False.
        rank_scope: as for `alrp_ref.alrp_loss`.
        validate: on a GPU, wait for the checks of values and raise. By default the loss is NaN there if a value is
            wrong, and nothing waits. On a CPU wrong values always raise.

    Shape: `logits`, `targets` (n,) -> scalar in [0, 1], in float32 or, for float64 logits, float64.
    Returns: the loss; zero, and connected to `logits`, where there are no positives.
    Raises: ValueError, naming the argument, for wrong shapes, dtypes, labels, non-finite logits, another number of
        positives, `delta` <= 0.
    Source: Eqs. (2) and (4), Section 2.1; AP Loss (CVPR 2019).

    Example:
        >>> logits = torch.tensor([3.0, 1.0, 2.0], requires_grad=True)
        >>> ap_loss(logits, torch.tensor([0, 1, 0]), delta=0.5)
        tensor(0.6667, grad_fn=<_GivenGradientBackward>)
    """
    compute = _ap_loss if num_positives is not None else _ap_loss_uncompiled
    return compute(logits, targets, num_positives, delta, interpolated, rank_scope, validate)


@torch.compiler.allow_in_graph  # one node for torch.compile, which cannot look into StepMatrix's operators
def _ap_loss(
    logits: Tensor,
    targets: Tensor,
    num_positives: int | None,
    delta: float,
    interpolated: bool,
    rank_scope: RankScope,
    validate: bool,
) -> Tensor:
    wrong = checks.loss_input(logits, targets, delta, num_positives=num_positives, validate=validate)
    positives, s_pos, s_neg = examples(logits, targets, num_positives)
    scope = Scope(rank_scope, s_pos)
    s_pos = scope.gather(s_pos)
    if s_pos.numel() == 0:
        return checks.nan_if(wrong, checks.zero(logits))
    _, n_fp, rank, _, h_ij = ranks(s_pos, s_neg, delta, reduce=scope.sum)
    ell = precision_error(n_fp, rank)
    if interpolated:
        ell = interpolate(ell, s_pos)
    grad = error_driven.gradient(ell, 0.0, error_driven.distribution(h_ij, n_fp))
    grad = grad._replace(positives=scope.local_part(grad.positives))
    loss = error_driven.with_gradient(ell.mean(), logits, positives, grad)
    return checks.nan_if(wrong, scope.scale_for_ddp_mean(loss))


_ap_loss_uncompiled = torch.compiler.disable(_ap_loss)  # how many positives there are is data: the graph breaks here


class APLoss(nn.Module):
    """`ap_loss` as a module; see there for formula, arguments, shapes and errors."""

    def __init__(self, *, delta: float = 1.0, interpolated: bool = True, rank_scope: RankScope = "process"):
        super().__init__()
        self.delta, self.interpolated, self.rank_scope = delta, interpolated, rank_scope

    def forward(self, logits: Tensor, targets: Tensor, num_positives: int | None = None) -> Tensor:
        options = {"delta": self.delta, "interpolated": self.interpolated, "rank_scope": self.rank_scope}
        return ap_loss(logits, targets, num_positives=num_positives, **options)

    def extra_repr(self) -> str:
        return f"delta={self.delta}, interpolated={self.interpolated}, rank_scope={self.rank_scope!r}"
