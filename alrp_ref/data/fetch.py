"""One file over HTTP: gone on with where it stopped, and compared with what it should be."""

import hashlib
import http.client
import os
import re
import shutil
import sys
import time
import urllib.error
import urllib.request
from http import HTTPStatus
from pathlib import Path

from tqdm import tqdm

from alrp_ref.machine.files import DataError, explain_io_errors, human_size, partial_path
from alrp_ref.machine.proxy import proxy_in_words

CHUNK = 1 << 20
TIMEOUT = 30  # seconds without a byte
WAITS = (1, 2, 4, 8, 16)  # seconds before each new try; they begin anew whenever bytes have arrived
MAY_PASS = (408, 429, 500, 502, 503, 504)  # answers of a server that is busy rather than without the file


def fetch(url: str, file: Path, size: int | None = None, md5: str | None = None) -> None:
    """Download `url` to `file`, by way of a part file beside it, which becomes `file` only when it is whole.

    A part file that is there already is gone on with. When the connection drops, or the server is busy, it is tried
    again, and given up after six times without a new byte.

    Args:
        size: of the file in bytes; None: what the server says.
        md5: of the file, in hexadecimal; None: the server's ETag if it looks like one, as it does on S3 for files that
            were uploaded in one piece; else the file's content is not looked at.

    Raises: DataError.
    """
    part = partial_path(file)
    failures, most = 0, size_of(part)
    with _bar(file.name, size) as bar:
        arriving = _Arriving(url, part, size, bar)
        while True:
            try:
                arriving.receive()
                break
            except _Dropped as drop:
                have = size_of(part)
                failures = 0 if have > most else failures + 1
                most = max(have, most)
                if failures > len(WAITS):
                    raise DataError(
                        f"{url}: {drop}, {failures} times without a new byte; {human_size(have)} are kept in {part}: "
                        "give the same command again to resume"
                    ) from None
                wait = WAITS[max(failures - 1, 0)]
                bar.write(f"{file.name}: {drop}; trying again in {wait} s", file=sys.stderr)
                time.sleep(wait)
    _check(url, part, size, md5 or (arriving.etag or "").strip('"'))
    os.replace(part, file)


class _Dropped(Exception):
    """A request that may succeed when it is repeated; the message says what happened."""


class _Arriving:
    """A file that arrives in one request or several; `etag` is that of the one which `part` was begun with."""

    def __init__(self, url: str, part: Path, size: int | None, bar: tqdm):
        self.url, self.part, self.size, self.bar = url, part, size, bar
        self.etag: str | None = None
        self.has_answered = False

    def receive(self) -> None:
        """Ask once for what is missing. Raises: _Dropped or DataError, when `part` is not whole by then."""
        have = size_of(self.part)
        if self.size is not None and have >= self.size:
            return  # all of it came before; whether it is right is looked at next
        with self._ask(have) as response:
            start, total = _extent(response)
            etag = response.headers["ETag"]
            if start not in (0, have) or (start and self.etag not in (None, etag)):
                self.part.unlink(missing_ok=True)
                self.etag = None
                raise _Dropped("the server sent a part of another file, or another part")
            if None not in (total, self.size) and total != self.size:
                raise DataError(
                    f"{self.url} has {total:,} bytes on the server, but should have {self.size:,}: that is another "
                    "file (the page of a proxy or a login, perhaps); see what a browser shows there"
                )
            check_space(self.part.parent, (total or 0) - start)
            self.etag = etag
            # A server that knows no ranges sends all of it again.
            self.bar.total, self.bar.initial, self.bar.n = total, start, start
            with explain_io_errors(self.part), open(self.part, "ab" if start else "wb") as file:
                while chunk := _read(response):
                    file.write(chunk)
                    self.bar.update(len(chunk))
                    if self.size is not None and file.tell() > self.size:
                        break  # a server that never ends; what is too long is found out and deleted next
            if total is not None and size_of(self.part) < total:
                raise _Dropped("the connection dropped")  # which http.client passes over in silence

    def _ask(self, have: int) -> http.client.HTTPResponse:
        headers = {}
        if have:
            headers["Range"] = f"bytes={have}-"
            if self.etag is not None and not self.etag.startswith("W/"):
                headers["If-Range"] = self.etag  # if the file was replaced meanwhile, all of the new one comes
        try:
            response = urllib.request.urlopen(urllib.request.Request(self.url, headers=headers), timeout=TIMEOUT)
            self.has_answered = True
            return response
        except urllib.error.HTTPError as error:
            error.close()
            answer = f"the server answered {error.code} {error.reason}{proxy_in_words(self.url)}"
            if error.code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
                self.part.unlink(missing_ok=True)  # it is as long as the file or longer, and nothing says which
            elif error.code not in MAY_PASS:
                raise DataError(
                    f"{self.url}: {answer}; see whether a browser gets the file, or try again later"
                ) from None
            raise _Dropped(answer) from None
        except (OSError, http.client.HTTPException) as error:
            proxy = proxy_in_words(self.url)
            if proxy and not self.has_answered:  # more tries would not mend a wrong setting
                raise DataError(
                    f"{self.url}: no connection ({_reason(error)}){proxy}: correct or unset it, and give the same "
                    "command again"
                ) from None
            raise _Dropped(f"no connection ({_reason(error)}){proxy}") from None


def _read(response: http.client.HTTPResponse) -> bytes:
    try:
        return response.read1(CHUNK)  # what is there, so that hardly any of it is lost when the connection drops
    except (OSError, http.client.HTTPException) as error:
        raise _Dropped(f"the connection dropped ({_reason(error)})") from None


def _extent(response: http.client.HTTPResponse) -> tuple[int, int | None]:
    """Where an answer begins in the file, and how long the whole file is, if the server says so."""
    if response.status == HTTPStatus.PARTIAL_CONTENT:
        found = re.match(r"bytes (\d+)-\d+/(\d+|\*)", response.headers["Content-Range"] or "")
        if found is None:
            return -1, None
        return int(found[1]), None if found[2] == "*" else int(found[2])
    length = response.headers["Content-Length"]
    return 0, int(length) if length is not None and length.isdigit() else None


def _reason(error: Exception) -> str:
    reason = getattr(error, "reason", error)
    return getattr(reason, "strerror", None) or str(reason) or type(reason).__name__


def _check(url: str, part: Path, size: int | None, md5: str) -> None:
    """Compare what was downloaded with its size, and its MD5 sum if `md5` looks like one; delete it if it differs."""
    arrived = size_of(part)
    if size not in (None, arrived):
        what = f"{arrived:,} bytes arrived, not {size:,}"
    elif re.fullmatch("[0-9a-f]{32}", md5) and (found := _md5(part)) != md5:
        what = f"what arrived has the MD5 sum {found}, not {md5}"
    else:
        return
    part.unlink()
    raise DataError(f"{url}: {what}, so it was deleted; give the same command again to download it again")


def _md5(path: Path) -> str:
    digest = hashlib.md5(usedforsecurity=False)
    with open(path, "rb") as file, _bar(f"checking {path.stem}", size_of(path)) as bar:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
            bar.update(len(chunk))
    return digest.hexdigest()


def _bar(name: str, total: int | None) -> tqdm:
    return tqdm(desc=name, total=total, unit="B", unit_scale=True, dynamic_ncols=True)


def check_space(folder: Path, needed: int) -> None:
    """Raise DataError if the disk that `folder` is on has less than `needed` bytes free."""
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise DataError(
            f"{folder} has {human_size(free)} free, but {human_size(needed)} are needed for what is still to be "
            "downloaded and unpacked; free some room, or give a folder on another disk"
        )


def size_of(path: Path) -> int:
    """The size of a file in bytes; 0 if there is none."""
    return path.stat().st_size if path.exists() else 0
