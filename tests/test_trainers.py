"""In Lightning, DistributedDataParallel and FSDP2 the self-balance does what it does in a plain loop."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from processes import in_processes
from torch import Tensor, distributed, nn
from torch.utils.data import DataLoader

from alrp_ref import ALRPLoss, SelfBalance, flatten_batch
from alrp_ref.losses import BalancedALRP

NUM_CLASSES, STEPS = 3, 4


class Detector(nn.Module):
    """Logits and boxes of anchors from their features, and the criterion as a submodule."""

    def __init__(self, period: int | None = 2):
        super().__init__()
        self.trunk, self.cls, self.box = nn.Linear(8, 16), nn.Linear(16, NUM_CLASSES), nn.Linear(16, 4)
        self.criterion = ALRPLoss(period)

    def forward(self, features: Tensor, labels: Tensor, boxes: Tensor) -> BalancedALRP:
        hidden = self.trunk(features).relu()
        return self.criterion(*flatten_batch(self.cls(hidden), labels, boxes + self.box(hidden), boxes))


def detector() -> Detector:
    torch.manual_seed(0)
    return Detector()


def batch(number: int, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor, Tensor]:
    """Two images of thirty anchors; those of number 1 hold no object."""
    rng = torch.Generator().manual_seed(number)
    features = torch.randn(2, 30, 8, generator=rng, dtype=dtype)
    labels = torch.randint(-2, NUM_CLASSES, (2, 30), generator=rng)
    corners = torch.rand(2, 30, 2, generator=rng, dtype=dtype) * 10
    return features, labels.clamp(max=-1) if number == 1 else labels, torch.cat([corners, corners + 5], dim=-1)


def train(model: nn.Module, loss_of_step: Callable[[int], Tensor]) -> nn.Module:
    optimiser = torch.optim.SGD(model.parameters(), lr=0.1)
    for step in range(STEPS):
        optimiser.zero_grad()
        loss_of_step(step).backward()
        optimiser.step()
    return model


def state_of(model: nn.Module) -> dict[str, Tensor]:
    """Parameters and buffers, put together from their shards."""
    state = {name.removeprefix("module."): value for name, value in model.state_dict().items()}
    return {name: value.full_tensor() if hasattr(value, "full_tensor") else value for name, value in state.items()}


def one_of_two(rank: int, folder: str) -> None:
    """Each step trains on two batches, one for each process."""
    from torch.distributed.fsdp import fully_shard

    distributed.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    found = {}
    for name, wrap in {"DDP": nn.parallel.DistributedDataParallel, "FSDP2": fully_shard}.items():
        model = wrap(detector().double())
        found[name] = state_of(train(model, lambda step: model(*batch(2 * step + rank)).total))  # noqa: B023
    torch.save(found, f"{folder}/{rank}")
    distributed.destroy_process_group()


def on_one_process() -> Detector:
    """The mean of both batches' losses, with the weight that both together give."""
    model = detector().double()

    def loss_of_step(step: int) -> Tensor:
        with model.criterion.self_balance.accumulate():
            outs = [model(*batch(number)) for number in (2 * step, 2 * step + 1)]
        return sum(out.cls + model.criterion.self_balance.weight * out.loc for out in outs) / 2

    return train(model, loss_of_step)


@pytest.mark.skipif(not distributed.is_available(), reason="this torch has no torch.distributed")
def test_ddp_and_fsdp2_train_as_one_process_does(tmp_path):
    """Two processes, one of them without an object in a step, get the parameters, weight and window of one with both
    batches."""
    in_processes(one_of_two, 2, tmp_path)
    expected = state_of(on_one_process())
    assert expected["criterion.self_balance.weight"] != 50
    for rank in range(2):
        for name, state in torch.load(tmp_path / str(rank)).items():
            for key, value in expected.items():
                torch.testing.assert_close(state[key], value, rtol=1e-9, atol=1e-9, msg=f"{name}, {rank}, {key}")


LENGTH = 6
"""Batches in an epoch."""


def fitted(folder: Path, numbers=range(2, 2 + LENGTH), dtype=torch.float32, ckpt_path: Path | None = None, **options):
    """A detector that Lightning trained, with a list of (cls, loc, weight) of all training batches as `seen`."""
    lightning = pytest.importorskip("lightning")

    class Module(lightning.LightningModule):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.detector, self.seen = Detector(period=LENGTH), []

        def training_step(self, batch, index):
            out = self.detector(*batch)
            self.seen.append([value.item() for value in (out.cls, out.loc, out.loc_weight)])
            return out.total

        def validation_step(self, batch, index):
            self.detector(*batch)

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), lr=0.1)

    module, batches = Module(), DataLoader([batch(number, dtype) for number in numbers], batch_size=None)
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False, "accelerator": "cpu"}
    trainer = lightning.Trainer(default_root_dir=folder, **quiet | options)
    trainer.fit(module, batches, batches, ckpt_path=ckpt_path)
    return module


# Lightning warns of data loaders without workers, and of what it finds in its own packages.
in_lightning = pytest.mark.filterwarnings("ignore")


@in_lightning
@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed", "bf16-true"])
def test_lightning_renews_the_weight_once_an_epoch(precision, tmp_path):
    """It is that of `SelfBalance` in float32, with two batches accumulated, and validation between the epochs."""
    dtype = torch.bfloat16 if precision == "bf16-true" else torch.float32
    module = fitted(tmp_path, dtype=dtype, precision=precision, accumulate_grad_batches=2, max_epochs=2)
    balance, plain = module.detector.criterion.self_balance, SelfBalance(LENGTH)
    weights = [plain.update(torch.tensor(cls), torch.tensor(loc)).item() for cls, loc, _ in module.seen]
    assert len(weights) == 2 * LENGTH and len(set(weights)) == 3
    assert [weight for _, _, weight in module.seen] == weights
    assert torch.equal(balance.weight, plain.weight) and torch.equal(balance.window, plain.window)


@in_lightning
def test_lightning_resumes_and_averages(tmp_path):
    """A run that resumes in its second epoch sees the losses and weights of the one that did not stop. An average of
    the parameters (EMA) beside it changes none of them."""
    same = [2] * LENGTH  # Lightning begins with the first batch again
    whole = fitted(tmp_path / "whole", same, max_steps=15)
    fitted(tmp_path / "stopped", same, max_steps=9)
    (checkpoint,) = (tmp_path / "stopped").rglob("*.ckpt")
    resumed = fitted(tmp_path / "resumed", same, ckpt_path=checkpoint, max_steps=15)
    assert resumed.seen == whole.seen[9:] and resumed.seen[-1][2] != resumed.seen[0][2] != 50
    from lightning.pytorch.callbacks import EMAWeightAveraging

    averaged = fitted(tmp_path / "averaged", same, max_steps=15, callbacks=[EMAWeightAveraging(decay=0.5)])
    assert averaged.seen == whole.seen
    # At the end Lightning puts the averages, those of buffers too, in place of the last values.
    weight = averaged.detector.criterion.self_balance.weight.item()
    assert min(w for _, _, w in whole.seen) < weight < 50
