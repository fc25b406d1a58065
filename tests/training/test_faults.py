"""What happens to long runs: killed, out of disk, a checkpoint that is not theirs. Each is done here, not imagined."""

import contextlib
import csv
import errno
import io
import itertools
import json
import os
import pickle
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image
from processes import fresh

from alrp_ref.data import Layout, make_shapes
from alrp_ref.data.annotations import read as read_module
from alrp_ref.data.annotations.layout import Split
from alrp_ref.detection.saved_model import load_checkpoint, save_checkpoint
from alrp_ref.machine import files
from alrp_ref.machine.files import DataError
from alrp_ref.training import TrainingStopped, TrainOptions, loop, train
from alrp_ref.training.log import PARTS, RunLog, read_metrics
from alrp_ref.training.sampling import SeededDataset

STEPS = 12
SMALL = {"recipe": {}, "class_names": [], "category_ids": [], "model": {"weight": torch.arange(5000.0)}}
SIZE_OF_LOG = 100_000  # more than the log of a run here, less than its checkpoint


def quietly(recipe, coco, out, log=lambda text: None, **options):
    return train(recipe, coco, out, TrainOptions(**{"workers": 0, "device": "cpu"} | options), log=log)


class HalfWritten(io.FileIO):
    """A file whose process is killed when half of what is written to it is on the disk."""

    def write(self, data) -> int:
        super().write(memoryview(data)[: len(data) // 2])
        os.fsync(self.fileno())
        os.kill(os.getpid(), signal.SIGKILL)


def run(recipe, coco: Path, out: Path, most_bytes: int | None = None, dies_in: tuple[str, int] | None = None) -> None:
    """Train with a checkpoint after every step and an evaluation after every epoch, in a process of its own, which
    is killed in the middle of the n-th writing of a file if `dies_in` says so."""
    torch.set_num_threads(1)
    loop.SECONDS_BETWEEN_CHECKPOINTS = 0
    if dies_in is not None:
        name, times = dies_in
        seen = itertools.count(1)
        files.open = lambda path, *mode: (
            HalfWritten(path, "wb") if path.name.startswith(name) and next(seen) == times else open(path, *mode)
        )
    if most_bytes is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, most_bytes))  # of any file, as on a disk that is full
    try:
        quietly(recipe, coco, out, steps=STEPS, eval_every=1)
    except DataError as error:
        (out.parent / "said.txt").write_text(str(error))


def finished(recipe, coco: Path, out: Path, seconds: float | None = None, **options) -> bool:
    """Whether a run ended by itself; after so many seconds it is killed with SIGKILL."""
    process = fresh.Process(target=run, args=(recipe, coco, out), kwargs=options)
    process.start()
    process.join(seconds)
    if process.is_alive():
        process.kill()
        process.join()
    assert process.exitcode in (0, -signal.SIGKILL)
    return process.exitcode == 0


def log_of(out: Path) -> list[list[str]]:
    """A run's log as it was written, without the speed."""
    with open(out / "metrics.csv", newline="") as file:
        return [row[:-1] for row in csv.reader(file)]


def assert_equal_runs(one: Path, other: Path) -> None:
    """Bit for bit: every line of the log, the weights, the momentum, the detections."""
    assert log_of(one) == log_of(other) and len(log_of(one)) == STEPS + 1
    a, b = (load_checkpoint(out / "checkpoint.pt") for out in (one, other))
    assert all(torch.equal(value, b["model"][name]) for name, value in a["model"].items())
    momenta = [[s["momentum_buffer"] for s in saved["optimiser"]["state"].values()] for saved in (a, b)]
    assert all(torch.equal(x, y) for x, y in zip(*momenta, strict=True))
    assert (one / "detections.json").read_bytes() == (other / "detections.json").read_bytes()


@pytest.mark.parametrize("kills", [1, pytest.param(20, marks=pytest.mark.slow)])
def test_a_killed_run_goes_on_as_if_it_had_not_been(shapes, recipe, tmp_path, kills):
    """SIGKILL at random moments: at a step, in the middle of a checkpoint, of an evaluation. The same
    command resumes whatever is left, and every step equals that of the run that was never killed."""
    assert finished(recipe, shapes, tmp_path / "whole")
    moments, killed = random.Random(0), 0
    while killed < kills:
        out = tmp_path / f"killed_after_{killed}"
        while not finished(recipe, shapes, out, moments.uniform(0.1, 3.0) if killed < kills else None):
            killed += 1
            for whole in out.glob("*.json"):  # of the evaluations so far
                json.loads(whole.read_text())
        assert_equal_runs(tmp_path / "whole", out)
        assert not list(out.glob("*.part"))


SLOW = pytest.mark.slow
KILLED_AT = [("checkpoint.pt", 1), pytest.param("checkpoint.pt", 5, marks=SLOW), ("detections.json", 2)]


@pytest.mark.parametrize(("name", "times"), KILLED_AT)
def test_a_run_killed_amid_a_file_goes_on(shapes, recipe, tmp_path, name, times):
    """SIGKILL when half of a checkpoint, or of an evaluation, is on the disk: what bears its name is the one before."""
    out = tmp_path / "killed"
    assert not finished(recipe, shapes, out, dies_in=(name, times))
    assert (out / f"{name}.part").stat().st_size > 0
    if times == 1:
        assert not (out / name).exists()
    elif name == "checkpoint.pt":
        assert load_checkpoint(out / name)["step"] == times - 1
    else:
        json.loads((out / name).read_text())
    assert finished(recipe, shapes, out) and finished(recipe, shapes, tmp_path / "whole")
    assert_equal_runs(tmp_path / "whole", out)


def test_another_number_of_threads_is_said_where_a_run_resumes(shapes, recipe, tmp_path):
    """With the variable that sets the former number; with the same number nothing is said."""
    said = []
    torch.set_num_threads(2)
    for _ in range(2):
        quietly(recipe, shapes, tmp_path, said.append, steps=1)
    assert any("resuming from step 1" in line for line in said) and not any("2 threads" in line for line in said)
    torch.set_num_threads(1)
    quietly(recipe, shapes, tmp_path, said.append, steps=1)
    (line,) = (line for line in said if "2 threads" in line)
    assert "done with 2 threads, and there are 1 now" in line and "OMP_NUM_THREADS=2" in line


def test_a_second_run_in_the_same_folder_is_refused(shapes, recipe, tmp_path):
    """Two would write over each other's checkpoints; the first goes on."""
    told = []

    def meanwhile(text: str) -> None:
        if not told:
            told.append("")
            with pytest.raises(DataError, match=r"another run is writing to .*: wait until it has ended"):
                quietly(recipe, shapes, tmp_path, steps=1)
            told.append("refused")

    quietly(recipe, shapes, tmp_path, meanwhile, steps=1)
    assert told == ["", "refused"] and load_checkpoint(tmp_path / "checkpoint.pt")["step"] == 1


def test_a_data_worker_that_is_killed_is_named(shapes, recipe, tmp_path, monkeypatch):
    """As Linux does when memory runs out: what to do is said."""
    monkeypatch.setattr(SeededDataset, "__getitem__", lambda data, draw: os.kill(os.getpid(), signal.SIGKILL))
    with pytest.raises(TrainingStopped, match=r"a data worker was killed, .* retry with fewer --workers"):
        quietly(recipe, shapes, tmp_path, steps=1, workers=1)


def test_a_validation_set_of_other_classes_is_refused_first(shapes, recipe, tmp_path):
    """Before the first step, not at the evaluation."""
    shutil.copytree(shapes, tmp_path / "shapes")
    file = tmp_path / "shapes" / "annotations" / "instances_val2017.json"
    content = json.loads(file.read_text())
    content["categories"][0]["name"] = "blob"
    file.write_text(json.dumps(content))
    with pytest.raises(DataError, match=r"instances_val2017\.json: the class 'blob' is none of the 5 classes that are"):
        quietly(recipe, tmp_path / "shapes", tmp_path / "run", steps=1)


@pytest.fixture
def own_shapes(shapes, tmp_path):
    """A copy of the shapes, whose annotations a test may change."""
    return shutil.copytree(shapes, tmp_path / "own_shapes")


def change_annotations(root: Path, split: str, change) -> None:
    file = root / "annotations" / f"instances_{split}.json"
    content = json.loads(file.read_text())
    change(content)
    file.write_text(json.dumps(content))


def move_a_box(content) -> None:
    content["annotations"][0]["bbox"][0] += 1


def add_an_image(content) -> None:
    content["images"].append(content["images"][0] | {"id": 900})
    content["annotations"] += [a | {"image_id": 900} for a in content["annotations"] if a["image_id"] == 1]


@pytest.mark.parametrize(
    "steps, change, part", [(2, move_a_box, "boxes"), (3, move_a_box, "boxes"), (3, add_an_image, "images")]
)
def test_a_run_does_not_go_on_with_other_training_data(own_shapes, recipe, tmp_path, steps, change, part):
    """Neither before its last step nor after it, and the message says what has changed since when: a box was moved, or
    an image added, which makes another schedule, too."""
    quietly(recipe, own_shapes, tmp_path / "run", steps=3)
    saved = load_checkpoint(tmp_path / "run" / "checkpoint.pt")
    save_checkpoint(tmp_path / "run" / "checkpoint.pt", saved | {"step": steps})
    change_annotations(own_shapes, "train2017", change)
    said = rf"annotations or pictures of train2017 have changed since step {steps} of .*\n  {part}: .*--init-from"
    with pytest.raises(DataError, match=f"(?s){said}"):
        quietly(recipe, own_shapes, tmp_path / "run", steps=3)


def test_a_run_goes_on_where_only_the_form_of_its_annotations_is_another(own_shapes, recipe, tmp_path):
    """A new export of the same set: other order, other numbers of annotations, more fields. Of a checkpoint of an
    earlier version it is not known what it was trained on."""
    quietly(recipe, own_shapes, tmp_path / "run", steps=3)

    def export_again(content) -> None:
        content["annotations"] = [a | {"id": 900 + a["id"], "score": 1} for a in reversed(content["annotations"])]
        content["images"].reverse()

    change_annotations(own_shapes, "train2017", export_again)
    said = []
    quietly(recipe, own_shapes, tmp_path / "run", said.append, steps=3)
    assert any("resuming from step 3" in line for line in said)
    saved = load_checkpoint(tmp_path / "run" / "checkpoint.pt")
    del saved["data"]
    save_checkpoint(tmp_path / "run" / "checkpoint.pt", saved)
    change_annotations(own_shapes, "train2017", move_a_box)
    quietly(recipe, own_shapes, tmp_path / "run", steps=3)


def test_other_validation_data_are_said_where_a_run_goes_on(own_shapes, recipe, tmp_path):
    """Its weights are what they were; the former evaluations are not to be compared with the next."""
    quietly(recipe, own_shapes, tmp_path / "run", steps=3)
    change_annotations(own_shapes, "val2017", lambda content: content["annotations"][0].update(iscrowd=1))
    said = []
    quietly(recipe, own_shapes, tmp_path / "run", said.append, steps=3)
    (line,) = (line for line in said if "have changed" in line)
    assert "of val2017 have changed since step 3" in line and "evaluations.csv are of the former" in line


def test_an_annotation_file_is_read_once(own_shapes, recipe, tmp_path, monkeypatch):
    """At the start: what happens to it later, or between two evaluations, changes nothing in the run."""
    read = []
    monkeypatch.setattr(read_module, "read_json", lambda path: read.append(path.name) or files.read_json(path))
    quietly(recipe, own_shapes, tmp_path / "run", steps=6, eval_every=1)
    assert sorted(read) == ["instances_train2017.json", "instances_val2017.json"]


def test_a_disk_that_no_longer_answers_costs_no_step(shapes, recipe, tmp_path, monkeypatch):
    """After three more attempts the run ends, and what it has done is in the checkpoint, between two that are due."""
    monkeypatch.setattr(files, "PAUSES", (0, 0, 0))
    opened, times = Image.open, itertools.count(1)

    def fails(path):
        if next(times) > 10:  # six for a look at the greys, then two for each step
            raise OSError(errno.ENOTCONN, "Transport endpoint is not connected")
        return opened(path)

    monkeypatch.setattr(Image, "open", fails)
    with pytest.raises(DataError, match=r"cannot be read: Transport endpoint is not connected .* once it does"):
        quietly(recipe, shapes, tmp_path, steps=7)
    assert next(times) == 15 and load_checkpoint(tmp_path / "checkpoint.pt")["step"] == 2


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP, 524, errno.EINVAL])
@pytest.mark.parametrize("lacks", ["fcntl.flock", "os.fsync"])
def test_a_file_system_without_locks_or_sync_is_no_obstacle(
    shapes, recipe, tmp_path, monkeypatch, capsys, number, lacks
):
    """As on NFS, Lustre and FUSE: it is said once that a second run would not be noticed."""
    files._say_no_locks.cache_clear()

    def fails(*arguments):
        raise OSError(number, "not here")

    monkeypatch.setattr(lacks, fails)
    for _ in range(2):
        quietly(recipe, shapes, tmp_path, steps=1)
    said = capsys.readouterr().err
    assert said.count("a second run in the same folder would not be noticed") == (lacks == "fcntl.flock")


def test_a_lock_that_may_not_be_written_is_an_error_still(tmp_path, monkeypatch):
    """Only what the file system does not offer is passed over."""

    def fails(*arguments):
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr("fcntl.flock", fails)
    with pytest.raises(DataError, match="Read-only file system"), files.locked_folder(tmp_path):
        pass


def test_a_full_disk_leaves_the_last_checkpoint_whole(shapes, recipe, tmp_path):
    """The run ends with the path, the space needed and the space there is; nothing half written is left, and once there
    is room the same command goes on."""
    assert finished(recipe, shapes, tmp_path / "whole")
    out = tmp_path / "full"
    out.mkdir()
    shutil.copy(tmp_path / "whole" / "checkpoint.pt", out)
    saved = load_checkpoint(out / "checkpoint.pt")
    save_checkpoint(out / "checkpoint.pt", saved | {"step": 5})
    before = (out / "checkpoint.pt").read_bytes()
    assert SIZE_OF_LOG < len(before)
    assert finished(recipe, shapes, out, most_bytes=SIZE_OF_LOG)
    said = (tmp_path / "said.txt").read_text()
    assert (
        str(out / "checkpoint.pt") in said and "cannot be written" in said and "the one that was there is whole" in said
    )
    assert f"It takes {len(before) / 1e6:.1f} MB, and the disk has " in said and "free: make room" in said
    assert (out / "checkpoint.pt").read_bytes() == before and not list(out.glob("*.part"))
    assert finished(recipe, shapes, out) and load_checkpoint(out / "checkpoint.pt")["step"] == STEPS


@pytest.fixture
def disk(tmp_path):
    """A file system of its own, a temporary one of 5 MB; only root may have one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=5m", "tmpfs", str(folder)]
    if not sys.platform.startswith("linux") or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("needs the right to mount a file system")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.slow
def test_a_run_on_a_disk_that_is_full_goes_on_once_there_is_room(shapes, recipe, tmp_path, disk):
    """A real disk that has room for one checkpoint, not for two: what is said, and the same command with more room."""
    assert finished(recipe, shapes, tmp_path / "whole")
    assert 2.6e6 < (tmp_path / "whole" / "checkpoint.pt").stat().st_size < 5e6
    assert finished(recipe, shapes, disk / "run")
    said = (disk / "said.txt").read_text()
    assert "checkpoint.pt cannot be written: No space left on device" in said and "there is whole" in said
    assert load_checkpoint(disk / "run" / "checkpoint.pt")["step"] == 1
    subprocess.run(["mount", "-o", "remount,size=20m", str(disk)], check=True)
    assert finished(recipe, shapes, disk / "run")
    assert_equal_runs(tmp_path / "whole", disk / "run")


def log_on_a_full_disk(disk: Path) -> None:
    """In a process of its own, since TensorBoard has a thread that ends there, too, and would print a traceback."""
    os.dup2(os.open(disk.parent / "errors.txt", os.O_WRONLY | os.O_CREAT), 2)
    log = RunLog(disk, 0, 1000)
    with contextlib.suppress(OSError), open(disk / "rest", "wb", buffering=0) as rest:
        while rest.write(bytes(1000)):
            pass
    row = dict.fromkeys(("step", "epoch", "lr", *PARTS, "images_per_s"), 0.5)
    try:
        for _ in range(1000):
            log.step(row)
    except DataError as error:
        log.close()
        (disk.parent / "said.txt").write_text(str(error))


def test_a_log_that_cannot_be_written_is_named(disk, tmp_path):
    """Between two checkpoints it is the log that finds the disk full; the message is all that is printed."""
    process = fresh.Process(target=log_on_a_full_disk, args=(disk,))
    process.start()
    process.join()
    assert process.exitcode == 0 and "Traceback" not in (tmp_path / "errors.txt").read_text()
    said = (tmp_path / "said.txt").read_text()
    assert "metrics.csv cannot be written: No space left on device. The disk has 0 bytes free: make room" in said


def test_a_folder_that_is_read_only_is_named():
    """The checkpoint that was there stays, and nothing is left beside it."""
    save = (
        "import os, sys; from pathlib import Path; from alrp_ref.detection.saved_model import save_checkpoint\n"
        "if os.geteuid() == 0: os.seteuid(65534)\n"  # a folder's mode does not concern root
        "save_checkpoint(Path(sys.argv[1]), {'step': 4})"
    )
    with tempfile.TemporaryDirectory() as top:  # tmp_path lies in folders that others may not even enter
        os.chmod(top, 0o755)
        out = Path(top, "run")
        out.mkdir()
        save_checkpoint(out / "checkpoint.pt", SMALL | {"step": 3})
        os.chmod(out, 0o555)
        done = subprocess.run([sys.executable, "-c", save, out / "checkpoint.pt"], capture_output=True, text=True)
        os.chmod(out, 0o755)
        assert "DataError" in done.stderr and "run/checkpoint.pt cannot be written: Permission" in done.stderr
        assert load_checkpoint(out / "checkpoint.pt")["step"] == 3 and len(list(out.iterdir())) == 1


def test_a_folder_that_cannot_be_written_is_named(shapes, recipe, tmp_path):
    """Before the first step, not after hours of training."""
    (tmp_path / "run").write_text("a file where the folder should be")
    with pytest.raises(DataError, match="run is a file; give the name of a folder"):
        quietly(recipe, shapes, tmp_path / "run", steps=1)


def test_a_run_does_not_write_over_its_annotations(shapes, recipe, tmp_path):
    """Not if they have the name of a file that it writes, and lie in its folder."""
    train_set, val_set = (Layout.of(shapes).split(name) for name in ("train2017", "val2017"))
    there = tmp_path / "detections.json"
    shutil.copy(val_set.annotations, there)
    before, layout = there.read_bytes(), Layout(train=train_set, val=Split(there, val_set.images))
    with pytest.raises(ValueError, match=r"detections\.json would be written over .*detections\.json, which is read"):
        quietly(recipe, layout, tmp_path, steps=1)
    assert there.read_bytes() == before


def test_an_altered_checkpoint_is_refused(tmp_path):
    """One bit, anywhere in the tensors or in what describes them; torch itself reads on without a word."""
    path = tmp_path / "checkpoint.pt"
    save_checkpoint(path, SMALL | {"step": 3})
    whole = path.read_bytes()
    assert load_checkpoint(path)["step"] == 3
    start = whole.index(torch.arange(5000.0).numpy().tobytes()[:400])
    for place in random.Random(0).sample(range(start, start + 20_000), 50):
        altered = bytearray(whole)
        altered[place] ^= 16
        path.write_bytes(altered)
        assert "weight" in torch.load(path, weights_only=True)["model"]
        with pytest.raises(DataError, match=r"checkpoint\.pt was altered since it was written"):
            load_checkpoint(path)


def test_a_truncated_checkpoint_is_refused(tmp_path):
    """Wherever it ends."""
    path = tmp_path / "checkpoint.pt"
    save_checkpoint(path, SMALL | {"step": 3})
    whole = path.read_bytes()
    for length in [0, 1, 100, *random.Random(0).sample(range(len(whole)), 20), len(whole) - 1]:
        path.write_bytes(whole[:length])
        with pytest.raises(DataError, match=r"checkpoint\.pt (cannot be read as|is not) a checkpoint"):
            load_checkpoint(path)


@pytest.mark.parametrize("missing", ["recipe", "class_names", "model", "optimiser", "step"])
def test_a_checkpoint_with_a_part_missing_is_refused(shapes, recipe, tmp_path, missing):
    """Well formed, but not what a run writes."""
    quietly(recipe, shapes, tmp_path, steps=1)
    saved = load_checkpoint(tmp_path / "checkpoint.pt")
    del saved[missing]
    save_checkpoint(tmp_path / "checkpoint.pt", saved)
    with pytest.raises(DataError, match=r"checkpoint\.pt is (not a checkpoint|damaged)"):
        quietly(recipe, shapes, tmp_path, steps=1)


@pytest.mark.parametrize("content", [b"\xff\xfe", b"a,b\n1,2\n", b"step,lr\nx,0.1\n"])
def test_a_damaged_log_is_named(tmp_path, content):
    """Not the character that could not be read."""
    (tmp_path / "metrics.csv").write_bytes(content)
    with pytest.raises(DataError, match=r"metrics\.csv is not the log of a run .*: move it away"):
        read_metrics(tmp_path / "metrics.csv")


class Malicious:
    """What an unpickler that trusts its file would run."""

    def __reduce__(self):
        return Path.touch, (Path("ran"),)


def test_a_checkpoint_cannot_run_code(tmp_path, monkeypatch):
    """In torch's format or as a bare pickle, it is refused and nothing runs."""
    monkeypatch.chdir(tmp_path)
    torch.save({"format": 1, "model": Malicious()}, "zip.pt")
    Path("bare.pt").write_bytes(pickle.dumps({"format": 1, "model": Malicious()}, protocol=2))
    for name in ("zip.pt", "bare.pt"):
        with pytest.raises(DataError, match=f"{name} is not a checkpoint: it is damaged, or holds more than tensors"):
            load_checkpoint(name)
    assert not Path("ran").exists()


def test_a_checkpoint_of_other_classes_is_refused(shapes, recipe, tmp_path):
    """The error lists the classes there and here."""
    quietly(recipe, shapes, tmp_path / "run", steps=1)
    other = make_shapes(tmp_path / "other", train_images=2, val_images=1, size=64)
    for split in ("train2017", "val2017"):
        file = other / "annotations" / f"instances_{split}.json"
        content = json.loads(file.read_text())
        keep = content["categories"][:-1]
        content["categories"] = keep
        content["annotations"] = [a for a in content["annotations"] if a["category_id"] in {c["id"] for c in keep}]
        file.write_text(json.dumps(content))
    with pytest.raises(DataError, match=r"(?s)checkpoint\.pt is from another run.*class_names"):
        quietly(replace(recipe), other, tmp_path / "run", steps=1)
