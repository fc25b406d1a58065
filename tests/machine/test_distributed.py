"""What the variables of `torchrun`, or of a platform, make of this process."""

import pytest
import torch

from alrp_ref.machine import distributed


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"WORLD_SIZE": "2"}, "RANK must be a whole number, and is not set"),
        ({"WORLD_SIZE": "auto", "RANK": "0"}, "WORLD_SIZE must be a whole number, and is 'auto'"),
        ({"WORLD_SIZE": "2", "RANK": "2"}, "RANK must be 0 to 1, since WORLD_SIZE is 2; got 2"),
        ({"WORLD_SIZE": "2", "RANK": "0"}, "MASTER_ADDR and MASTER_PORT not"),
        ({"WORLD_SIZE": "1"}, None),
        ({}, None),
    ],
)
def test_variables_of_a_platform_are_taken_or_named(monkeypatch, variables, message):
    """One process where they speak of one; what is missing is named, with the command that sets it."""
    for name in ("WORLD_SIZE", "RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    if message is None:
        assert distributed.start("cpu") == (0, 1, torch.device("cpu"))
    else:
        with pytest.raises(ValueError, match=f"{message}.*torchrun --nproc-per-node=N"):
            distributed.start("cpu")


def test_processes_of_a_platform_take_a_gpu_each(monkeypatch):
    """Without LOCAL_RANK the sixth process of eight on machines with four GPUs has the second one."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    monkeypatch.setattr(distributed, "choose_device", torch.device)
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    monkeypatch.setenv("RANK", "5")
    assert distributed._own_device(None) == torch.device("cuda:1") and distributed._own_device("cpu") == torch.device(
        "cpu"
    )
    monkeypatch.setenv("LOCAL_RANK", "3")
    assert distributed._own_device("cuda") == torch.device("cuda:3")
