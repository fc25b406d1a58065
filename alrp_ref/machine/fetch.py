"""Download a file over HTTP: resume, retry, verify its size and checksum."""

import hashlib
import http.client
import os
import sys
import time
import urllib.error
import urllib.request
from http import HTTPStatus
from pathlib import Path
from urllib.parse import urlsplit

from tqdm import tqdm

from alrp_ref.machine.files import DataError, explain_io_errors, human_size, partial_path

CHUNK = 1 << 20
TIMEOUT = 30  # seconds without a byte
WAITS = (1, 2, 4, 8, 16)  # seconds before each retry; a retry that brought new bytes starts them again
RETRIED = (408, 429, 500, 502, 503, 504)  # the answers of a busy server


class _Dropped(Exception):
    """A request that may succeed when it is repeated; the message says what happened."""


def fetch(url: str, file: Path, size: int, md5: str) -> None:
    """Download `url` to `file`, which appears only when it is complete; until then its bytes are in a part file.

    An existing part file is resumed. The request is repeated after a connection that dropped, and given up after six
    attempts without a new byte.

    Args: `size` of the file in bytes; `md5`, its sum in hexadecimal.
    Raises: DataError.
    """
    part = partial_path(file)
    failures, most = 0, size_of(part)
    with tqdm(desc=file.name, total=size, unit="B", unit_scale=True, dynamic_ncols=True) as bar:
        while True:
            try:
                _receive(url, part, size, bar)
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
    with open(part, "rb") as content:
        found = hashlib.file_digest(content, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    if found != md5:
        part.unlink()
        raise DataError(
            f"{url}: what arrived has the MD5 sum {found}, not {md5}, so it was deleted; give the same command again "
            "to download it again"
        )
    os.replace(part, file)


def _receive(url: str, part: Path, size: int, bar: tqdm) -> None:
    """Ask once for the bytes that `part` lacks. Raises: _Dropped or DataError if it lacks some afterwards."""
    have = size_of(part)
    if have >= size:
        return
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    try:
        response = urllib.request.urlopen(request, timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        error.close()
        answer = f"the server answered {error.code} {error.reason}{proxy_in_words(url)}"
        if error.code in RETRIED:
            raise _Dropped(answer) from None
        raise DataError(f"{url}: {answer}; see whether a browser gets the file, or try again later") from None
    except (OSError, http.client.HTTPException) as error:
        raise _Dropped(f"no connection ({_reason(error)}){proxy_in_words(url)}") from None
    with response:
        start = have if response.status == HTTPStatus.PARTIAL_CONTENT else 0  # some servers always send the whole file
        length = response.headers["Content-Length"]
        if length is not None and start + int(length) != size:
            raise DataError(
                f"{url} has {start + int(length):,} bytes on the server, but should have {size:,}: that is another "
                "file (the page of a proxy or a login, perhaps); see what a browser shows there"
            )
        bar.initial = bar.n = start
        with explain_io_errors(part), open(part, "ab" if start else "wb") as file:
            while file.tell() < size and (chunk := _read(response)):
                file.write(chunk)
                bar.update(len(chunk))
    if size_of(part) < size:
        raise _Dropped("the connection dropped")  # http.client says nothing about it


def _read(response: http.client.HTTPResponse) -> bytes:
    try:
        return response.read1(CHUNK)  # the bytes that are there, so that few are lost when the connection drops
    except (OSError, http.client.HTTPException) as error:
        raise _Dropped(f"the connection dropped ({_reason(error)})") from None


def _reason(error: Exception) -> str:
    reason = getattr(error, "reason", error)
    return getattr(reason, "strerror", None) or str(reason) or type(reason).__name__


def proxy_in_words(url: str) -> str:
    """ ", by way of the proxy ..." if the environment has one for this address, without its password; else nothing."""
    address, proxies = urlsplit(url), urllib.request.getproxies()
    name = address.scheme if address.scheme in proxies else "all"
    if name not in proxies or urllib.request.proxy_bypass(address.hostname or ""):
        return ""
    proxy = proxies[name].rpartition("@")[2]
    return f", by way of the proxy {proxy} (of the variable {name}_proxy)"


def size_of(path: Path) -> int:
    """The size of a file in bytes; 0 if there is none."""
    return path.stat().st_size if path.exists() else 0
