"""The verdict on a port of a loss, with what its failures have in common."""

from collections.abc import Callable
from functools import partial
from typing import Any

from alrp_ref.verification import ports
from alrp_ref.verification.explain import explained
from alrp_ref.verification.report import Verification
from alrp_ref.verification.self_balance import verify_weights


def verify(loss: Callable[..., Any], kind: str = "alrp") -> Verification:
    r"""Compare a port of a loss with the official numbers, with `pairwise`, and with Theorems 1 and 2.

    Args:
        loss: called as ``loss(logits, targets, loc_errors, delta)`` with NumPy arrays: float64 (n,), int8 (n,) in
            {1, 0, -1 = ignored}, float64 (|P|,) in the order of the positives, and a number. Returns
            ``cls, loc, gradient``: two scalars, :math:`\mathcal L_{cls}` and :math:`\mathcal L_{loc}` with the hard
            order of the release, and the gradient of the whole loss with respect to the logits, (n,), 0 where an
            example is ignored.
        kind: `"alrp"`; `"ap"` for AP Loss, ``loss(logits, targets, delta)`` with interpolated precision, which returns
            ``loss, gradient``; `"rank_sort"` for RS Loss, ``loss(logits, targets, ious, delta)``, which returns
            ``ranking, sorting, gradient``; `"self_balance"` for the weights of the self-balance, see
            :mod:`alrp_ref.verification.self_balance`.

    A `torch.autograd.Function` is taken as it is: it is applied to tensors in float64, with the arguments above, and
    returns the parts, of which the first has the gradient of the whole; for aLRP Loss also the release's
    ``cls, rank, order``. A report that fails says what the failing lists share, which of the usual mistakes explains
    it, and shows the smallest list that fails.

    Numbers are bound to 1e-12 of the largest there should be, those of a port that returns a gradient in float32 to
    1e-5. A port that raises an error fails, and the report names the error.
    Returns: the report; `passed`, `failed` and `print` say how it went.
    Raises: ValueError for another `kind`.
    Source: Eqs. (5) and (9) to (13); Theorems 1 and 2. Theorem 1 is not checked for RS Loss, whose positives share
        errors, too.

    Example:
        >>> def my_loss(logits, targets, loc_errors, delta):
        ...     ...
        ...     return cls, loc, gradient
        >>> print(alrp_ref.verify(my_loss))
    """
    if kind == "self_balance":
        return verify_weights(loss)
    if kind not in ports.KINDS:
        raise ValueError(f"kind must be one of {', '.join(ports.KINDS)}, self_balance, got {kind!r}")
    of_kind = ports.KINDS[kind]
    report = Verification(f"a port of {of_kind.name}: {getattr(loss, '__name__', type(loss).__name__)}")
    if ports.is_function(loss):
        port = ports.function_port(loss, of_kind)
    else:
        port = (lambda logits, targets, numbers, delta: loss(logits, targets, delta)) if kind == "ap" else loss
    report.cases += ports.on_official_lists(port, of_kind)
    for size in ports.SIZES:
        one = ports.draw(size)
        group = f"pairwise, {size:,} logits"
        report.cases += ports.guarded(
            group, partial(ports.against, port, one, ports.judged(one, of_kind), of_kind.parts)
        )
    report.cases += ports.theorems(port) if kind == "alrp" else []
    report.explanation = [] if report.passed else explained(port, of_kind)
    return report
