r"""The door that every loss goes through: from a formula over ranks to a loss that a detector can train with.

A formula says what a loss is, over positives that are ranked already: `alrp_ref.paper.alrp.section_4`, for example.
What every loss needs stands here, once: checks of its input, the ranks, processes that rank together, precision, a list
without positives, the gradient that `backward()` hands on, and one node for `torch.compile`. It knows no loss.
"""

import inspect
from collections.abc import Callable
from typing import Any, get_args, get_type_hints

import torch
from torch import Tensor

from alrp_ref import checks
from alrp_ref.checks import Numbers
from alrp_ref.machine.processes import RankScope, Scope
from alrp_ref.paper.error_driven import Gradient, Part
from alrp_ref.paper.ranking import examples, ranks
from alrp_ref.paper.step_matrix import exact_dtype

Formula = Callable[..., Part | tuple[Part, ...]]


class RankingLoss:
    r"""A loss from its formula. `ranking_loss` makes one.

    Called as ``loss(logits, targets, numbers, *, delta=1.0, num_positives=None, rank_scope="process", validate=False)``
    with the arguments of `alrp_ref.alrp_loss`; `numbers` and further options are those of the formula, by its names.

    Shape: `logits`, `targets` (n,), `numbers` (|P|,) -> the value of each part, a scalar, and then the rank of each
        positive, (|P|,); float32, or float64 where the logits are. Without positives each part is zero, and connected.
    Raises: ValueError, naming the argument; NotImplementedError under `torch.vmap`; RuntimeError for a second
        derivative.
    """

    def __init__(self, formula: Formula, name: str, bounds: tuple[float, float]):
        hints = get_type_hints(formula)
        of_parts = hints.get("return")
        if of_parts is not Part and set(get_args(of_parts)) != {Part}:
            raise TypeError(
                f"{formula.__name__} must say `-> Part`, or `-> tuple[Part, Part]` for two, got {of_parts!r}"
            )
        self.formula, self.__name__, self.__doc__ = formula, name, formula.__doc__
        self.num_parts = len(get_args(of_parts)) or 1
        _, *own = inspect.signature(formula).parameters.values()
        self.defaults = {p.name: p.default for p in own if p.kind is p.KEYWORD_ONLY}
        names = [p.name for p in own if p.kind is not p.KEYWORD_ONLY]
        self.numbers = Numbers(names[0], *bounds) if names else None
        self._function = self._as_function()
        self._operator = self._as_operator({name: hints[name] for name in self.defaults})

    def __call__(
        self,
        logits: Tensor,
        targets: Tensor,
        numbers: Tensor | None = None,
        *,
        delta: float = 1.0,
        num_positives: int | None = None,
        rank_scope: RankScope = "process",
        validate: bool = False,
        **options: Any,
    ) -> tuple[Tensor, ...]:
        checks.arguments(logits, targets, delta, numbers, self.numbers, num_positives, rank_scope)
        if unknown := set(options).difference(self.defaults):
            raise TypeError(f"{self.__name__} has no option {', '.join(sorted(unknown))}")
        call = self._operator if torch.compiler.is_compiling() else self._function.apply
        options = (self.defaults | options).values()
        out = call(logits, targets, numbers, num_positives, float(delta), rank_scope, validate, *options)
        values, rank = list(out[: self.num_parts]), out[self.num_parts]
        if numbers is not None:
            by_numbers = out[-2]
            still = (numbers - numbers.detach()).to(by_numbers.dtype)  # 0, and its derivative is 1
            values[-1] = values[-1] + (by_numbers @ still).to(values[-1].dtype)
        return *values, rank

    def compute(
        self,
        logits: Tensor,
        targets: Tensor,
        numbers: Tensor | None,
        num_positives: int | None,
        delta: float,
        rank_scope: RankScope,
        validate: bool,
        *options: Any,
    ) -> tuple[Tensor, ...]:
        """Values and ranks, and what `backward` needs: the gradients, where the positives are, and a factor."""
        dtype, known = torch.promote_types(logits.dtype, torch.float32), num_positives
        if numbers is not None:
            known = numbers.numel()
        wrong = checks.values(logits, targets, numbers, self.numbers, num_positives, validate)
        positives, s_pos, s_neg = examples(logits, targets, known)
        scope = Scope(rank_scope, s_pos)
        s_pos = scope.gather(s_pos)
        extra = () if numbers is None else (scope.gather(numbers.detach()).to(s_pos.dtype),)
        if len(s_pos):
            with torch.autocast(logits.device.type, enabled=False):
                ranked = ranks(s_pos, s_neg, delta, reduce=scope.sum)
                parts = self.formula(ranked, *extra, **dict(zip(self.defaults, options, strict=True)))
            parts, rank = (parts,) if isinstance(parts, Part) else parts, ranked.rank
        else:  # nothing to rank: zeros, which are still connected to what the loss is given
            rank, nothing = s_pos.new_zeros(0), Gradient(s_pos.new_zeros(0), torch.zeros_like(s_neg, dtype=dtype))
            parts = [Part(s_pos.sum(), nothing), *[Part(s_pos.sum(), None)] * (self.num_parts - 1)]

        # A loss of NaN is what a training loop looks for, whenever it next reads the loss. An assertion on a GPU would
        # leave no device to go on with.
        # `DistributedDataParallel` takes the mean of the processes' gradients. Of a loss that all share, each has only
        # the part that goes through its own examples, and the whole is their sum.
        factor = torch.full((), scope.number_of_processes, dtype=dtype, device=logits.device)
        if wrong is not None:
            factor = torch.where(wrong, torch.nan, factor)
            parts = [part._replace(value=torch.where(wrong, torch.nan, part.value)) for part in parts]
        values = [part.value.to(dtype) for part in parts]
        (rows, columns), by_numbers = parts[0].gradient, parts[-1].gradient
        if not isinstance(by_numbers, Tensor):
            by_numbers = torch.zeros_like(s_pos)
        rank, rows, by_numbers = scope.local_part(rank).to(dtype), scope.local_part(rows), scope.local_part(by_numbers)
        if wrong is not None or scope.number_of_processes > 1:
            by_numbers = by_numbers * factor
        return *values, rank, positives, rows, columns, by_numbers, factor

    def keep(self, ctx: Any, inputs: tuple, output: tuple[Tensor, ...]) -> None:
        """What the backward pass needs of a call."""
        *_, positives, rows, columns, _, factor = output
        ctx.save_for_backward(positives, rows, columns, factor)
        ctx.dtype = inputs[0].dtype
        ctx.mark_non_differentiable(*output[1:])
        ctx.set_materialize_grads(False)

    def backward(self, ctx: Any, *upstream: Tensor | None) -> tuple[Tensor | None, ...]:
        """The gradient of the first part on the logits; whatever else `compute` is given has none."""
        if upstream[0] is None:
            return (None,) * (7 + len(self.defaults))
        positives, rows, columns, factor = ctx.saved_tensors
        g = upstream[0] * factor
        # Multiplied before it is rounded: in float16 the gradient of one negative among millions is 0 without the loss
        # scale, which is part of what arrives from above.
        on_logits = (g * columns).to(ctx.dtype).index_copy_(0, positives, (g * rows).to(ctx.dtype))
        return _constant(on_logits), *[None] * (6 + len(self.defaults))

    def no_vmap(self, *_: Any) -> None:
        raise NotImplementedError(f"{self.__name__} ranks one list, and has no vmap: call it once for each list")

    def _as_function(self) -> type[torch.autograd.Function]:
        """The loss in eager mode."""
        methods = {"forward": self.compute, "setup_context": self.keep, "backward": self.backward, "vmap": self.no_vmap}
        return type(self.__name__, (torch.autograd.Function,), {n: staticmethod(m) for n, m in methods.items()})

    def _as_operator(self, options: dict[str, type]) -> Any:
        """The loss as one node for `torch.compile` and `torch.export`, which do not look into it."""
        arguments = "Tensor logits, Tensor targets, Tensor? numbers, SymInt? num_positives, float delta"
        arguments += ", str rank_scope, bool validate"
        arguments += "".join(f", {kind.__name__} {name}" for name, kind in options.items())
        schema = f"({arguments}) -> ({', '.join(['Tensor'] * (self.num_parts + 6))})"
        operator = torch.library.custom_op(f"alrp_ref::{self.__name__}", self.compute, mutates_args=(), schema=schema)
        operator.register_fake(self._shapes)
        operator.register_autograd(self.backward, setup_context=self.keep)
        return operator

    def _shapes(
        self, logits: Tensor, targets: Tensor, numbers: Tensor | None, num_positives: int | None, *_: Any
    ) -> tuple[Tensor, ...]:
        """Results of `compute` without values."""
        dtype, exact = torch.promote_types(logits.dtype, torch.float32), exact_dtype(logits.device)
        size = num_positives if numbers is None else numbers.shape[0]
        if size is None:
            size = torch.library.get_ctx().new_dynamic_size()
        scalars = [logits.new_empty((), dtype=dtype) for _ in range(self.num_parts)]
        rank, positives = logits.new_empty(size, dtype=dtype), logits.new_empty(size, dtype=torch.int64)
        rows, columns = logits.new_empty(size, dtype=exact), logits.new_empty(logits.shape, dtype=dtype)
        by_numbers = logits.new_empty(size, dtype=exact)
        return *scalars, rank, positives, rows, columns, by_numbers, torch.empty_like(scalars[0])


def ranking_loss(
    formula: Formula | None = None, *, name: str | None = None, bounds: tuple[float, float] = (0, torch.inf)
) -> RankingLoss | Callable[[Formula], RankingLoss]:
    """Make a loss from its formula; a decorator.

    Args:
        formula: a function of `alrp_ref.paper.ranking.Ranks`; if it needs a number for each positive, of these, (|P|,),
            by a name of its own; and of options, keywords of type float, int, bool or str. It returns a `Part`, or a
            tuple of them, and says so in its annotation. The first part has the gradient on the scores, the last may
            have one on the numbers.
        name: of the loss, in messages and in compiled graphs; that of the formula if not given.
        bounds: the least and the greatest value of a number.
    """
    if formula is None:
        return lambda formula: ranking_loss(formula, name=name, bounds=bounds)
    return RankingLoss(formula, name or formula.__name__, bounds)


class _Constant(torch.autograd.Function):
    @staticmethod
    def forward(gradient: Tensor, _: Tensor) -> Tensor:
        return gradient.clone()

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        pass

    @staticmethod
    def backward(ctx: Any, _: Tensor) -> tuple[Tensor, ...]:
        raise RuntimeError(
            "a ranking loss has no second derivative: its gradient is an update of the scores, not the derivative of a "
            "function. Leave it out of gradient penalties"
        )


def _constant(gradient: Tensor) -> Tensor:
    """The gradient; whoever differentiates it is told that this cannot be done, instead of adding nothing."""
    if not torch.is_grad_enabled() or torch.compiler.is_compiling():
        return gradient
    return _Constant.apply(gradient, torch.zeros((), requires_grad=True))
