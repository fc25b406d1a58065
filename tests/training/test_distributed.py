"""Training in many processes."""

import socket
import subprocess
import sys

from alrp_ref.training.log import read_metrics


def test_two_processes_train_one_detector(shapes, tmp_path):
    """Each takes half of every batch; one of them writes every step once, the checkpoint and the report."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    torchrun = ["torch.distributed.run", "--nproc_per_node=2", "--master_addr=127.0.0.1", f"--master_port={port}"]
    launch = [sys.executable, "-m", *torchrun]
    options = ["--set", "train_size=64", "--batch-size", "2", "--steps", "3", "--workers", "0", "--device", "cpu"]
    command = ["-m", "alrp_ref.cli", "train", "--recipe", "alrp_tiny", "--coco", shapes, "--out", tmp_path, *options]
    done = subprocess.run([*launch, *map(str, command)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert [row["step"] for row in read_metrics(tmp_path / "metrics.csv")] == [0, 1, 2]
    assert (tmp_path / "checkpoint.pt").is_file() and (tmp_path / "report.html").is_file()
    assert done.stdout.count("Report:") == 1
