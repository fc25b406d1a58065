"""A batch system asks a job to end, by a real signal to a real process: nothing is lost."""

import contextlib
import itertools
import os
import shlex
import signal
import sys
import time
from pathlib import Path

import pytest
import torch
from processes import fresh
from training.test_distributed import children, start
from training.test_faults import STEPS, assert_equal_runs

from alrp_ref import cli
from alrp_ref.detection.saved_model import load_checkpoint
from alrp_ref.machine import signals
from alrp_ref.training import validation
from alrp_ref.training.log import read_metrics

pytestmark = pytest.mark.skipif(not hasattr(signal, "sigwaitinfo"), reason="signals of Linux")


def command(shapes: Path, out: Path, *more: str) -> list[str]:
    """`alrp train`, with an evaluation after every epoch of three steps."""
    options = ["--set=train_size=64", "--batch-size=2", "--device=cpu", "--eval-every=1", f"--steps={STEPS}", *more]
    return ["train", "--recipe=alrp_tiny", f"--coco={shapes}", f"--out={out}", *options]


def alrp(arguments: list[str], printed: Path, waits_in: int | None) -> None:
    """The command in a session of its own, so that a signal to its group reaches its data workers, too. Its n-th
    evaluation never ends, if `waits_in` is n."""
    os.setsid()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where the tests run in the background
    os.dup2(os.open(printed, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 2)
    torch.set_num_threads(1)
    evaluate, numbers = validation.evaluate, itertools.count(1)

    def wait(*data):
        if next(numbers) == waits_in:
            print("evaluating", file=sys.stderr, flush=True)
            time.sleep(1000)
        return evaluate(*data)

    validation.evaluate = wait
    sys.exit(cli.main(arguments))


class Job:
    """A process that runs `alrp`, and what it prints of errors."""

    def __init__(self, arguments: list[str], folder: Path, waits_in: int | None = None):
        self._printed = folder / "errors.txt"
        self._process = fresh.Process(target=alrp, args=(arguments, self._printed, waits_in))
        self._process.start()

    @property
    def errors(self) -> str:
        return self._printed.read_text() if self._printed.exists() else ""

    def wait_for(self, happened) -> None:
        while not happened():
            assert self._process.is_alive(), self.errors
            time.sleep(0.02)

    def send(self, number: int) -> None:
        os.killpg(self._process.pid, number)

    def exit_code(self) -> int | None:
        self._process.join()
        return self._process.exitcode


def steps_logged(out: Path) -> int:
    with contextlib.suppress(OSError):
        return len((out / "metrics.csv").read_text().splitlines()) - 1
    return 0


def assert_stopped(job: Job, number: int, out: Path) -> str:
    """It says what is saved and how to resume, in one line, with no traceback; returns its last line."""
    assert job.exit_code() == 128 + number, job.errors
    saved = load_checkpoint(out / "checkpoint.pt")["step"]
    last = job.errors.strip().splitlines()[-1]
    name = signal.Signals(number).name
    assert f"{name} asked this process to end; {out}/checkpoint.pt holds the state after {saved} steps" in last
    assert "Traceback" not in job.errors and job.errors.count("alrp: ") == 1
    assert steps_logged(out) == saved
    return last


@pytest.fixture(scope="module")
def whole(shapes, tmp_path_factory):
    """The run that nobody stopped."""
    out = tmp_path_factory.mktemp("whole")
    job = Job(command(shapes, out, "--workers=0"), tmp_path_factory.mktemp("printed"))
    assert job.exit_code() == 0, job.errors
    return out


def assert_equal(one: Path, other: Path) -> None:
    """Bit for bit: the log, all evaluations, the weights, the momentum, the detections."""
    assert_equal_runs(one, other)
    assert (one / "evaluations.csv").read_bytes() == (other / "evaluations.csv").read_bytes()


@pytest.mark.parametrize("number", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.slow)])
def test_a_job_that_is_asked_to_end_loses_nothing(shapes, whole, tmp_path, number):
    """The signal goes to every process of the job, its data workers too; the command that is printed resumes it, and
    the run ends with the same bytes as one that nobody stopped."""
    out = tmp_path / "run"
    job = Job(command(shapes, out, "--workers=2"), tmp_path)
    job.wait_for(lambda: steps_logged(out) >= 7)
    job.send(number)
    last = assert_stopped(job, number, out)
    name, *arguments = shlex.split(last.partition("To resume: ")[2])
    assert name == "alrp" and arguments == command(shapes, out, "--workers=2")
    resumed = Job(arguments, tmp_path)
    assert resumed.exit_code() == 0, resumed.errors
    assert_equal(whole, out)


def test_a_second_ctrl_c_does_not_wait_for_the_step(monkeypatch):
    """The first is remembered, as any signal, and says so; the second raises at once. Outside all is as before."""
    said, usual = [], signal.signal(signal.SIGINT, signal.default_int_handler)
    monkeypatch.setattr(os, "write", lambda file, text: said.append((file, text)))
    try:
        with signals.listening() as request:
            signal.raise_signal(signal.SIGINT)
            assert request.signal == signal.SIGINT and b"Ctrl-C again stops at once" in said[0][1]
            with pytest.raises(KeyboardInterrupt):
                signal.raise_signal(signal.SIGINT)
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, usual)


@pytest.mark.parametrize("number", signals.STOP_SIGNALS)
def test_each_signal_that_asks_a_process_to_end_is_remembered(number):
    """Those of schedulers and containers, a closed terminal and Ctrl-C."""
    usual = signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    try:
        with signals.listening() as request:
            signal.raise_signal(number)
            assert request.signal == number
    finally:
        signal.signal(number, usual)


def test_a_signal_that_nohup_ignores_stays_ignored():
    """A run that is to outlive its terminal does."""
    usual = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with signals.listening() as request:
            signal.raise_signal(signal.SIGHUP)
        assert request.signal is None and signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, usual)


@pytest.mark.parametrize("evaluation", [1, STEPS // 3])
def test_a_job_that_is_asked_to_end_while_it_evaluates_loses_nothing(shapes, whole, tmp_path, evaluation):
    """The evaluation is not waited for; it is made up for when the run is resumed, between two epochs or at the end."""
    out = tmp_path / "run"
    job = Job(command(shapes, out, "--workers=0"), tmp_path, waits_in=evaluation)
    job.wait_for(lambda: "evaluating" in job.errors)
    job.send(signal.SIGTERM)
    assert_stopped(job, signal.SIGTERM, out)
    assert load_checkpoint(out / "checkpoint.pt")["step"] == 3 * evaluation
    resumed = Job(command(shapes, out, "--workers=0"), tmp_path)
    assert resumed.exit_code() == 0, resumed.errors
    assert_equal(whole, out)


def test_all_processes_of_a_job_stop_at_the_same_step(shapes, tmp_path):
    """The signal reaches one of two, and both stop; nobody waits for a process that has gone."""
    process = start(shapes, tmp_path, steps=300)
    while steps_logged(tmp_path) < 3:
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.02)
    os.kill(children(process)[1], signal.SIGTERM)
    _, errors = process.communicate(timeout=60)
    saved = load_checkpoint(tmp_path / "checkpoint.pt")["step"]
    assert saved < 300 and [row["step"] for row in read_metrics(tmp_path / "metrics.csv")] == list(range(saved))
    said = f"SIGTERM asked this process to end; {tmp_path}/checkpoint.pt holds the state after {saved} steps"
    assert errors.count(said) == 2 and "give the same command" in errors
    assert "Connection closed" not in errors and "exitcode  : 143" in errors
