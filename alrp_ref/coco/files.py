"""Files that are whole, or not there; and what is said where one cannot be written."""

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from alrp_ref.coco.errors import DataError


def write_whole(path: Path, content: str | bytes | memoryview) -> None:
    """Write a file beside `path`, and move it there once it is whole and on the disk.

    A process that is killed, or a disk that is full, leaves what was at `path` before, as it was.

    Raises: DataError, with the space that is needed and what there is, if it cannot be written.
    """
    data = content.encode() if isinstance(content, str) else content
    part = path.with_name(path.name + ".part")
    with writing(path, memoryview(data).nbytes):
        try:
            with open(part, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(part, path)
        except OSError:
            with contextlib.suppress(OSError):
                part.unlink()
            raise


@contextlib.contextmanager
def writing(path: Path, size: int | None = None) -> Iterator[None]:
    """Say of an OSError what it was about. Raises: DataError, with the room there is, and `size`, what it takes."""
    try:
        yield
    except OSError as error:
        needed = "" if size is None else f"it takes {_size(size)}, and "
        kept = "; the one that was there is whole" if size is not None and path.is_file() else ""
        raise DataError(
            f"{path} cannot be written: {error.strerror or error}; {needed}the disk has {_size(_free(path.parent))} "
            f"free{kept}. Make room, or make {path.parent} writable, and give the same command again"
        ) from error


def _free(folder: Path) -> int:
    return shutil.disk_usage(folder).free if folder.exists() else 0


def _size(number: int) -> str:
    return f"{number / 1e6:,.1f} MB"
