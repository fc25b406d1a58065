r"""Self-balance: the weight of the localisation part, renewed every epoch (Section 4.2).

==============  =========================================================================  ============
`weight`        :math:`w = \mathcal L^{aLRP} / \mathcal L_{loc}`, from the last epoch      scalar
==============  =========================================================================  ============
"""

import contextlib
import warnings
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from alrp_ref.machine.processes import summed


class SelfBalance(nn.Module):
    r"""How much the gradients of the boxes are scaled up to match those of the scores.

    Early in training :math:`N_{FP}/\mathrm{rank} \approx 1`: ranks are huge, and since they divide
    :math:`\mathcal L_{loc}`, boxes hardly learn. The score gradients sum to about :math:`\mathcal L^{aLRP}`, so

    .. math:: w = \frac{\overline{\mathcal L_{cls}} + \overline{\mathcal L_{loc}}}{\overline{\mathcal L_{loc}}}
              \quad \text{(means over the last epoch)}, \qquad w = 50 \text{ in the first}

    gives :math:`w \mathcal L_{loc}` the same size. The ratio is one of means, not a mean of ratios.

    Args:
        period: steps in an epoch. None keeps `initial_weight` for ever: the first epoch never ends. A step is a call of
            `update`, or of all calls within `accumulate()` one.
        initial_weight: the weight of the first epoch.

    The window closes *with* its last step, and that step already uses the new weight: so does the release.
    Steps without positives on any process do not count, nor do steps whose loss is not finite: such a step is skipped
    by a loss scaler. Weight, window and period are saved in `state_dict`. Loading a state with another period warns:
    weight and window are those of the state, and the window ends at this module's period. A cast of the module to 16
    bits leaves both in float32, because sums over an epoch would stop growing.
    Source: Section 4.2.
    """

    def __init__(self, period: int | None, *, initial_weight: float = 50.0):
        super().__init__()
        is_number = hasattr(period, "__index__") and not isinstance(period, bool)  # NumPy's integers, too
        if period is not None and not (is_number and period >= 1):
            raise ValueError(f"period must be a number of steps, 1 or more, or None, got {period!r}")
        if not 0 < initial_weight < float("inf"):
            raise ValueError(f"initial_weight must be a finite number above 0, got {initial_weight!r}")
        self.period = None if period is None else int(period)
        self.initial_weight = initial_weight
        self.register_buffer("weight", torch.empty((), dtype=torch.float32))
        self.register_buffer("window", torch.empty(3, dtype=torch.float32))  # sums of L_cls and L_loc, number of steps
        self.reset_parameters()
        self._micro_batches: list[Tensor] | None = None  # what `accumulate` has collected

    def reset_parameters(self) -> None:
        """Begin the first epoch, with the initial weight."""
        self.weight.fill_(self.initial_weight)
        self.window.zero_()

    # Module.half(), .to(dtype) and .to_empty() come through here.
    def _apply(self, fn: Callable[[Tensor], Tensor], *args, **kwargs) -> "SelfBalance":
        before = dict(self.named_buffers())
        super()._apply(fn, *args, **kwargs)
        if before["weight"].is_meta:  # there were no numbers, and what `to_empty` finds in memory is none of ours
            self.reset_parameters()
            return self
        for name, value in self.named_buffers():
            if value.dtype.itemsize < torch.float32.itemsize:
                setattr(self, name, before[name].to(value.device))
        return self

    # A tensor, because averages of weights (EMA) go through the values of state_dict(); 0 stands for None.
    def get_extra_state(self) -> Tensor:
        return torch.tensor(self.period or 0)

    def set_extra_state(self, state: Tensor) -> None:
        saved = int(state)
        if saved and self.period and saved != self.period:
            warnings.warn(f"saved with period {saved}, continues with period {self.period}", stacklevel=2)

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *args) -> None:
        state_dict.setdefault(prefix + "_extra_state", self.get_extra_state())  # older states have no period
        buffers = {prefix + name: value for name, value in self.named_buffers()}
        if not buffers.keys() & state_dict.keys():  # a model that was trained with another loss
            warnings.warn(f"the state holds no self-balance: its weight stays {self.weight:g}", stacklevel=2)
            state_dict |= buffers
        super()._load_from_state_dict(state_dict, prefix, *args)

    @torch.no_grad()
    def update(self, cls: Tensor, loc: Tensor, *, has_positives: bool | Tensor = True) -> Tensor:
        """Count one training step and return the weight to use in it.

        Every process must call it in every step; `has_positives` says whether its own losses mean anything.
        No value leaves the device.

        Shape: `cls` and the unweighted `loc` are scalars -> scalar.
        Source: Section 4.2.
        """
        one = torch.ones_like(self.weight)
        losses = torch.stack([cls.to(one), loc.to(one), one]) * has_positives
        losses = torch.where(losses.isfinite().all(), losses, 0)
        if self._micro_batches is None:
            self.count_step(losses)
        else:
            self._micro_batches.append(losses)
        return self.weight.clone()  # for a backward pass that may come after the next step

    @contextlib.contextmanager
    def accumulate(self) -> Iterator[None]:
        """Count all updates in here as one step, when it ends: those of the micro-batches of an optimiser step.

        The step is then the one that as many processes would count. Until it ends the weight stays what it was.
        """
        self._micro_batches = []
        try:
            yield
            if self._micro_batches:
                self.count_step(torch.stack(self._micro_batches).sum(dim=0))
        finally:
            self._micro_batches = None

    @torch.no_grad()
    def count_step(self, losses: Tensor) -> None:
        """Add one step to the window, and renew the weight if that fills it.

        Shape: `losses` (3,), the sums of L_cls and L_loc over the batches of this process, and the number of these.
        """
        step = summed(losses)
        self.window += step / step[2].clamp(min=1)  # mean over the processes that have positives
        cls_sum, loc_sum, steps = self.window
        full = steps >= (float("inf") if self.period is None else self.period)
        # A window without any localisation error has no ratio: the weight stays.
        # In place: a captured CUDA graph reads and writes the same memory in each step.
        self.weight.copy_(torch.where(full & (loc_sum > 0), (cls_sum + loc_sum) / loc_sum, self.weight))
        self.window *= ~full

    def extra_repr(self) -> str:
        return f"period={self.period}"
