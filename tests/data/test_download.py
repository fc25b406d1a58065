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
from alrp_ref.machine.fetch import WAITS
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
    """Serves `files` with ranges, as S3 does; `faults` are what the next requests meet instead."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.files, self.faults, self.asked = {}, [], []
        self.url = f"http://127.0.0.1:{self.server_port}"


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        name = self.path.rsplit("/", 1)[-1]
        self.server.asked.append((name, self.headers["Range"]))
        fault = self.server.faults.pop(0) if self.server.faults else honest
        fault(self, self.server.files[name])

    def answer(self, status, body, length=None):
        self.send_response(status)
        if length is not False:
            self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def honest(handler, content, sent=None):
    """The part that was asked for, or the first `sent` bytes of it, and then the connection is closed."""
    start = int(re.fullmatch(r"bytes=(\d+)-", handler.headers["Range"] or "bytes=0-")[1])
    part = content[start:]
    handler.answer(206 if start else 200, part[:sent], len(part))


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
    handler.answer(200, wrong)


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


def table(server):
    """Archives as COCO's are described, for the files of `server`."""
    patterns = {"annotations": "annotations/instances_*.json", "val2017": "val2017/*"}
    archives = {}
    for name, pattern in patterns.items():
        content = server.files[f"{name}.zip"]
        url, md5 = f"{server.url}/zips/{name}.zip", hashlib.md5(content).hexdigest()
        archives[name] = Archive(url, pattern, 10_000, len(content), md5)
    return archives


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
    """The table states both for all three archives."""
    assert set(ARCHIVES) == {"annotations", "train2017", "val2017"}
    for archive in ARCHIVES.values():
        assert re.fullmatch("[0-9a-f]{32}", archive.md5) and archive.unpacked > 1.01 * archive.size


# The connection


def test_a_partial_file_is_resumed(root, server, archives):
    """What an earlier run left is kept, and only the rest is asked for."""
    part(root).write_bytes(server.files["val2017.zip"][:700])
    download(root, "val2017", archives)
    assert server.asked == [("val2017.zip", "bytes=700-")]
    assert is_whole(root, server)


def test_a_connection_that_drops_is_taken_up_where_it_dropped(root, server, archives, waits):
    """Each further request asks for the rest of the file, after a second."""
    server.faults = [drops(300), drops(200)]
    download(root, "val2017", archives)
    assert [asked[1] for asked in server.asked] == [None, "bytes=300-", "bytes=500-"]
    assert waits == [1, 1] and is_whole(root, server)


def test_a_server_that_ignores_ranges_sends_all_of_it_again(root, server, archives):
    """The whole file then replaces the part, instead of being put behind it."""
    part(root).write_bytes(server.files["val2017.zip"][:700])
    server.faults = [without_ranges]
    download(root, "val2017", archives)
    assert len(server.asked) == 1 and is_whole(root, server)


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
    with pytest.raises(DataError, match=r"what arrived has the MD5 sum .*, so it was deleted"):
        download(root, "val2017", table(server))
    assert len(sent) < 100 and not part(root).exists()


def test_a_part_that_is_not_of_the_file_is_deleted(root, server, archives):
    """One that is longer than the file, or that the server's rest does not fit; the same call then begins anew."""
    for wrong in (bytes(len(server.files["val2017.zip"]) + 1), bytes(700)):
        part(root).write_bytes(wrong)
        with pytest.raises(DataError, match=r"what arrived has the MD5 sum .*, so it was deleted"):
            download(root, "val2017", archives)
    download(root, "val2017", archives)
    assert is_whole(root, server)


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


def test_no_connection_at_all_is_said(root, server, archives):
    """A port where nobody listens is an error that names the address and the reason."""
    url = "http://127.0.0.1:9/val2017.zip"
    with pytest.raises(DataError) as error:
        download(root, "val2017", {**archives, "val2017": replace(archives["val2017"], url=url)})
    assert says(error).startswith(f"{url}: no connection (Connection refused), 6 times")


def test_a_proxy_that_does_not_answer_is_named(root, archives, monkeypatch):
    """The message has the variable that names the proxy, and not its password."""
    monkeypatch.setattr("urllib.request._opener", None)  # the one that knows the variables of before
    monkeypatch.setenv("http_proxy", "http://me:secret@127.0.0.1:9")
    url = "http://data.example/val2017.zip"
    with pytest.raises(DataError) as error:
        download(root, "val2017", {**archives, "val2017": replace(archives["val2017"], url=url)})
    proxy = "by way of the proxy 127.0.0.1:9 (of the variable http_proxy)"
    assert f"no connection (Connection refused), {proxy}" in says(error) and "secret" not in says(error)


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


def test_a_file_of_another_length_is_not_downloaded(root, server, archives):
    """A proxy's page in place of the archive is named for what it is, and the part that is there is kept."""
    part(root).write_bytes(server.files["val2017.zip"][:700])
    server.faults = [lambda handler, content: handler.answer(200, b"<html>please log in</html>")]
    with pytest.raises(DataError) as error:
        download(root, "val2017", archives)
    assert f"has 26 bytes on the server, but should have {archives['val2017'].size:,}" in says(error)
    assert len(part(root).read_bytes()) == 700


# The archive


def test_an_archive_that_reaches_outside_writes_nothing_outside(root, server):
    """A path with "..", an absolute one and a link among the members: no file is outside the folder afterwards."""
    link = zipfile.ZipInfo("val2017/link")
    link.create_system, link.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
    outside = {"val2017/../../evil": b"", "/val2017/evil": b"", link: b"/etc"}
    server.files["val2017.zip"] = zipped(outside | {"val2017/1.jpg": picture(1)})
    before = sorted(root.parent.iterdir())
    download(root, "val2017", table(server))
    assert sorted(root.parent.iterdir()) == before
    assert not any(path.is_symlink() for path in root.rglob("*"))


def test_an_archive_that_is_damaged_on_the_disk_is_deleted(root, server, archives):
    """A file that differs from the archive's CRC does not get its name; the same call downloads the archive again."""
    content = bytearray(server.files["val2017.zip"])
    content[len(content) // 2] ^= 255
    (root / "download" / "val2017.zip").write_bytes(content)
    with pytest.raises(DataError, match=r"val2017\.zip is damaged \(.*\), so it was deleted; give the same command"):
        download(root, "val2017", archives)
    assert len(images(root)) < IMAGES
    download(root, "val2017", archives)
    assert is_whole(root, server)


# The disk


def test_too_little_room_is_said_before_anything_is_asked(tmp_path, server, archives, monkeypatch):
    """The message names the folder, what is needed for archives and files together, and what is free."""
    big = {name: replace(a, size=4_000_000_000, unpacked=5_000_000_000) for name, a in archives.items()}
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=13_900_000_000))
    with pytest.raises(DataError) as error:
        download(tmp_path / "coco", "val2017", big)
    assert f"{tmp_path / 'coco'} has 13.9 GB free, but 18.0 GB are needed" in says(error)
    assert server.asked == []


def test_what_is_downloaded_already_needs_no_room(root, server, archives, monkeypatch):
    """Of a part file, only the bytes that it lacks are counted."""
    content = server.files["val2017.zip"]
    part(root).write_bytes(content[:-100])
    room = SimpleNamespace(free=10_000 + 99)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: room)
    with pytest.raises(DataError, match="10,099 bytes free, but 10,100 bytes are needed"):
        download(root, "val2017", archives)
    room.free = 10_100
    download(root, "val2017", archives)
    assert is_whole(root, server)


def test_room_for_the_unpacked_files_is_counted_before_the_first(root, server, archives, monkeypatch):
    """The archive, once it is here, says itself what its files take; it is kept until there is room."""
    (root / "download" / "val2017.zip").write_bytes(server.files["val2017.zip"])
    needed = sum(len(picture(i)) for i in range(1, IMAGES + 1))
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=needed - 1))
    with pytest.raises(DataError, match=f"{needed - 1:,} bytes free, but {needed:,} bytes are needed"):
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
        (root / second).write_bytes(b"mine")
    with pytest.raises(DataError) as error:
        download(root, "val2017", archives)
    assert says(error).startswith(f"{root / second} has 4 bytes") and "left alone" in says(error)
    assert (root / second).read_bytes() == b"mine"
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
    """A file whose size is no longer that of the archive's is named without another download."""
    download(root, "val2017", archives)
    images(root)[0].write_bytes(b"cut")
    server.asked.clear()
    with pytest.raises(DataError, match=r"has 3 bytes, and the one in COCO's archive has .* delete it"):
        download(root, "val2017", archives)
    assert server.asked == []


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
    """An unknown split is a ValueError, and a root that is a file is a DataError."""
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
