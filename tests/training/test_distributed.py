"""Training in many processes."""

import math
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from detection.small import SMALL, batch
from processes import in_processes
from torch import distributed, nn

from alrp_ref.detection import build_detector
from alrp_ref.detection.recipes import with_changes
from alrp_ref.detection.saved_model import load_checkpoint
from alrp_ref.machine.distributed import check_same_on_all
from alrp_ref.machine.files import DataError
from alrp_ref.training.errors import Diverged
from alrp_ref.training.log import read_metrics
from alrp_ref.training.measurements import Measurements


def start(shapes: Path, out: Path, steps: int) -> subprocess.Popen:
    """`alrp train` in two processes, each with half of every batch."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    launch = ["-m", "torch.distributed.run", "--nproc_per_node=2", "--master_addr=127.0.0.1", f"--master_port={port}"]
    train = ["-m", "alrp_ref.cli", "train", "--recipe=alrp_tiny", f"--coco={shapes}", f"--out={out}"]
    options = ["--set=loss.rank_scope=global", "--set=train_size=64", "--batch-size=2", "--workers=0", "--device=cpu"]
    command = [sys.executable, *launch, *train, *options, f"--steps={steps}"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_two_processes_train_one_detector(shapes, tmp_path):
    """Each takes half of every batch; one of them writes every step once, the checkpoint and the report."""
    process = start(shapes, tmp_path, steps=3)
    out, errors = process.communicate()
    assert process.returncode == 0, errors[-2000:]
    rows = read_metrics(tmp_path / "metrics.csv")
    assert [row["step"] for row in rows] == [0, 1, 2]
    assert [row["balance"] for row in rows] == [pytest.approx(1, abs=1e-5)] * 3  # over both: they rank together
    assert (tmp_path / "checkpoint.pt").is_file() and (tmp_path / "report.html").is_file()
    assert out.count("Report:") == 1


def children(process: subprocess.Popen) -> list[int]:
    """Those that `torchrun` started, in the order of their ranks."""
    return [int(pid) for pid in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()]


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="finds the processes in /proc")
@pytest.mark.parametrize("rank", [0, 1])
def test_a_killed_process_ends_the_others_and_the_run_goes_on(shapes, tmp_path, rank):
    """After SIGKILL of one process the other ends within a minute, with a message; the same command then goes on from
    the last checkpoint, and every step is there once."""
    steps = 60
    process = start(shapes, tmp_path, steps)
    while not (tmp_path / "checkpoint.pt").is_file():
        assert process.poll() is None
        time.sleep(0.05)
    os.kill(children(process)[rank], signal.SIGKILL)
    _, errors = process.communicate(timeout=60)
    assert process.returncode != 0 and "Signal 9 (SIGKILL)" in errors
    assert load_checkpoint(tmp_path / "checkpoint.pt")["step"] < steps
    process = start(shapes, tmp_path, steps)
    out, errors = process.communicate()
    assert process.returncode == 0, errors[-2000:]
    assert "resuming from step" in out
    assert [row["step"] for row in read_metrics(tmp_path / "metrics.csv")] == list(range(steps))


def test_an_error_in_one_process_ends_the_others(shapes, tmp_path):
    """The process that meets a broken image names it; the other does not wait for it."""
    broken = tmp_path / "shapes"
    shutil.copytree(shapes, broken)
    (image, *_) = sorted((broken / "train2017").iterdir())
    image.write_bytes(b"")
    process = start(broken, tmp_path / "run", steps=30)
    _, errors = process.communicate(timeout=120)
    assert process.returncode != 0 and f"{image} cannot be decoded: it is empty" in errors


def losses_and_gradient(images: slice, recipe: str, rank_scope: str, processes: bool = False):
    """Of the same small detector, in float64, on some of four images of which the third is empty."""
    torch.manual_seed(0)
    recipe = with_changes(SMALL[recipe], [f"loss.rank_scope={rank_scope}"])
    model = build_detector(recipe, num_classes=2).double().train()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()  # its statistics are those of a process's images, whatever the loss ranks
    pixels, targets = batch(4)
    targets[2] = {name: value[:0] for name, value in targets[2].items()}
    targets = [{"boxes": target["boxes"].double(), "labels": target["labels"]} for target in targets]
    wrapped = nn.parallel.DistributedDataParallel(model) if processes else model
    losses = wrapped(pixels[images].double(), targets[images])
    sum(losses.values()).backward()
    return {name: loss.item() for name, loss in losses.items()}, torch.cat(
        [parameter.grad.flatten() for parameter in model.parameters()]
    )


CASES = [("alrp_tiny", "process"), ("ap_tiny", "process"), ("alrp_tiny", "global")]


def stopped_by_the_other(rank: int) -> str:
    """What a process says that reads four steps, of which the third gave process 1 a loss that is not finite."""
    measurements = Measurements({}, batch_size=2)
    for step in range(4):
        loss = torch.tensor(math.inf if (rank, step) == (1, 2) else 0.5)
        measurements.add({"step": step}, [10 * step + rank], {"loss_cls": loss})
    with pytest.raises(Diverged) as stopped:
        measurements.read(saved=1)
    return str(stopped.value)


def one_of_two(rank: int, folder: str) -> None:
    distributed.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    check_same_on_all(7, "step")
    with pytest.raises(DataError, match="the processes have 0, 1 for the step to resume from"):
        check_same_on_all(rank, "step to resume from")
    torch.save(stopped_by_the_other(rank), f"{folder}/stopped{rank}")
    half = slice(2 * rank, 2 * rank + 2)
    torch.save({case: losses_and_gradient(half, *case, processes=True) for case in CASES}, f"{folder}/{rank}")
    distributed.destroy_process_group()


@pytest.fixture(scope="module")
def on_two_processes(tmp_path_factory):
    """A folder with what each process says, and what it gets in every case."""
    folder = tmp_path_factory.mktemp("processes")
    in_processes(one_of_two, 2, folder)
    return folder, [torch.load(folder / str(rank)) for rank in range(2)]


def test_a_loss_that_is_not_finite_stops_all_processes(on_two_processes):
    """All say the same: the step, and the images of the process whose loss it was."""
    folder, _ = on_two_processes
    said = {torch.load(folder / f"stopped{rank}") for rank in range(2)}
    assert len(said) == 1 and said.pop().startswith("training stopped at step 2, images [21]: loss_cls is inf; ")


@pytest.mark.parametrize("recipe", ["alrp_tiny", "ap_tiny"])
def test_two_processes_average_the_gradients_of_their_own_rankings(on_two_processes, recipe):
    """With the ranking per process, as the paper has it: the mean of the gradients that each half gives alone."""
    (first, gradient), (second, other) = (one[recipe, "process"] for one in on_two_processes[1])
    halves = [losses_and_gradient(half, recipe, "process") for half in (slice(0, 2), slice(2, 4))]
    assert (first, second) == tuple(pytest.approx(losses, rel=1e-12) for losses, _ in halves)
    assert torch.equal(gradient, other)
    torch.testing.assert_close(gradient, (halves[0][1] + halves[1][1]) / 2, rtol=1e-9, atol=1e-12)


def test_global_ranking_makes_two_processes_one(on_two_processes):
    """Ranked together, losses and gradient are those of one process on the whole batch."""
    (first, gradient), (second, other) = (one["alrp_tiny", "global"] for one in on_two_processes[1])
    losses, expected = losses_and_gradient(slice(0, 4), "alrp_tiny", "global")
    assert first == second == pytest.approx(losses, rel=1e-12)
    assert torch.equal(gradient, other)
    torch.testing.assert_close(gradient, expected, rtol=1e-9, atol=1e-12)
