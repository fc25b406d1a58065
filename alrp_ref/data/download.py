"""COCO 2017's public archives, downloaded and unpacked into the layout that CocoDataset reads.

COCO publishes no checksums. The sizes and MD5 sums below are the ones that many public projects state alike, and every
download is compared with both. They have to do for encryption too: the server has no certificate for its own name.
Beyond that every unpacked file is compared with the CRC that the archive holds of it.
"""

import fnmatch
import json
import os
import shutil
import stat
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from tqdm import tqdm

from alrp_ref.data.fetch import CHUNK, check_space, fetch, size_of
from alrp_ref.data.layout import SPLITS
from alrp_ref.machine.files import DataError, explain_io_errors, locked, partial_path, write_atomic

BLOCK = 4096  # what a file takes on disk is a multiple of it


@dataclass(frozen=True)
class Archive:
    """A zip archive on a server.

    Attributes:
        url: its address; the last part is its name.
        members: pattern of the files in it that are unpacked.
        unpacked: bytes they take on disk, about; the archive itself says exactly, once it is here.
        size, md5: of the archive, see `fetch`.
    """

    url: str
    members: str
    unpacked: int = 0
    size: int | None = None
    md5: str | None = None

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
    """Download a split of COCO 2017 and the annotations, and unpack them.

    It may be interrupted at any time: the same call resumes, with the rest of a file that is half
    downloaded and with the files that are not unpacked yet. Once it is done the same call finds everything there.
    Archives, and notes of what was unpacked, lie in ``root/download``; an archive is deleted when all of it is
    unpacked, or when it is damaged. Nothing else is deleted, and no file that is there already is overwritten.

    Args:
        root: folder to write to: ``annotations/``, ``train2017/``, ``val2017/``, ``download/``.
        split: ``"train2017"`` (19.3 GB, 118,287 images) or ``"val2017"`` (0.8 GB, 5,000).
        archives: what ``"annotations"`` and `split` are.

    Returns: `root` as a path.
    Raises:
        ValueError: an unknown split.
        DataError: too little room on the disk, a server that does not give the file, or not that file, a connection
            that drops again and again, an archive that is damaged or reaches outside `root`, another file in its way.
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
        wanted = [a for a in (archives["annotations"], archives[split]) if not _is_unpacked(a, root, folder)]
        check_space(root, _most_space(wanted, folder))
        for archive in wanted:
            file = folder / archive.name
            if not file.exists():
                fetch(archive.url, file, archive.size, archive.md5)
            _unpack(file, archive.members, root)
    return root


def _most_space(wanted: Sequence[Archive], folder: Path) -> int:
    """Bytes to be free before the first download; of archives that are here, `_unpack` knows exactly."""
    most = kept = 0
    for archive in wanted:
        file = folder / archive.name
        if not file.exists():
            most = max(most, kept + (archive.size or 0) - size_of(partial_path(file)) + archive.unpacked)
            kept += archive.unpacked
    return most


def _is_unpacked(archive: Archive, root: Path, folder: Path) -> bool:
    """Whether everything that was once unpacked of an archive still is there, with its size."""
    note = _note(folder / archive.name)
    if not note.exists():
        return False
    try:
        sizes, missing = dict(json.loads(note.read_text(encoding="utf-8"))), []
    except (ValueError, TypeError):  # damaged: the archive tells what is missing
        return False
    for name, size in sizes.items():
        file = root / name
        if not file.exists():
            missing.append(file)
        elif size_of(file) != size:
            raise DataError(
                f"{file} has {size_of(file):,} bytes, but had {size:,} when it was unpacked; "
                "delete it, and give the same command again to download it again"
            )
    if missing:
        print(f"{len(missing):,} of {len(sizes):,} files are gone, {missing[0]} the first: {archive.name} again")
    return not missing


def _unpack(file: Path, pattern: str, root: Path) -> None:
    """Unpack the wanted files of an archive that are not there yet, note which they are, and delete the archive."""
    try:
        with zipfile.ZipFile(file) as archive:
            for member in archive.infolist():
                _check_safe(member, file, root)
            members = [m for m in archive.infolist() if fnmatch.fnmatchcase(m.filename, pattern) and not m.is_dir()]
            if not members:
                raise DataError(f"{file} holds no {pattern}: it is not COCO's archive; delete it")
            missing = [m for m in members if not (root / m.filename).exists()]
            check_space(root, sum(-(-m.file_size // BLOCK) * BLOCK for m in missing))
            for member in tqdm(members, desc=f"unpacking {file.name}", unit=" files", dynamic_ncols=True):
                _unpack_member(archive, member, root)
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError) as error:  # the last: a password, another method
        file.unlink()
        raise DataError(
            f"{file} is damaged ({error}), so it was deleted; give the same command again to download it again"
        ) from error
    note = _note(file)
    write_atomic(note, json.dumps({m.filename: m.file_size for m in members}, indent=0))
    file.unlink()


def _check_safe(member: zipfile.ZipInfo, file: Path, root: Path) -> None:
    """Raise DataError for a member that would be written, or point, outside `root`."""
    path = PurePosixPath(member.filename)
    is_link = stat.S_ISLNK(member.external_attr >> 16)
    if is_link or path.is_absolute() or ".." in path.parts or "\\" in member.filename or ":" in member.filename:
        raise DataError(
            f"{file} holds {member.filename!r}, a {'link' if is_link else 'path'} that may lead outside {root}; "
            "nothing of it was unpacked: it is not COCO's archive; delete it"
        )


def _unpack_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo, root: Path) -> None:
    """Write one file, by way of a part file, so that what bears its name is whole; leave one that is there."""
    target = root / member.filename
    if target.exists():
        if size_of(target) != member.file_size or _crc(target) != member.CRC:
            raise DataError(
                f"{target} is not the file that {archive.filename} has under this name, and is left alone: move it "
                "away or delete it, and give the same command again, or give another folder"
            )
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    with archive.open(member) as source, explain_io_errors(target, member.file_size):
        with open(partial_path(target), "wb") as copy:
            shutil.copyfileobj(source, copy, CHUNK)  # zipfile compares the CRC as it reaches the end
        os.replace(partial_path(target), target)


def _crc(path: Path) -> int:
    crc = 0
    with open(path, "rb") as file:
        while chunk := file.read(CHUNK):
            crc = zlib.crc32(chunk, crc)
    return crc


def _note(file: Path) -> Path:
    """Where it is noted what was unpacked of an archive."""
    return file.with_name(file.name + ".unpacked.json")
