"""The log of a run: `metrics.csv`, TensorBoard, and a progress bar."""

import contextlib
import csv
import io
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm

from alrp_ref.machine.files import DataError, explain_io_errors, sync, write_atomic

PARTS = ("loss_cls", "loss_loc", "weight", "balance")
RPN_PARTS = ("loss_rpn_cls", "loss_rpn_loc", "rpn_weight", "rpn_balance")


class RunLog:
    """`metrics.csv` (steps), `evaluations.csv` and TensorBoard's files in `out`, and a progress bar.

    `loss_loc` is the weighted localisation part. `weight` is the self-balance weight (1 for losses without one), so
    `loss_loc / weight` is unweighted. For `balance` see `GradientBalance`. The first of two stages has the columns
    `RPN_PARTS`.

    Args:
        out: the run's folder.
        start, stop: steps. Rows from `start` on, written after the last checkpoint, are dropped.
        two_stages: whether the detector has two stages.
    """

    def __init__(self, out: Path, start: int, stop: int, *, two_stages: bool = False):
        self._values = ("lr", *PARTS, *(RPN_PARTS if two_stages else ()))
        self.path = out / "metrics.csv"
        columns = ("step", "epoch", *self._values, "images_per_s")
        _write_rows(self.path, columns, [row for row in read_metrics(self.path) if row["step"] < start])
        self._file = open(self.path, "a", newline="", encoding="utf-8")
        self._csv = csv.DictWriter(self._file, columns)
        self._evaluations = out / "evaluations.csv"
        self._evaluated = [row for row in read_metrics(self._evaluations) if row["step"] <= start]
        self._other_excepthook, threading.excepthook = threading.excepthook, self._excepthook
        self._board = SummaryWriter(str(out / "tensorboard"), purge_step=start)
        self._bar = tqdm(total=stop, initial=start, unit="step", dynamic_ncols=True, smoothing=0.05)

    def step(self, row: dict[str, float]) -> None:
        """Log one step. The file is flushed at every step, which is cheap."""
        with explain_io_errors(self.path):
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
        """Sync the log to the disk; called before a checkpoint is written."""
        with explain_io_errors(self.path):
            sync(self._file)

    def evaluation(self, done: int, metrics: Mapping[str, float]) -> None:
        """Log the metrics after `done` steps."""
        values = ", ".join(f"{name} {metrics[name]:.4f}" for name in ("AP", "AP50", "AP75", "oLRP"))
        self._bar.write(f"after {done} steps: {values}")
        with explain_io_errors(self.path):
            for name, value in metrics.items():
                self._board.add_scalar(f"val/{name}", value, done)
        self._evaluated = [row for row in self._evaluated if row["step"] != done] + [{"step": done, **metrics}]
        _write_rows(self._evaluations, ("step", *metrics), self._evaluated)

    def is_best(self, metric: str) -> bool:
        """Whether the last evaluation is better than all before; of LRP the least value is best."""
        *before, last = (row[metric] * (-1 if "LRP" in metric else 1) for row in self._evaluated)
        return all(not value >= last for value in before)

    @property
    def evaluated_steps(self) -> set[float]:
        """After how many steps there was an evaluation."""
        return {row["step"] for row in self._evaluated}

    def close(self) -> None:
        """Close all files. Write errors were raised at their step, and must not hide another error now."""
        self._bar.close()
        for file in (self._file, self._board):
            with contextlib.suppress(OSError):
                file.close()
        threading.excepthook = self._other_excepthook

    def _excepthook(self, thrown: threading.ExceptHookArgs) -> None:
        """Print no traceback of TensorBoard's thread: the next `add_scalar` raises what ended it, as on a full disk."""
        if not (issubclass(thrown.exc_type, OSError) and type(thrown.thread).__module__.startswith("tensorboard.")):
            self._other_excepthook(thrown)


def _write_rows(path: Path, columns: Sequence[str], rows: Sequence[Mapping[str, float]]) -> None:
    text = io.StringIO(newline="")
    table = csv.DictWriter(text, columns)
    table.writeheader()
    table.writerows(rows)
    write_atomic(path, text.getvalue())


def read_metrics(path: Path) -> list[dict[str, float]]:
    """The rows of a `metrics.csv` or `evaluations.csv`, without an incomplete last row; empty if there is no file.

    Raises: DataError if the file is not a log.
    """
    if not path.is_file():
        return []
    try:
        with open(path, newline="", encoding="utf-8") as file:
            rows = [row for row in csv.DictReader(file) if None not in row.values() and "" not in row.values()]
        if any("step" not in row for row in rows):
            raise ValueError("it has no column named step")
        return [{name: _number(name, text) for name, text in row.items()} for row in rows]
    except (ValueError, TypeError, csv.Error) as error:
        raise DataError(
            f"{path} is not the log of a run ({error}): move it away, and give the same command again"
        ) from error


def _number(column: str, text: str) -> float:
    return int(text) if column in ("step", "epoch") else float(text)
