"""Data workers never make a run wait for ever: what they lack is found before they start, or ends it with a message."""

import os
import resource
import shutil
import signal
import time
from collections import namedtuple
from multiprocessing import current_process

import pytest
import torch

from alrp_ref.machine import workers
from alrp_ref.machine.worker_limits import BatchMemory, possible_workers
from alrp_ref.machine.workers import WorkersFailed, batches, failures_explained, make_loader

Usage = namedtuple("Usage", "total used free")


def loader(dataset, count=1, **options):
    return make_loader(dataset, [[0], [0]], torch.stack, workers=count, batch=BatchMemory(size=4, tensors=1), **options)


class Pixels:
    """An image of zeros, after `does` was called."""

    def __init__(self, does=lambda: None):
        self.does = does

    def __getitem__(self, index):
        self.does()
        return torch.zeros(3)


@pytest.mark.parametrize(("free", "processes", "possible"), [(64, 1, 0), (75, 1, 1), (175, 1, 3), (175, 2, 1)])
def test_workers_are_as_many_as_shared_memory_has_room_for(monkeypatch, free, processes, possible):
    """Each worker has two batches in shared memory, and one more is in use; processes share what is free."""
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(0, 0, free * 10**6))
    found, reason = possible_workers(8, BatchMemory(size=25 * 10**6, tensors=1), processes)
    assert found == possible
    assert "a batch takes 25.0 MB" in reason and "docker run --shm-size=8g" in reason


def test_shared_memory_that_cannot_be_written_means_no_workers(monkeypatch):
    """As on a machine with a read-only /dev/shm; what the system says is in the reason."""

    def fails(tensor):
        raise RuntimeError("unable to open shared memory object: Read-only file system (30)")

    monkeypatch.setattr(torch.Tensor, "share_memory_", fails)
    found, reason = possible_workers(2, BatchMemory(size=1, tensors=1))
    assert found == 0 and "Read-only file system" in reason and "/dev/shm" in reason


def long_temporary_folder(monkeypatch, tmp_path):
    folder = tmp_path / ("x" * 100)
    folder.mkdir()
    monkeypatch.setitem(current_process()._config, "tempdir", str(folder))


def test_a_temporary_folder_with_too_long_a_name_means_no_workers(monkeypatch, tmp_path):
    """Their sockets would lie in it; the reason names TMPDIR."""
    long_temporary_folder(monkeypatch, tmp_path)
    found, reason = possible_workers(2, BatchMemory(size=1, tensors=1))
    assert found == 0 and "too long" in reason and "TMPDIR" in reason


def test_workers_are_as_many_as_files_may_be_open(monkeypatch):
    """Every tensor on its way is an open file: a hard limit reduces the workers."""
    monkeypatch.setattr(resource, "getrlimit", lambda what: (400, 400))
    few, reason = possible_workers(8, BatchMemory(size=1, tensors=33))
    assert 0 < few < 8 and "400 files may be open" in reason and "ulimit -n" in reason
    assert possible_workers(8, BatchMemory(size=1, tensors=1)) == (8, "")


def test_a_soft_limit_of_open_files_is_raised(monkeypatch):
    """A process may raise its own limit up to the hard one."""
    raised = []
    monkeypatch.setattr(resource, "getrlimit", lambda what: (128, 4096))
    monkeypatch.setattr(resource, "setrlimit", lambda what, limits: raised.append(limits))
    assert possible_workers(8, BatchMemory(size=1, tensors=33)) == (8, "")
    assert len(raised) == 1 and 600 < raised[0][0] < 4096 == raised[0][1]


def test_fewer_workers_are_logged_and_none_reads_here(monkeypatch, tmp_path):
    """The message says how many instead of how many; the batches are the same."""
    long_temporary_folder(monkeypatch, tmp_path)
    said = []
    assert [batch.shape for batch in batches(loader(Pixels(), 2, log=said.append))] == [(1, 3), (1, 3)]
    assert len(said) == 1 and said[0].startswith("reading images with 0 instead of 2 workers: ")


def failure(monkeypatch, does=lambda: None) -> str:
    """What is said of a worker that starts although it should not."""
    monkeypatch.setattr(workers, "possible_workers", lambda wanted, *rest: (wanted, ""))
    with pytest.raises(WorkersFailed) as failed, failures_explained():
        list(batches(loader(Pixels(does))))
    return str(failed.value)


def test_a_worker_that_cannot_hand_over_its_batch_ends_the_run(monkeypatch, tmp_path, capfd):
    """Python drops such a batch, and the run would wait for it: here the worker ends, and the reason is printed."""
    long_temporary_folder(monkeypatch, tmp_path)
    said = failure(monkeypatch)
    assert "cannot hand over their batches" in said and "--workers 0" in said and "--shm-size" in said
    assert "cannot hand over a batch: AF_UNIX path too long" in capfd.readouterr().err


def test_a_worker_that_does_not_answer_is_waited_for_no_longer_than_the_timeout(monkeypatch):
    """After the timeout WorkersFailed says that the disk does not answer."""
    monkeypatch.setattr(workers, "TIMEOUT", 1)
    assert "no batch for 1 seconds" in failure(monkeypatch, lambda: time.sleep(60))


def test_killed_and_ended_are_told_apart(monkeypatch):
    """Memory is named for SIGKILL alone; for a worker that ended, the error above and the main guard."""
    killed = failure(monkeypatch, lambda: os.kill(os.getpid(), signal.SIGKILL))
    ended = failure(monkeypatch, lambda: os._exit(1))
    assert "memory ran out" in killed and "__main__" not in killed
    assert "memory ran out" not in ended and '`if __name__ == "__main__":`' in ended


def test_an_error_of_the_data_set_is_no_failure_of_workers():
    """An error that the data set raises in a worker is raised as it is."""

    def fails():
        raise RuntimeError("shared memory of mine")

    with pytest.raises(RuntimeError, match="of mine"), failures_explained():
        list(batches(loader(Pixels(fails))))
