"""COCO arrives whole whatever the connection and the server do, or it is said what went wrong and nothing is lost."""

import contextlib
import hashlib
import http.server
import io
import json
import os
import random
import re
import shutil
import signal
import stat
import subprocess
import sys
import threading
import time
import zipfile
from dataclasses import replace
from functools import partial
from types import SimpleNamespace

import pytest
from PIL import Image

from alrp_ref import cli
from alrp_ref.data import CocoDataset, download
from alrp_ref.data.download import ARCHIVES, Archive
from alrp_ref.data.fetch import WAITS
from alrp_ref.machine.files import DataError

IMAGES = 5


def zipped(members):
    """A zip archive of {name or ZipInfo: bytes}, with a folder's own entry as COCO's archives have it."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(zipfile.ZipInfo("val2017/"), b"")
        for name, content in members.items():
            archive.writestr(name, content)
    return out.getvalue()


def picture(number):
    out = io.BytesIO()
    Image.frombytes("RGB", (40, 30), random.Random(number).randbytes(3600)).save(out, "JPEG")
    return out.getvalue()


def annotations(split):
    return json.dumps(
        {
            "images": [
                {"id": i, "file_name": f"{i:012d}.jpg", "width": 40, "height": 30} for i in range(1, IMAGES + 1)
            ],
            "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 2, 10, 10], "iscrowd": 0}],
            "categories": [{"id": 1, "name": split}],
        }
    ).encode()


class Server(http.server.ThreadingHTTPServer):
    """Serves `files` with ranges and ETags, as S3 does; `faults` are what the next requests meet instead."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.files, self.faults, self.asked, self.knows_if_range = {}, [], [], True
        self.etag = lambda content: f'"{hashlib.md5(content).hexdigest()}"'
        self.url = f"http://127.0.0.1:{self.server_port}"


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        name = self.path.rsplit("/", 1)[-1]
        self.server.asked.append((name, self.headers["Range"], self.headers["If-Range"]))
        fault = self.server.faults.pop(0) if self.server.faults else honest
        fault(self, self.server.files[name])

    def answer(self, status, body, length=None, **headers):
        self.send_response(status)
        if length is not False:
            self.send_header("Content-Length", str(len(body) if length is None else length))
        for key, value in headers.items():
            self.send_header(key.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def honest(handler, content, sent=None):
    """The part that was asked for, or the first `sent` bytes of it, and then the connection is closed."""
    etag = handler.server.etag(content)
    start = int(re.fullmatch(r"bytes=(\d+)-", handler.headers["Range"] or "bytes=0-")[1])
    if handler.headers["If-Range"] not in (None, etag) and handler.server.knows_if_range:
        start = 0
    if start >= len(content):
        return handler.answer(416, b"")
    part, headers = content[start:], {"ETag": etag}
    if start:
        headers["Content_Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
    handler.answer(206 if start else 200, part[:sent], len(part), **headers)


def drops(after):
    return lambda handler, content: honest(handler, content, after)


def fails(status):
    return lambda handler, content: handler.answer(status, b"sorry")


def without_ranges(handler, content):
    handler.answer(200, content)


def damaged(handler, content):
    """One byte in the middle is another."""
    middle = len(content) // 2
    wrong = content[:middle] + bytes([content[middle] ^ 255]) + content[middle + 1 :]
    handler.answer(200, wrong, ETag=handler.server.etag(content))


@pytest.fixture
def server():
    server = Server()
    members = {f"val2017/{i:012d}.jpg": picture(i) for i in range(1, IMAGES + 1)}
    server.files["val2017.zip"] = zipped(members)
    names = [f"instances_{split}" for split in ("train2017", "val2017")]
    texts = {f"annotations/{name}.json": annotations(name) for name in (*names, "captions_val2017")}
    server.files["annotations.zip"] = zipped(texts)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def table(server, **changes):
    """Archives as COCO's are described, for the files of `server`; `changes` are made to that of the images."""
    patterns = {"annotations": "annotations/instances_*.json", "val2017": "val2017/*"}
    archives = {}
    for name, pattern in patterns.items():
        content = server.files[f"{name}.zip"]
        url, md5 = f"{server.url}/zips/{name}.zip", hashlib.md5(content).hexdigest()
        archives[name] = Archive(url, pattern, 10_000, len(content), md5)
    archives["val2017"] = replace(archives["val2017"], **changes)
    return archives


UNKNOWN = {"size": None, "md5": None}


@pytest.fixture
def archives(server):
    return table(server)


@pytest.fixture
def root(tmp_path, server, archives):
    """A folder that has the annotations already, so that the first request to come is for the images."""
    download(tmp_path / "coco", "val2017", {**archives, "val2017": archives["annotations"]})
    server.asked.clear()
    return tmp_path / "coco"


@pytest.fixture(autouse=True)
def waits(monkeypatch):
    """The seconds that were waited, or would have been."""
    waits = []
    monkeypatch.setattr(time, "sleep", waits.append)
    return waits


def part(root):
    return root / "download" / "val2017.zip.part"


def images(root):
    return sorted((root / "val2017").glob("*")) if (root / "val2017").exists() else []


def is_whole(root, server):
    """Every image is there with its bytes, and nothing else is beside them."""
    with zipfile.ZipFile(io.BytesIO(server.files["val2017.zip"])) as archive:
        wanted = {m.filename: archive.read(m) for m in archive.infolist() if not m.is_dir()}
    return {f"val2017/{path.name}": path.read_bytes() for path in images(root)} == wanted


def says(error):
    """An error's message, which also is one a person can act upon: it names a file or an address."""
    message = str(error.value)
    assert "127.0.0.1" in message or "coco" in message
    return message


# Everything as it should be


def test_what_was_downloaded_is_a_coco_folder(tmp_path, server, archives):
    """CocoDataset reads it, the annotations of both splits are there, and neither archives nor captions are left."""
    root = download(tmp_path / "new" / "coco", "val2017", archives)
    dataset = CocoDataset(root, "val2017", keep_empty=True)
    assert len(dataset) == IMAGES and dataset[0][0].size == (40, 30)
    assert is_whole(root, server)
    assert {p.name for p in (root / "annotations").iterdir()} == {
        "instances_train2017.json",
        "instances_val2017.json",
    }
    notes = {f"{archives[name].name}.unpacked.json" for name in ("annotations", "val2017")}
    assert {path.name for path in (root / "download").iterdir()} == {*notes, "lock"}


def test_a_second_call_asks_for_nothing(root, server, archives):
    """When everything is there the server is not asked, and no file is written again."""
    download(root, "val2017", archives)
    before = {path: path.stat().st_mtime_ns for path in images(root)}
    server.asked.clear()
    download(root, "val2017", archives)
    assert server.asked == [] and before == {path: path.stat().st_mtime_ns for path in images(root)}


def test_cocos_own_archives_are_compared_with_a_size_and_an_md5_sum():
    """None of them is taken on the server's word."""
    assert set(ARCHIVES) == {"annotations", "train2017", "val2017"}
    for archive in ARCHIVES.values():
        assert re.fullmatch("[0-9a-f]{32}", archive.md5) and archive.unpacked > 1.01 * archive.size


# The connection


def test_a_partial_file_is_resumed(root, server, archives):
    """What an earlier run left is kept, and only the rest is asked for."""
    part(root).write_bytes(server.files["val2017.zip"][:700])
    download(root, "val2017", archives)
    assert server.asked == [("val2017.zip", "bytes=700-", None)]
    assert is_whole(root, server)


def test_a_connection_that_drops_is_taken_up_where_it_dropped(root, server, archives, waits):
    """Each further request asks for the rest of the same file, by its ETag, after a second."""
    server.faults = [drops(300), drops(200)]
    download(root, "val2017", archives)
    etag = server.etag(server.files["val2017.zip"])
    assert [asked[1:] for asked in server.asked] == [(None, None), ("bytes=300-", etag), ("bytes=500-", etag)]
    assert waits == [1, 1] and is_whole(root, server)


def test_a_server_that_ignores_ranges_sends_all_of_it_again(root, server, archives):
    """The whole file then replaces the part, instead of being put behind it."""
    part(root).write_bytes(server.files["val2017.zip"][:700])
    server.faults = [without_ranges]
    download(root, "val2017", archives)
    assert len(server.asked) == 1 and is_whole(root, server)


def test_a_server_that_sends_another_range_is_not_believed(root, server, archives):
    """What starts elsewhere is not put behind the part; the file is downloaded from its beginning."""
    content = server.files["val2017.zip"]
    part(root).write_bytes(content[:700])
    other = f"bytes 100-{len(content) - 1}/{len(content)}"
    server.faults = [lambda handler, content: handler.answer(206, content[100:], Content_Range=other)]
    download(root, "val2017", archives)
    assert [asked[1] for asked in server.asked] == ["bytes=700-", None] and is_whole(root, server)


@pytest.mark.parametrize("answer", [206, 416])
def test_a_part_that_nobody_asked_for_is_not_believed(answer, root, server, archives):
    """A range, or "no such range", where the whole file was asked for: it is asked for again."""
    server.faults = [
        lambda handler, content: handler.answer(
            answer, content[9:], Content_Range=f"bytes 9-{len(content) - 1}/{len(content)}"
        )
    ]
    download(root, "val2017", archives)
    assert is_whole(root, server)


def test_a_server_that_never_ends_does_not_fill_the_disk(root, server):
    """Without a length, more than the file should have is not waited for."""
    sent = []

    def endless(handler, content):
        handler.send_response(200)
        handler.end_headers()
        with contextlib.suppress(OSError):
            for _ in range(200):
                handler.wfile.write(bytes(1 << 20))
                sent.append(1)

    server.faults = [endless]
    with pytest.raises(DataError) as error:
        download(root, "val2017", table(server))
    assert "bytes arrived, not" in says(error) and "it was deleted" in says(error)
    assert len(sent) < 100 and not part(root).exists()


def test_a_note_of_what_was_unpacked_that_is_damaged_does_no_harm(root, server, archives):
    """The archive is looked at again."""
    download(root, "val2017", archives)
    for damaged in ("", "[1]", '{"val2017/1.jpg": '):
        (root / "download" / "val2017.zip.unpacked.json").write_text(damaged)
        download(root, "val2017", archives)
        assert is_whole(root, server)


@pytest.mark.parametrize("knows_if_range", [True, False])
def test_a_file_replaced_on_the_server_is_not_mixed_with_the_old_one(knows_if_range, root, server):
    """If the ETag is another after a drop, the new file is taken from its beginning."""
    server.knows_if_range = knows_if_range

    def drops_and_changes(handler, content):
        honest(handler, content, 600)
        server.files["val2017.zip"] = zipped({f"val2017/{i}.jpg": picture(i) for i in range(IMAGES)})

    server.faults = [drops_and_changes]
    download(root, "val2017", table(server, **UNKNOWN))
    assert is_whole(root, server)


def test_a_part_longer_than_the_file_is_begun_anew(root, server):
    """What the server cannot continue is not kept."""
    part(root).write_bytes(bytes(len(server.files["val2017.zip"]) + 1))
    download(root, "val2017", table(server, **UNKNOWN))
    assert len(server.asked) == 2 and is_whole(root, server)


def test_many_drops_do_no_harm_as_long_as_bytes_come(root, server, archives):
    """Tries are counted from the last byte that was new."""
    server.faults = [drops(50)] * 20
    download(root, "val2017", archives)
    assert len(server.asked) == 21 and is_whole(root, server)


def test_a_connection_that_drops_again_and_again_is_given_up_and_can_be_gone_on_with(root, server, archives, waits):
    """After six tries without a new byte the message says what is kept and where; the same call then resumes."""
    server.faults = [drops(400)] + [drops(0)] * 6
    with pytest.raises(DataError) as error:
        download(root, "val2017", archives)
    assert "the connection dropped, 6 times without a new byte; 400 bytes are kept in" in says(error)
    assert str(part(root)) in says(error) and "same command again" in says(error)
    assert waits == [1, *WAITS]
    server.asked.clear()
    server.faults.clear()
    download(root, "val2017", archives)
    assert server.asked[0][1] == "bytes=400-" and is_whole(root, server)


def test_a_server_without_ranges_that_drops_at_the_same_place_is_given_up(root, server, archives):
    """Bytes that come a second time are not counted as new."""
    server.faults = [lambda handler, content: handler.answer(200, content[:500], len(content))] * 99
    with pytest.raises(DataError, match="6 times without a new byte; 500 bytes are kept"):
        download(root, "val2017", archives)
    assert len(server.asked) == 7


def test_no_connection_at_all_is_said(root, server, archives):
    """A port where nobody listens is an error that names the address and the reason."""
    url = "http://127.0.0.1:9/val2017.zip"
    with pytest.raises(DataError) as error:
        download(root, "val2017", {**archives, "val2017": replace(archives["val2017"], url=url)})
    assert says(error).startswith(f"{url}: no connection (Connection refused), 6 times")


def test_a_proxy_that_does_not_answer_is_named_at_once(root, archives, monkeypatch):
    """With its variable and without its password; more tries would not mend a wrong setting."""
    monkeypatch.setattr("urllib.request._opener", None)  # the one that knows the variables of before
    monkeypatch.setenv("http_proxy", "http://me:secret@127.0.0.1:9")
    monkeypatch.setattr("alrp_ref.data.fetch.time.sleep", lambda seconds: pytest.fail("it waited"))
    url = "http://data.example/val2017.zip"
    with pytest.raises(DataError) as error:
        download(root, "val2017", {**archives, "val2017": replace(archives["val2017"], url=url)})
    assert "no connection (Connection refused), by way of the proxy 127.0.0.1:9 (of the variable http_proxy)" in says(
        error
    )
    assert "secret" not in says(error)


# The server


@pytest.mark.parametrize("status", [403, 404])
def test_a_file_the_server_does_not_have_is_an_error_at_once(status, root, server, archives):
    """It is asked for once, and the message says what was answered."""
    server.faults = [fails(status)]
    with pytest.raises(DataError, match=f"val2017.zip: the server answered {status} (Not Found|Forbidden);"):
        download(root, "val2017", archives)
    assert len(server.asked) == 1


def test_a_busy_server_is_asked_again(root, server, archives, waits):
    """After 500 and 503 the file comes; when it never does, the answer is in the message."""
    server.faults = [fails(500), fails(503)]
    download(root, "val2017", archives)
    assert waits == [1, 2] and is_whole(root, server)
    shutil.rmtree(root / "val2017")
    server.faults = [fails(500)] * 6
    with pytest.raises(DataError, match="the server answered 500 Internal Server Error, 6 times without a new byte"):
        download(root, "val2017", archives)


def test_wrong_bytes_are_noticed_and_not_kept(root, server, archives):
    """The MD5 sum differs: nothing is unpacked, the file is deleted, and the same call downloads it again."""
    server.faults = [damaged]
    with pytest.raises(DataError) as error:
        download(root, "val2017", archives)
    assert f"not {archives['val2017'].md5}, so it was deleted" in says(error)
    assert not part(root).exists() and images(root) == []
    download(root, "val2017", archives)
    assert is_whole(root, server)


def test_the_etag_serves_as_md5_sum_where_none_is_known(root, server):
    """S3's ETag of a file that was uploaded in one piece is its MD5 sum."""
    server.faults = [damaged]
    with pytest.raises(DataError, match="what arrived has the MD5 sum"):
        download(root, "val2017", table(server, **UNKNOWN))


def test_a_damaged_member_is_noticed_by_its_crc(root, server):
    """Where no MD5 sum is to be had, a file that differs from the archive's CRC does not get its name."""
    pictures = [picture(i) for i in range(1, IMAGES + 1)]
    server.etag = lambda content: '"0123456789abcdef0123456789abcdef-7"'  # as S3 has it for an upload in parts
    server.faults = [damaged]
    with pytest.raises(DataError, match=r"val2017\.zip is damaged \(.*\), so it was deleted; give the same command"):
        download(root, "val2017", table(server, **UNKNOWN))
    unpacked = [path for path in images(root) if path.suffix == ".jpg"]
    assert len(unpacked) < IMAGES and all(path.read_bytes() in pictures for path in unpacked)
    download(root, "val2017", table(server, **UNKNOWN))
    assert is_whole(root, server)


def test_a_file_of_another_length_is_not_downloaded(root, server, archives):
    """A proxy's page in place of the archive is named for what it is, and the part that is there is kept."""
    part(root).write_bytes(server.files["val2017.zip"][:700])
    server.faults = [lambda handler, content: handler.answer(200, b"<html>please log in</html>")]
    with pytest.raises(DataError) as error:
        download(root, "val2017", archives)
    assert f"has 26 bytes on the server, but should have {archives['val2017'].size:,}" in says(error)
    assert len(part(root).read_bytes()) == 700


def test_a_length_that_is_too_large_is_a_connection_that_drops(root, server):
    """A server that promises more than it sends is given up in the end."""
    server.faults = [lambda handler, content: handler.answer(200, content, len(content) + 9)] + [drops(0)] * 9
    with pytest.raises(DataError, match="6 times without a new byte"):
        download(root, "val2017", table(server, **UNKNOWN))


def test_a_length_that_is_too_small_is_a_damaged_archive(root, server):
    """What http.client cuts off there is missed when the archive is opened."""
    server.faults = [lambda handler, content: handler.answer(200, content, len(content) // 2)]
    with pytest.raises(DataError, match=r"val2017\.zip is damaged \(File is not a zip file\), so it was deleted"):
        download(root, "val2017", table(server, **UNKNOWN))


@pytest.mark.parametrize(("sent", "arrived"), [(slice(None, -9), "fewer"), (slice(None), "all")])
def test_a_server_that_tells_no_length_is_held_to_the_known_one(sent, arrived, root, server, archives):
    """Too few bytes are an error; all of them are enough."""
    server.faults = [lambda handler, content: handler.answer(200, content[sent], False)]
    if arrived == "all":
        download(root, "val2017", archives)
        assert is_whole(root, server)
    else:
        size = archives["val2017"].size
        with pytest.raises(DataError, match=f"{size - 9:,} bytes arrived, not {size:,}, so it was deleted"):
            download(root, "val2017", archives)


# The archive


def link(name):
    info = zipfile.ZipInfo(name)
    info.create_system, info.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
    return info


@pytest.mark.parametrize(
    "name",
    ["../evil", "val2017/../../evil", "/tmp/evil", "val2017/..\\evil", "C:/evil", link("val2017/evil"), link("evil")],
    ids=lambda name: getattr(name, "filename", name),
)
def test_an_archive_that_reaches_outside_is_not_unpacked(name, root, server):
    """With one absolute path, "..", or link among its members, not even its other files are written."""
    server.files["val2017.zip"] = zipped({"val2017/1.jpg": picture(1), name: b"/etc"})
    before = sorted(root.parent.rglob("*"))
    with pytest.raises(DataError) as error:
        download(root, "val2017", table(server))
    assert "outside" in says(error) and "nothing of it was unpacked" in says(error) and "evil" in says(error)
    assert sorted(root.parent.rglob("*")) == sorted([*before, root / "download" / "val2017.zip"])


def test_an_archive_of_something_else_is_named(root, server):
    """An archive without a single file of the split is an error, not an empty folder."""
    server.files["val2017.zip"] = zipped({"readme.txt": b"moved"})
    with pytest.raises(DataError, match=r"val2017\.zip holds no val2017/\*"):
        download(root, "val2017", table(server))


def test_an_archive_that_is_locked_is_named(root, server):
    """A member with a password cannot be read, and the message says so."""
    content = bytearray(zipped({"val2017/1.jpg": picture(1)}))
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.rindex(signature) + offset] |= 1  # the flag that says "encrypted"
    server.files["val2017.zip"] = bytes(content)
    with pytest.raises(DataError, match=r"is damaged .*encrypted, password required"):
        download(root, "val2017", table(server))


# The disk


def test_too_little_room_is_said_before_anything_is_asked(tmp_path, server, archives, monkeypatch):
    """The message names the folder, what is needed for archives and files together, and what is free."""
    big = {name: replace(a, size=4_000_000_000, unpacked=5_000_000_000) for name, a in archives.items()}
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=13_900_000_000))
    with pytest.raises(DataError) as error:
        download(tmp_path / "coco", "val2017", big)  # the first archive is gone when the second is downloaded
    assert f"{tmp_path / 'coco'} has 13.9 GB free, but 14.0 GB are needed" in says(error)
    assert server.asked == []


def test_what_is_downloaded_already_needs_no_room(root, server, archives, monkeypatch):
    """Only the rest of a part is counted."""
    content = server.files["val2017.zip"]
    part(root).write_bytes(content[:-100])
    room = SimpleNamespace(free=10_000 + 99)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: room)
    with pytest.raises(DataError, match="10,099 bytes free, but 10,100 bytes are needed"):
        download(root, "val2017", archives)
    room.free = IMAGES * 4096
    download(root, "val2017", archives)
    assert is_whole(root, server)


def test_room_for_the_unpacked_files_is_counted_before_the_first(root, server, archives, monkeypatch):
    """Once the archive is here it says itself what it takes, in blocks of the disk; it is kept until there is room."""
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=4096 * IMAGES - 1))
    with pytest.raises(DataError, match="20,479 bytes free, but 20,480 bytes are needed"):
        download(root, "val2017", archives)
    assert images(root) == []
    monkeypatch.undo()
    server.asked.clear()
    download(root, "val2017", archives)
    assert server.asked == [] and is_whole(root, server)


def test_an_interruption_while_unpacking_loses_nothing(root, server, archives, monkeypatch):
    """The same call writes only what is missing, and downloads nothing again."""
    move, moved = os.replace, []

    def interrupted(source, target):
        if len(moved) == 3:
            raise KeyboardInterrupt
        move(source, target)
        moved.append(target)

    monkeypatch.setattr(os, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        download(root, "val2017", archives)
    monkeypatch.undo()
    before = {path: path.stat().st_mtime_ns for path in images(root) if path.suffix == ".jpg"}
    assert len(before) == 2  # after the archive itself
    server.asked.clear()
    download(root, "val2017", archives)
    assert server.asked == [] and is_whole(root, server)
    assert before == {path: path.stat().st_mtime_ns for path in before}


def test_files_that_are_there_are_kept_or_named(root, server, archives):
    """A file that is the archive's is left as it is; one that differs is not overwritten, and the message names it."""
    with zipfile.ZipFile(io.BytesIO(server.files["val2017.zip"])) as archive:
        first, second = [m.filename for m in archive.infolist() if not m.is_dir()][:2]
        archive.extract(first, root)
        (root / second).write_bytes(archive.read(second)[::-1])  # of the same size
    mine = (root / second).read_bytes()
    with pytest.raises(DataError) as error:
        download(root, "val2017", archives)
    assert says(error).startswith(f"{root / second} is not the file that") and "left alone" in says(error)
    assert (root / second).read_bytes() == mine
    (root / second).unlink()
    download(root, "val2017", archives)
    assert is_whole(root, server)


def test_files_that_were_deleted_come_back(root, server, archives, capsys):
    """What is missing of a split that was complete is downloaded again; it is said why."""
    download(root, "val2017", archives)
    gone, kept = images(root)[:2]
    gone.unlink()
    before = kept.stat().st_mtime_ns
    download(root, "val2017", archives)
    assert f"1 of {IMAGES} files are gone, {gone} the first" in capsys.readouterr().out
    assert is_whole(root, server) and kept.stat().st_mtime_ns == before


def test_a_file_that_was_changed_later_is_named(root, server, archives):
    """A file whose size is no longer what was unpacked is neither used nor overwritten."""
    download(root, "val2017", archives)
    images(root)[0].write_bytes(b"cut")
    with pytest.raises(DataError, match=r"has 3 bytes, but had .* when it was unpacked; delete it"):
        download(root, "val2017", archives)


def test_two_downloads_into_one_folder_are_not_allowed(root, server, archives):
    """The second one is told so while the first is at work, and would be let in afterwards."""
    told = []

    def meanwhile(handler, content):
        try:
            download(root, "val2017", archives)
        except DataError as error:
            told.append(str(error))
        honest(handler, content)

    server.faults = [meanwhile]
    download(root, "val2017", archives)
    assert told == [f"another download into {root} is running; wait until it has ended"]
    assert is_whole(root, server)


def test_arguments_that_cannot_be_meant_are_named(tmp_path, archives):
    """An unknown split, and a root that is a file."""
    with pytest.raises(ValueError, match="split must be one of train2017, val2017; got 'test2017'"):
        download(tmp_path, "test2017", archives)
    (tmp_path / "coco").write_text("")
    with pytest.raises(DataError, match="coco is a file; give the name of a folder for COCO"):
        download(tmp_path / "coco", "val2017", archives)


# The command


def test_the_command_downloads_and_says_where(tmp_path, server, archives, monkeypatch, capsys):
    """`alrp download` ends with the argument that other commands take; a fault is one message and code 2."""
    for name, archive in archives.items():
        monkeypatch.setitem(ARCHIVES, name, archive)
    arguments = ["download", "--root", str(tmp_path / "coco"), "--split", "val2017"]
    server.faults = [fails(404)]
    assert cli.main(arguments) == 2
    error = capsys.readouterr().err
    assert f"alrp: {server.url}/zips/annotations.zip: the server answered 404" in error and "Traceback" not in error
    assert cli.main(arguments) == 0
    assert capsys.readouterr().out.endswith(f"give --coco {tmp_path / 'coco'}\n") and is_whole(
        tmp_path / "coco", server
    )


def test_ctrl_c_says_how_to_go_on(root, server, archives):
    """While bytes come: code 130, no traceback, what came is kept; the same command asks for the rest."""
    reached, go_on = threading.Event(), threading.Event()

    def stalls(handler, content):
        honest(handler, content, 600)
        reached.set()
        go_on.wait()

    program = (
        "import sys; from alrp_ref import cli; from alrp_ref.data.download import ARCHIVES, Archive\n"
        f"ARCHIVES.update({archives!r})\n"
        f"sys.exit(cli.main(['download', '--root', {str(root)!r}, '--split', 'val2017']))"
    )
    server.faults = [stalls]
    command = [sys.executable, "-c", program]
    allow = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    # The server ends its answer after 600 bytes only when it is told to. A job that a shell runs in the background
    # ignores Ctrl-C, and so do its children: this one is not to.
    with subprocess.Popen(command, preexec_fn=allow, stderr=subprocess.PIPE, text=True) as process:
        while not reached.wait(0.1) or not part(root).exists():
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        error = process.communicate()[1]
    go_on.set()
    assert process.returncode == 130 and "Traceback" not in error
    assert error.endswith("download interrupted: give the same command again to resume\n")
    server.asked.clear()
    download(root, "val2017", archives)
    assert is_whole(root, server) and len(server.asked) == 1
