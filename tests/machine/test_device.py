"""The device that every command asks for."""

import pytest
import torch

from alrp_ref.machine.device import choose_device


@pytest.mark.parametrize("name", ["gpu", "0", "meta", "CUDA", "", *(["cuda"] if not torch.cuda.is_available() else [])])
def test_a_device_that_is_not_there_is_named_with_those_that_are(name):
    """Every command checks it in the same way, before anything else."""
    with pytest.raises(ValueError, match=r"device must be cpu.* on this machine, got '" + name):
        choose_device(name)
