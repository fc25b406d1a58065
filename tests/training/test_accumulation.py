"""Micro-batches in one process train as one batch in each of as many processes."""

import weakref
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
from detection.small import EMPTY, SMALL
from processes import in_processes
from torch import distributed
from torch.utils.data import Dataset
from training.test_waiting import ONE_STAGE, Waits

from alrp_ref import checks
from alrp_ref.detection import build_detector
from alrp_ref.detection.recipe_losses import ALRP, AP, MeanGIoU, Separate
from alrp_ref.detection.saved_model import load_checkpoint, save_checkpoint
from alrp_ref.machine.distributed import Process
from alrp_ref.machine.files import DataError
from alrp_ref.training import TrainOptions, loop, train
from alrp_ref.training.prepare import RunData, TrainingState, prepare
from alrp_ref.training.sampling import StepSampler
from alrp_ref.training.step import forward, training_step

BATCH, STEPS, IMAGES = 4, 7, 12
RECIPES = ("alrp_tiny", "alrp_faster", "focal_tiny")
ON_THE_HOST = ("real_anchors", "check_targets")
"""They read tensors that never leave the host."""


class Noise(Dataset):
    """Images of noise in float64, each with a box; those of the second step are empty, and so is one of the third."""

    class_names, category_ids, left_out = ["one", "two"], [1, 2], 0

    def __init__(self):
        _, second, third, *_ = StepSampler(IMAGES, BATCH, 0, STEPS)
        self.empty = {index for _, index in second} | {third[0][1]}

    def __len__(self) -> int:
        return IMAGES

    def __getitem__(self, index: int):
        generator = torch.Generator().manual_seed(index)
        image = 255 * torch.rand(3, 64, 64, generator=generator, dtype=torch.float64)
        x, y = (torch.rand(2, generator=generator, dtype=torch.float64) * 30).tolist()
        boxes = torch.tensor([[x, y, x + 25, y + 20]], dtype=torch.float64)
        target = EMPTY if index in self.empty else {"boxes": boxes, "labels": torch.tensor([index % 2])}
        return image, {**target, "image_id": index}


def make_run(name: str, out: Path, accumulate: int, rank: int = 0, world: int = 1) -> TrainingState:
    """In float64, with a self-balance of two steps."""
    torch.manual_seed(0)
    recipe = replace(SMALL[name], batch_size=BATCH, lr=0.05, warmup_iters=0, clip_norm=1.0)
    model = build_detector(recipe, num_classes=2, self_balance_period=2).double()
    options = TrainOptions(steps=STEPS, accumulate=accumulate, workers=0)
    data, process = RunData(Noise(), None, {}), Process(rank, world, torch.device("cpu"))
    return prepare(model, data, out, process, options, lambda text: None)


def trained(name: str, out: Path, accumulate: int, rank: int = 0, world: int = 1) -> dict[str, torch.Tensor]:
    """Weights after each step of a run, and each criterion's self-balance."""
    run, states = make_run(name, out, accumulate, rank, world), []
    for step, batches in loop._steps(run):
        training_step(run.learner, batches, run.plan.learning_rate(step, run.model.recipe.warmup_factor))
        state = {key: value.clone() for key, value in run.model.named_parameters()}
        states.append(state | {key: b.clone() for key, b in run.model.named_buffers() if "self_balance" in key})
    if run.log is not None:
        run.log.close()
    return {key: torch.stack([state[key].detach() for state in states]) for key in states[0]}


def one_of_two(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    results = {(n, k): trained(n, Path(folder), k, rank, 2) for n in RECIPES for k in (1, 2)}
    if rank == 0:
        torch.save(results, f"{folder}/results")
    distributed.destroy_process_group()


@pytest.fixture(scope="module")
def on_two_processes(tmp_path_factory):
    """What training with one micro-batch, or two, in each of two processes gives."""
    folder = tmp_path_factory.mktemp("processes")
    in_processes(one_of_two, 2, folder)
    return torch.load(folder / "results")


@pytest.mark.parametrize("name", RECIPES)
@pytest.mark.parametrize("accumulate", [2, 4])
def test_micro_batches_are_processes(on_two_processes, tmp_path, name, accumulate):
    """Two micro-batches equal two processes, and four equal two in each of two processes: all parameters and the
    self-balance after every step, to 1e-12, beyond renewals of the weight and a step that does not count."""
    expected = on_two_processes[name, accumulate // 2]
    for key, value in trained(name, tmp_path, accumulate).items():
        torch.testing.assert_close(value, expected[key], rtol=1e-12, atol=1e-12, msg=key)
    if name != "focal_tiny":
        weights = expected["criterion.loss.self_balance.weight"]
        # The step without positives makes the first window close one step later.
        assert (weights[1:] != weights[:-1]).tolist() == [False, True, False, True, False, True]


def test_a_step_with_micro_batches_waits_no_more_than_they_do(tmp_path, monkeypatch):
    """Between two reads of the log nothing asks the device, but what each micro-batch asks; the log asks once."""
    monkeypatch.setattr(checks, "is_asynchronous", lambda tensor: True)  # as on a GPU
    run = make_run("alrp_tiny", tmp_path, accumulate=2)
    run.learner.shared_balance._steps_left = STEPS
    asked = []
    for step, batches in list(loop._steps(run))[:3]:
        with Waits("cpu") as waits:
            losses = training_step(run.learner, batches, 0.01)
            run.measurements.add({"step": step}, [], losses)
        asked.append({where: number for where, number in waits.found.items() if where[0] not in ON_THE_HOST})
    assert asked == [dict.fromkeys(ONE_STAGE, 2)] * 3
    with Waits("cpu") as waits:
        assert len(run.measurements.read(saved=0)) == 3
    assert sum(waits.found.values()) == 0  # one `tolist`, which is no operation
    run.log.close()


def test_a_renewal_needs_the_memory_of_one_micro_batch(tmp_path):
    """The forward pass over all micro-batches, before a step that may close the window, keeps no graph of an earlier
    one."""
    run, graphs = make_run("alrp_tiny", tmp_path, accumulate=4), []
    run.learner.shared_balance._steps_left = 1

    def watched(learner, model, batch):
        assert not any(graph() is not None for graph in graphs)
        losses = forward(learner, model, batch)
        graphs.append(weakref.ref(losses["loss_cls"]))
        return losses

    _, batches = next(loop._steps(run))
    with run.learner.shared_balance.one_step(batches, partial(watched, run.learner, run.model)):
        assert len(graphs) == 4
    run.log.close()


def quietly(recipe, coco, out, log=lambda text: None, **options):
    return train(recipe, coco, out, TrainOptions(**{"workers": 0, "device": "cpu"} | options), log=log)


def test_a_run_with_micro_batches_resumes_exactly(shapes, recipe, tmp_path, monkeypatch):
    """Bit for bit, from a checkpoint after any step: also right before a renewal of the weight."""
    monkeypatch.setattr(loop, "SECONDS_BETWEEN_CHECKPOINTS", 0)
    quietly(recipe, shapes, tmp_path / "whole", steps=6, accumulate=2)
    whole, kept = load_checkpoint(tmp_path / "whole" / "checkpoint.pt"), {}

    save = TrainingState.save

    def save_and_keep(run, step):
        save(run, step)
        kept[step] = run.checkpoint.path.read_bytes()

    with monkeypatch.context() as patch:
        patch.setattr(TrainingState, "save", save_and_keep)
        quietly(recipe, shapes, tmp_path / "again", steps=6, accumulate=2)
    assert sorted(kept) == [1, 2, 3, 4, 5, 6]
    for step in (2, 4):
        out = tmp_path / f"from_{step}"
        out.mkdir()
        (out / "checkpoint.pt").write_bytes(kept[step])
        quietly(recipe, shapes, out, steps=6, accumulate=2)
        resumed = load_checkpoint(out / "checkpoint.pt")
        assert all(torch.equal(value, resumed["model"][name]) for name, value in whole["model"].items())


def test_another_number_of_micro_batches_is_another_run(shapes, recipe, tmp_path):
    """It ranks other lists. A checkpoint that says nothing of it, as earlier versions wrote, has one."""
    quietly(recipe, shapes, tmp_path, steps=1)
    with pytest.raises(DataError, match="accumulate: 1 there, 2 now"):
        quietly(recipe, shapes, tmp_path, steps=1, accumulate=2)
    saved = load_checkpoint(tmp_path / "checkpoint.pt")
    del saved["accumulate"]
    save_checkpoint(tmp_path / "checkpoint.pt", saved)
    quietly(recipe, shapes, tmp_path, steps=1)
    with pytest.raises(DataError, match="accumulate: 1 there, 2 now"):
        quietly(recipe, shapes, tmp_path, steps=1, accumulate=2)


def test_a_batch_that_cannot_be_divided_is_refused(shapes, recipe, tmp_path):
    """A ValueError says which numbers do not fit, before anything is read or written."""
    for accumulate, message in ((0, "accumulate must be above 0, got 0"), (3, "multiple of 3 .* got 2")):
        with pytest.raises(ValueError, match=message):
            quietly(recipe, shapes, tmp_path / "run", steps=1, accumulate=accumulate)
    for loss in (ALRP(rank_scope="global"), Separate(scores=AP(rank_scope="global"), boxes=MeanGIoU())):
        with pytest.raises(ValueError, match="accumulate ranks each micro-batch by itself"):
            quietly(replace(recipe, loss=loss), shapes, tmp_path / "run", steps=1, accumulate=2)
    assert not (tmp_path / "run").exists()
