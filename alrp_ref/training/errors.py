"""What ends a training run before its last step."""

from collections.abc import Sequence


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
