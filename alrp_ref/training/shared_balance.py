"""The self-balance of a step whose batch is divided into micro-batches."""

import contextlib
import math
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from torch import nn

from alrp_ref.detection.criteria import self_balance_of

T = TypeVar("T")


class SharedBalance:
    r"""One step of the self-balance for all micro-batches of a step, and one weight.

    K micro-batches in one process shall train as one in each of K processes. These average their losses, and all
    of them use the same weight. In most steps that is the weight the last window left, and the losses are only
    collected. But the step that closes a window already uses the new weight (`SelfBalance`), and the first
    micro-batch would need it before the last one has been seen. So such a step, one in an epoch, begins with a forward
    pass over all micro-batches, which counts; then they are trained on, with the new weight, and do not count again.
    (Where a backbone learns with batch normalisation, its running statistics meet the images of that step twice.)

    Args: `criteria` of the detector; `accumulate`, K. With K = 1 a criterion counts its steps by itself, and nothing
        is left to do here.
    """

    def __init__(self, criteria: Iterable[nn.Module], accumulate: int):
        balanced = (criterion for criterion in criteria if self_balance_of(criterion) is not None)
        self.criteria = list(balanced) if accumulate > 1 else []
        self._steps_left = self._read_steps_left()

    @contextlib.contextmanager
    def one_step(self, batches: Iterable[T], forward: Callable[[T], object]) -> Iterator[None]:
        """Surround the training on the micro-batches of a step; `forward` computes the losses of one."""
        self._steps_left -= 1
        if self._steps_left > 0:
            with self._counted_as_one():
                yield
            return
        with self._counted_as_one():
            for batch in batches:
                forward(batch)  # whose result, and with it the memory for a backward pass, is given up at once
        try:
            for criterion in self.criteria:
                criterion.eval()  # which changes nothing but that it does not count
            yield
        finally:
            for criterion in self.criteria:
                criterion.train()
        self._steps_left = self._read_steps_left()

    @contextlib.contextmanager
    def _counted_as_one(self) -> Iterator[None]:
        with contextlib.ExitStack() as stack:
            for criterion in self.criteria:
                stack.enter_context(self_balance_of(criterion).accumulate())
            yield

    def _read_steps_left(self) -> float:
        """The steps that the fullest window lacks. The host waits for the device here, once an epoch.

        Between, each step is taken to count. If one does not, for want of positives, the window is not full when the
        forward pass over all micro-batches was made; that pass has changed nothing, and the next step makes one.
        """
        balances = [self_balance_of(criterion) for criterion in self.criteria]
        return min((b.period - int(b.window[2]) for b in balances if b.period is not None), default=math.inf)
