"""What ends a training run before its last step."""

import signal
from collections.abc import Sequence
from pathlib import Path


class TrainingStopped(Exception):
    """Training cannot continue: the message says why, what is safe, and what to do."""


class Diverged(TrainingStopped):
    """The loss is no longer finite: the message says at which step, for which images, and what is kept.

    Args: `step`, and the `image_ids` of that step; the `reason`; `saved`, the steps that the checkpoint holds, 0 if
        there is none.
    """

    def __init__(self, step: int, image_ids: Sequence[int], reason: str, saved: int):
        kept = f"the checkpoint holds the state after {saved} steps" if saved else "there is no checkpoint yet"
        where = f"training stopped at step {step}, images {list(image_ids)}"
        super().__init__(f"{where}: {reason}; {kept}. Start again with a lower learning rate.")


class NothingToLearn(TrainingStopped):
    """No box was a positive from the first step on: the message says what is likely.

    Args: `steps` without a positive.
    """

    def __init__(self, steps: int):
        super().__init__(
            f"training stopped: in its first {steps} steps no anchor was matched with a box, so that there is nothing "
            "to learn. The boxes are wrong, or too small at the size that images are trained at: are they fractions of "
            "the image, or in pixels of images of another size? `alrp check-data` looks at all of them; train_size, "
            "anchor_scale and assigner are fields of the recipe."
        )


class Preempted(TrainingStopped):
    """The process was asked to end, and has saved what it did; the message says where.

    Args: `number` of the signal; the `checkpoint`, and the `steps` that it holds.
    """

    def __init__(self, number: int, checkpoint: Path, steps: int):
        super().__init__(
            f"training stopped: {signal.Signals(number).name} asked this process to end; {checkpoint} holds the state "
            f"after {steps} steps"
        )
        self.exit_code = 128 + number
        """What a shell gives for a process that a signal ended (143 for SIGTERM). To batch systems it is a job that was
        preempted, which they may start again; 0 would say that the run is complete."""
