"""What a run writes down at every step: a table on disk, TensorBoard, and a line on the terminal."""

import contextlib
import csv
import io
import os
from collections.abc import Mapping
from pathlib import Path

from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm

from alrp_ref.coco.errors import DataError
from alrp_ref.coco.files import write_whole, writing

PARTS = ("loss_cls", "loss_loc", "weight", "balance")
RPN_PARTS = ("loss_rpn_cls", "loss_rpn_loc", "rpn_weight", "rpn_balance")


class RunLog:
    """`metrics.csv` and TensorBoard's files in `out`, and a progress bar.

    `loss_loc` is the localisation part as trained with; `weight` is the self-balance weight it holds (1 for losses
    without one), so `loss_loc / weight` is the part itself; `balance`, see `Balance`. Of two stages the first has the
    same, as `RPN_PARTS`.

    Args:
        out: the run's folder.
        start, stop: steps. Rows from `start` on, left by a run that went further than its checkpoint, are dropped.
        two_stages: whether the detector has them.
    """

    def __init__(self, out: Path, start: int, stop: int, *, two_stages: bool = False):
        self._values = ("lr", *PARTS, *(RPN_PARTS if two_stages else ()))
        self.path = out / "metrics.csv"
        columns = ("step", "epoch", *self._values, "images_per_s")
        kept = io.StringIO(newline="")
        before = csv.DictWriter(kept, columns)
        before.writeheader()
        before.writerows(row for row in read_metrics(self.path) if row["step"] < start)
        write_whole(self.path, kept.getvalue())
        self._file = open(self.path, "a", newline="", encoding="utf-8")
        self._csv = csv.DictWriter(self._file, columns)
        self._board = SummaryWriter(str(out / "tensorboard"), purge_step=start)
        self._bar = tqdm(total=stop, initial=start, unit="step", dynamic_ncols=True, smoothing=0.05)

    def step(self, row: dict[str, float]) -> None:
        """Write one step down. A file is only as good as its last flush: once a step is cheap."""
        with writing(self.path):
            self._csv.writerow(row)
            self._file.flush()
            for name in self._values:
                self._board.add_scalar(name, row[name], row["step"])
        self._bar.update(1)
        self._bar.set_postfix_str(
            f"cls {row['loss_cls']:.3f}, loc {row['loss_loc']:.3f}, weight {row['weight']:.0f}, "
            f"{row['images_per_s']:.1f} images/s",
            refresh=False,
        )

    def sync(self) -> None:
        """See to it that what was written is on the disk: before a checkpoint that counts on it."""
        with writing(self.path):
            os.fsync(self._file.fileno())

    def evaluation(self, done: int, metrics: Mapping[str, float]) -> None:
        """Write down what the detector reaches after `done` steps."""
        values = ", ".join(f"{name} {metrics[name]:.4f}" for name in ("AP", "AP50", "AP75", "oLRP"))
        self._bar.write(f"after {done} steps: {values}")
        with writing(self.path):
            for name, value in metrics.items():
                self._board.add_scalar(f"val/{name}", value, done)

    def close(self) -> None:
        """Close everything. What cannot be written any more was said before, and hides no other error here."""
        self._bar.close()
        for file in (self._file, self._board):
            with contextlib.suppress(OSError):
                file.close()


def read_metrics(path: Path) -> list[dict[str, float]]:
    """The rows of a `metrics.csv`, without a last one that was cut short; none if there is no file.

    Raises: DataError if it is not one.
    """
    if not path.is_file():
        return []
    try:
        with open(path, newline="", encoding="utf-8") as file:
            rows = [row for row in csv.DictReader(file) if None not in row.values() and "" not in row.values()]
        if any("step" not in row for row in rows):
            raise ValueError("it has no column named step")
        return [{k: int(v) if k in ("step", "epoch") else float(v) for k, v in row.items()} for row in rows]
    except (ValueError, TypeError, csv.Error) as error:
        raise DataError(
            f"{path} is no log of a run ({error}): move it away, and give the same command again"
        ) from error
