"""Download COCO 2017's public archives and unpack them into the layout that CocoDataset reads.

COCO publishes no checksums. The sizes and MD5 sums below are those that many public projects agree on, and each
download is compared with both. They also stand in for encryption: the server has no certificate for its own name.
"""

import fnmatch
import json
import os
import shutil
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from alrp_ref.data.annotations.layout import SPLITS
from alrp_ref.machine.fetch import fetch, size_of
from alrp_ref.machine.files import (
    DataError,
    explain_io_errors,
    human_size,
    locked,
    partial_path,
    read_json,
    write_atomic,
)


@dataclass(frozen=True)
class Archive:
    """A zip archive on a server.

    Attributes: `url`, its address, whose last part is its name; `members`, pattern of the files in it that are
        unpacked; `unpacked`, bytes that they take, about; `size` and `md5` of the archive.
    """

    url: str
    members: str
    unpacked: int
    size: int
    md5: str

    @property
    def name(self) -> str:
        """The name of the archive's file."""
        return self.url.rsplit("/", 1)[-1]


SERVER = "http://images.cocodataset.org"
ARCHIVES = {
    "annotations": Archive(
        url=f"{SERVER}/annotations/annotations_trainval2017.zip",
        members="annotations/instances_*.json",
        unpacked=490_000_000,
        size=252_907_541,
        md5="f4bbac642086de4f52a3fdda2de5fa2c",
    ),
    "train2017": Archive(
        url=f"{SERVER}/zips/train2017.zip",
        members="train2017/*",
        unpacked=19_800_000_000,
        size=19_336_861_798,
        md5="cced6f7f71b7629ddf16f17bbcfab6b2",
    ),
    "val2017": Archive(
        url=f"{SERVER}/zips/val2017.zip",
        members="val2017/*",
        unpacked=840_000_000,
        size=815_585_330,
        md5="442b8da7639aecaf257c1dceb8ba8c80",
    ),
}


def download(root: str | os.PathLike[str], split: str, archives: Mapping[str, Archive] = ARCHIVES) -> Path:
    """Download COCO 2017's annotations and one split's images, and unpack them.

    The same call resumes one that was interrupted. What an earlier call unpacked is not downloaded again. No file is
    overwritten.

    Args:
        root: target folder, for ``CocoDataset(root, split)``.
        split: ``"train2017"`` (19.3 GB, 118,287 images) or ``"val2017"`` (0.8 GB, 5,000).
        archives: what ``"annotations"`` and `split` are.

    Returns: `root` as a path.
    Raises:
        ValueError: an unknown split.
        DataError: too little room on the disk, an archive that cannot be downloaded (see :mod:`alrp_ref.machine.fetch`)
            or has another checksum, a different file of the same name in the folder.
    """
    if split not in SPLITS:
        raise ValueError(f"split must be one of {', '.join(SPLITS)}; got {split!r}")
    root = Path(root)
    if root.exists() and not root.is_dir():
        raise DataError(f"{root} is a file; give the name of a folder for COCO")
    folder = root / "download"
    with locked(folder / "lock", wait=False) as is_ours:
        if not is_ours:
            raise DataError(f"another download into {root} is running; wait until it has ended")
        wanted = [a for a in (archives["annotations"], archives[split]) if not _is_unpacked(a, root)]
        files = {archive: folder / archive.name for archive in wanted}
        to_come = [archive for archive, file in files.items() if not file.exists()]
        _check_space(root, sum(a.size - size_of(partial_path(files[a])) + a.unpacked for a in to_come))
        for archive, file in files.items():
            if archive in to_come:
                fetch(archive.url, file, archive.size, archive.md5)
            _unpack(file, archive.members, root)
    return root


def _is_unpacked(archive: Archive, root: Path) -> bool:
    """Whether all files that were once unpacked of an archive are still there."""
    note = _note(root / "download" / archive.name)
    if not note.exists():
        return False
    sizes = read_json(note)
    missing = _missing(sizes, root)
    if missing:
        print(f"{len(missing):,} of {len(sizes):,} files are gone, {root / missing[0]} the first: {archive.name} again")
    return not missing


def _missing(sizes: Mapping[str, int], root: Path) -> list[str]:
    """The files that are not there. Raises: DataError for one that is there with another size."""
    for name, size in sizes.items():
        if (file := root / name).exists() and size_of(file) != size:
            raise DataError(
                f"{file} has {size_of(file):,} bytes, and the one in COCO's archive has {size:,}; it is left alone: "
                "move it away or delete it, and give the same command again"
            )
    return [name for name in sizes if not (root / name).exists()]


def _unpack(file: Path, pattern: str, root: Path) -> None:
    """Unpack the wanted files of an archive that are not there yet, note which they are, and delete the archive."""
    folder = file.with_suffix("")
    try:
        with zipfile.ZipFile(file) as archive:
            members = [m for m in archive.infolist() if fnmatch.fnmatchcase(m.filename, pattern) and not m.is_dir()]
            sizes = {m.filename: m.file_size for m in members}
            missing = _missing(sizes, root)
            _check_space(root, sum(sizes[name] for name in missing))
            for name in tqdm(missing, desc=f"unpacking {file.name}", unit=" files", dynamic_ncols=True):
                with explain_io_errors(root / name):
                    complete = Path(archive.extract(name, folder))  # compares the CRC, and writes to no other folder
                    target = root / complete.relative_to(folder)
                    target.parent.mkdir(parents=True, exist_ok=True)
                    os.replace(complete, target)
    except (zipfile.BadZipFile, zlib.error) as error:
        file.unlink()
        raise DataError(
            f"{file} is damaged ({error}), so it was deleted; give the same command again to download it again"
        ) from error
    write_atomic(_note(file), json.dumps(sizes, indent=0))
    shutil.rmtree(folder, ignore_errors=True)
    file.unlink()


def _note(file: Path) -> Path:
    """The file that lists what was unpacked of an archive."""
    return file.with_name(file.name + ".unpacked.json")


def _check_space(folder: Path, needed: int) -> None:
    """Raise DataError if the disk that `folder` is on has less than `needed` bytes free."""
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise DataError(
            f"{folder} has {human_size(free)} free, but {human_size(needed)} are needed for what is still to be "
            "downloaded and unpacked; free some room, or give a folder on another disk"
        )
