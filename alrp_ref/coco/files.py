"""Files that are whole, or not there."""

import contextlib
import os
import shutil
from pathlib import Path

from alrp_ref.coco.errors import DataError


def write_whole(path: Path, content: str | bytes | memoryview) -> None:
    """Write a file beside `path`, and move it there once it is whole and on the disk.

    A process that is killed, or a disk that is full, leaves what was at `path` before, as it was.

    Raises: DataError, with the space that is needed and what there is, if it cannot be written.
    """
    data = content.encode() if isinstance(content, str) else content
    part = path.with_name(path.name + ".part")
    try:
        with open(part, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            part.unlink()
        kept = "; the one that was there is whole" if path.is_file() else ""
        raise DataError(
            f"{path} cannot be written: {error.strerror}; it takes {_size(memoryview(data).nbytes)}, and the disk has "
            f"{_size(_free(path.parent))} free{kept}. Make room, or make {path.parent} writable, and give the same "
            "command again"
        ) from error


def _free(folder: Path) -> int:
    return shutil.disk_usage(folder).free if folder.exists() else 0


def _size(number: int) -> str:
    return f"{number / 1e6:,.1f} MB"
