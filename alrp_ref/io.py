"""Files that are whole or not there, one writer at a time, and what is said where one cannot be written."""

import contextlib
import errno
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from alrp_ref.coco.errors import DataError

NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def write_whole(path: Path, content: str | bytes | memoryview) -> None:
    """Write a file beside `path`, and move it there once it is whole and on the disk.

    A process that is killed, or a disk that is full, leaves what was at `path` before, as it was.

    Raises: DataError, with the space that is needed and what there is, if it cannot be written.
    """
    data = content.encode() if isinstance(content, str) else content
    part = part_of(path)
    with writing(path, memoryview(data).nbytes):
        try:
            with open(part, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(part, path)
        except BaseException:
            with contextlib.suppress(OSError):
                part.unlink()
            raise


@contextlib.contextmanager
def writing(path: Path, size: int | None = None) -> Iterator[None]:
    """Say of an OSError what it was about, and what to do. Raises: DataError; `size` is what `path` takes."""
    try:
        yield
    except OSError as error:
        kept = "; the one that was there is whole" if size is not None and path.is_file() else ""
        reason = f"{path} cannot be written: {error.strerror or error}{kept}"
        raise DataError(f"{reason}. {_advice(error, path.parent, size)}") from error


def _advice(error: OSError, folder: Path, size: int | None) -> str:
    if error.errno not in NO_ROOM:
        return f"See to it that {folder} is a folder and can be written to, and give the same command again"
    needed = "" if size is None else f"It takes {in_words(size)}, and "
    free = f"{needed}the disk has {in_words(shutil.disk_usage(folder).free)} free"
    return f"{free[0].upper()}{free[1:]}: make room, and give the same command again"


@contextlib.contextmanager
def locked(path: Path, *, wait: bool) -> Iterator[bool]:
    """Keep other processes from what a file stands for. The system lets go of it when a process ends, however it does.

    Yields: whether the lock is ours; always, with `wait`.
    """
    import fcntl  # absent on Windows, where the rest of the package can still be imported

    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w") as file:
        is_ours = True
        try:
            fcntl.flock(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            is_ours = False
        except OSError:
            pass  # a file system without locks, as some clusters have, is no reason not to train
        yield is_ours


def part_of(path: Path) -> Path:
    """Where a file is written that shall only bear its name when it is whole."""
    return path.with_name(path.name + ".part")


def in_words(size: int) -> str:
    """A number of bytes as a person would say it."""
    for unit, name in ((1e9, "GB"), (1e6, "MB")):
        if size >= unit:
            return f"{size / unit:.1f} {name}"
    return f"{size:,} bytes"
