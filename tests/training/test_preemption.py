"""A batch system asks a job to end, by a real signal to a real process: nothing is lost."""

import contextlib
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from training.test_distributed import children, start
from training.test_faults import STEPS, assert_equal_runs

from alrp_ref.detection.saved_model import load_checkpoint
from alrp_ref.training.log import read_metrics

pytestmark = pytest.mark.skipif(not hasattr(signal, "sigwaitinfo"), reason="signals of Linux")


def command(shapes: Path, out: Path, *more: str) -> list[str]:
    """`alrp train`, with an evaluation after every epoch of three steps."""
    options = ["--set=train_size=64", "--batch-size=2", "--device=cpu", "--eval-every=1", f"--steps={STEPS}", *more]
    return ["train", "--recipe=alrp_tiny", f"--coco={shapes}", f"--out={out}", *options]


def begin(arguments: list[str], before: str = "") -> subprocess.Popen:
    """`alrp` in a session of its own, so that a signal to its group reaches its data workers, too."""
    code = f"import sys, torch; torch.set_num_threads(1); from alrp_ref import cli\n{before}\nsys.exit(cli.main())"
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def wait_for(process: subprocess.Popen, happened) -> None:
    while not happened():
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.02)


def steps_logged(out: Path) -> int:
    with contextlib.suppress(OSError):
        return len((out / "metrics.csv").read_text().splitlines()) - 1
    return 0


def assert_stopped(process: subprocess.Popen, number: int, out: Path) -> str:
    """It says what is saved and how to resume, in one line, with no traceback; returns its last line."""
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 128 + number, errors
    saved = load_checkpoint(out / "checkpoint.pt")["step"]
    last = errors.strip().splitlines()[-1]
    name = signal.Signals(number).name
    assert f"{name} asked this process to end; {out}/checkpoint.pt holds the state after {saved} steps" in last
    assert "Traceback" not in errors and errors.count("alrp: ") == 1
    assert steps_logged(out) == saved
    return last


@pytest.fixture(scope="module")
def whole(shapes, tmp_path_factory):
    """The run that nobody stopped."""
    out = tmp_path_factory.mktemp("whole")
    process = begin(command(shapes, out, "--workers=0"))
    _, errors = process.communicate()
    assert process.returncode == 0, errors
    return out


def assert_equal(one: Path, other: Path) -> None:
    """Bit for bit: the log, all evaluations, the weights, the momentum, the detections."""
    assert_equal_runs(one, other)
    assert (one / "evaluations.csv").read_bytes() == (other / "evaluations.csv").read_bytes()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_a_job_that_is_asked_to_end_loses_nothing(shapes, whole, tmp_path, number):
    """The signal goes to every process of the job, its data workers too; the command that is printed resumes it, and
    the run ends with the same bytes as one that nobody stopped."""
    process = begin(command(shapes, tmp_path, "--workers=2"))
    wait_for(process, lambda: steps_logged(tmp_path) >= 7)
    os.killpg(process.pid, number)
    last = assert_stopped(process, number, tmp_path)
    alrp, *arguments = shlex.split(last.partition("To resume: ")[2])
    assert alrp == "alrp" and arguments == command(shapes, tmp_path, "--workers=2")
    process = begin(arguments)
    _, errors = process.communicate()
    assert process.returncode == 0, errors
    assert_equal(whole, tmp_path)


@pytest.mark.parametrize("evaluation", [1, STEPS // 3])
def test_a_job_that_is_asked_to_end_while_it_evaluates_loses_nothing(shapes, whole, tmp_path, evaluation):
    """The evaluation is not waited for; it is made up for when the run is resumed, between two epochs or at the end."""
    waits = (
        "import itertools, time; from alrp_ref.training import loop\n"
        "evaluate, nth = loop.evaluate, itertools.count(1)\n"
        "def waits(*data):\n"
        f"    if next(nth) == {evaluation}: print('evaluating', flush=True); time.sleep(1000)\n"
        "    return evaluate(*data)\n"
        "loop.evaluate = waits"
    )
    process = begin(command(shapes, tmp_path, "--workers=0"), waits)
    while "evaluating" not in (line := process.stdout.readline()):
        assert line, process.communicate()[1]
    os.killpg(process.pid, signal.SIGTERM)
    assert_stopped(process, signal.SIGTERM, tmp_path)
    assert load_checkpoint(tmp_path / "checkpoint.pt")["step"] == 3 * evaluation
    process = begin(command(shapes, tmp_path, "--workers=0"))
    _, errors = process.communicate()
    assert process.returncode == 0, errors
    assert_equal(whole, tmp_path)


def test_all_processes_of_a_job_stop_at_the_same_step(shapes, tmp_path):
    """The signal reaches one of two, and both stop; nobody waits for a process that has gone."""
    process = start(shapes, tmp_path, steps=300)
    wait_for(process, lambda: steps_logged(tmp_path) >= 3)
    os.kill(children(process)[1], signal.SIGTERM)
    _, errors = process.communicate(timeout=60)
    saved = load_checkpoint(tmp_path / "checkpoint.pt")["step"]
    assert saved < 300 and [row["step"] for row in read_metrics(tmp_path / "metrics.csv")] == list(range(saved))
    said = f"SIGTERM asked this process to end; {tmp_path}/checkpoint.pt holds the state after {saved} steps"
    assert errors.count(said) == 2 and "give the same command" in errors
    assert "Connection closed" not in errors and "exitcode  : 143" in errors
