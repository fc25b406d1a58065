"""Files: atomic writes, JSON and CSV, locks, and readable I/O errors."""

import contextlib
import csv
import errno
import io
import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from filelock import FileLock, Timeout


class DataError(Exception):
    """A file is missing, invalid or cannot be written. The message names the file and a remedy."""


T = TypeVar("T")

NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def _numbers(*names: str) -> frozenset[int]:
    """Those of the errors that this system has."""
    return frozenset(getattr(errno, name) for name in names if hasattr(errno, name))


NO_ANSWER = _numbers(
    *("EIO", "ENOTCONN", "ESTALE", "ETIMEDOUT", "EAGAIN", "EREMOTEIO", "ENOLINK", "ECOMM", "EPROTO", "ESHUTDOWN"),
    *("ECONNABORTED", "ECONNREFUSED", "ECONNRESET", "EHOSTDOWN", "EHOSTUNREACH", "ENETDOWN", "ENETUNREACH"),
)
"""Errors of a disk or network that may answer when it is asked again."""

NOT_OFFERED = _numbers("ENOSYS", "ENOLCK", "EOPNOTSUPP", "ENOTSUP", "EINVAL", "ENOTTY") | {524}
"""What file systems of clusters say that have no locks, or cannot sync a file; 524 is Linux' own ENOTSUPP."""

PAUSES = (0.5, 1.0, 2.0)
"""Seconds before a file is asked for again."""


def retried(read: Callable[[], T]) -> T:
    """What `read` returns. After an error of `NO_ANSWER` it is called again, three times within seconds."""
    for pause in PAUSES:
        try:
            return read()
        except OSError as error:
            if error.errno not in NO_ANSWER:
                raise
        time.sleep(pause)
    return read()


def sync(file: io.IOBase) -> None:
    """Sync an open file to the disk, where the file system can."""
    file.flush()
    try:
        os.fsync(file.fileno())
    except OSError as error:
        if error.errno not in NOT_OFFERED:
            raise


def write_atomic(path: Path, content: str | bytes | memoryview) -> None:
    """Atomic write: write a temporary file, sync it to the disk, and rename it to `path`.

    If the process is killed or the disk is full, the previous file at `path` is unchanged.

    Raises: DataError if the file cannot be written, with the space it needs and the space there is.
    """
    data = content.encode() if isinstance(content, str) else content
    part = partial_path(path)
    with explain_io_errors(path, memoryview(data).nbytes):
        try:
            with open(part, "wb") as file:
                file.write(data)
                sync(file)
            os.replace(part, path)
        except BaseException:
            with contextlib.suppress(OSError):
                part.unlink()
            raise


def refuse_input(target: Path, inputs: Iterable[Path]) -> None:
    """Raise ValueError if a file that is to be written is one of the files that are read, by whatever path."""
    if not target.exists():
        return
    for path in inputs:
        if path.exists() and os.path.samefile(target, path):
            raise ValueError(f"{target} would be written over {path}, which is read: give another --out")


def read_json(path: str | os.PathLike) -> Any:
    """What a JSON file holds: in UTF-8, 16 or 32, with a byte-order mark or without, whatever the locale.

    Raises: OSError; ValueError if it is not JSON.
    """
    try:
        return json.loads(retried(Path(path).read_bytes))
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def load_json(path: str | os.PathLike, *, if_missing: str, if_broken: str) -> Any:
    """`read_json` of a file that a person gave. Args: what to do if it is missing, or is not JSON.

    Raises: DataError, which names the file and says that.
    """
    try:
        return read_json(path)
    except FileNotFoundError:
        raise DataError(f"{path} is missing; {if_missing}") from None
    except ValueError as error:
        raise DataError(f"{path} is not JSON ({error}); {if_broken}") from error


def read_table(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV file, by the names of its columns."""
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def write_table(path: Path, rows: Sequence[Mapping[str, object]]) -> None:
    """Write rows with the same keys as a CSV file. Raises: DataError if it cannot be written."""
    text = io.StringIO()
    writer = csv.DictWriter(text, rows[0], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_atomic(path, text.getvalue())


@contextlib.contextmanager
def explain_io_errors(path: Path, size: int | None = None) -> Iterator[None]:
    """Turn an OSError into a DataError that names `path` and a remedy; `size` is the size of the file."""
    try:
        yield
    except OSError as error:
        kept = "; the one that was there is whole" if size is not None and path.is_file() else ""
        reason = f"{path} cannot be written: {error.strerror or error}{kept}"
        raise DataError(f"{reason}. {_advice(error, path.parent, size)}") from error


def _advice(error: OSError, folder: Path, size: int | None) -> str:
    if error.errno not in NO_ROOM:
        return f"See to it that {folder} is a folder and can be written to, and give the same command again"
    needed = "" if size is None else f"It takes {human_size(size)}, and "
    free = f"{needed}the disk has {human_size(shutil.disk_usage(folder).free)} free"
    return f"{free[0].upper()}{free[1:]}: make room, and give the same command again"


@contextlib.contextmanager
def locked(path: Path, *, wait: bool) -> Iterator[bool]:
    """Hold a lock file. The operating system releases it when the process ends, even if it is killed.

    Yields: whether this process holds the lock; with `wait`, always True.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    lock, is_ours = FileLock(path), True
    try:
        lock.acquire(timeout=-1 if wait else 0)
    except Timeout:
        is_ours = False
    except (NotImplementedError, OSError) as error:  # filelock's word for one of the numbers is the former
        if isinstance(error, OSError) and error.errno not in NOT_OFFERED:
            raise
        _say_no_locks()
    try:
        yield is_ours
    finally:
        lock.release()


@cache
def _say_no_locks() -> None:
    """Once in a process."""
    print("this file system has no locks: a second run in the same folder would not be noticed", file=sys.stderr)


@contextlib.contextmanager
def locked_folder(out: Path) -> Iterator[None]:
    """Keep a second run from writing to the same folder. Raises: DataError if another one holds it."""
    with contextlib.ExitStack() as stack:
        with explain_io_errors(out / "lock"):
            is_ours = stack.enter_context(locked(out / "lock", wait=False))
        if not is_ours:
            raise DataError(f"another run is writing to {out}: wait until it has ended, or give another folder")
        yield


def partial_path(path: Path) -> Path:
    """The temporary file of `write_atomic`."""
    return path.with_name(path.name + ".part")


def human_size(size: int) -> str:
    """A number of bytes in GB, MB or bytes."""
    for unit, name in ((1e9, "GB"), (1e6, "MB")):
        if size >= unit:
            return f"{size / unit:.1f} {name}"
    return f"{size:,} bytes"
