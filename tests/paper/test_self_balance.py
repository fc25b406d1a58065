"""Self-balance: the rule of the window, the release's own training steps, resuming, several processes."""

import numpy as np
import pytest
import torch
from lists import assert_close
from processes import in_processes
from torch import distributed

from alrp_ref import ALRPLoss, SelfBalance


def run(balance: SelfBalance, steps) -> list[float]:
    """The weight used in each step."""
    return [balance.update(*(torch.tensor(x, dtype=torch.float64) for x in step)).item() for step in steps]


def random_steps(n: int) -> list[list[float]]:
    return torch.rand(n, 2, dtype=torch.float64).tolist()


def test_official_weights_of_eight_training_steps():
    """From the losses of the release's training steps follow the weights it used (period 3)."""
    # loss_cls, weighted loss_loc, weight of each step, as recorded
    recorded = [
        (0.9998315156000779, 0.00493320741697345, 50.0),
        (0.9986253619435758, 0.04469174592379969, 50.0),
        (0.9900764771402498, 2.573855918941082, 424.91453998351597),
        (0.9680694804654922, 8.82663746310112, 424.91453998351597),
        (0.9727969468671817, 8.60165671944788, 424.91453998351597),
        (0.9573877301499698, 1.7006433315272864, 31.514312138306387),
        (0.907641821056114, 4.251936092219864, 31.514312138306387),
        (0.9409985069044544, 2.3389402198497535, 31.514312138306387),
    ]
    weights = run(SelfBalance(3).double(), [(cls, loc / weight) for cls, loc, weight in recorded])
    assert weights == pytest.approx([weight for *_, weight in recorded], rel=1e-12)


def test_the_step_that_ends_the_window_already_uses_the_new_weight():
    """50 until then; (mean cls + mean loc) / mean loc from then on, a ratio of means; the window empties."""
    weights = run(SelfBalance(2).double(), [(0.9, 0.1), (0.7, 0.3), (0.5, 0.25), (0.5, 0.25)])
    assert weights == pytest.approx([50, 2.0 / 0.4, 2.0 / 0.4, 1.5 / 0.5])


def test_a_window_of_one_step():
    """With a period of 1 the weighted localisation part always equals the whole loss."""
    assert run(SelfBalance(1).double(), [(0.9, 0.1), (0.5, 0.25)]) == pytest.approx([10, 3])


def test_without_a_period_the_first_epoch_never_ends():
    """The weight stays what it was set to."""
    assert run(SelfBalance(None, initial_weight=7.0), random_steps(20)) == [7.0] * 20


def test_steps_without_positives_do_not_count():
    """Their zeros enter neither the means nor the number of steps."""
    balance, reference = SelfBalance(3).double(), SelfBalance(3).double()
    steps = random_steps(7)
    zero = torch.tensor(0.0)
    for cls, loc in steps:
        balance.update(zero, zero, has_positives=False)
        balance.update(torch.tensor(cls, dtype=torch.float64), torch.tensor(loc, dtype=torch.float64))
        reference.update(torch.tensor(cls, dtype=torch.float64), torch.tensor(loc, dtype=torch.float64))
    assert torch.equal(balance.weight, reference.weight) and balance.weight != 50
    assert torch.equal(balance.window, reference.window)


def test_a_window_of_perfect_boxes_keeps_the_weight():
    """Where mean loc is 0 there is no ratio; the next window starts afresh."""
    weights = run(SelfBalance(2).double(), [(0.9, 0.0), (0.9, 0.0), (0.5, 0.25), (0.5, 0.25)])
    assert weights == pytest.approx([50, 50, 50, 3])


@pytest.mark.parametrize("stop", range(1, 8))
def test_resuming_is_exact(stop):
    """A run stopped anywhere, saved and resumed, uses the very weights of the run that was not."""
    steps = random_steps(8)
    uninterrupted = run(SelfBalance(3), steps)
    first, second = SelfBalance(3), SelfBalance(3, initial_weight=1.0)
    before = run(first, steps[:stop])
    second.load_state_dict(first.state_dict())
    assert before + run(second, steps[stop:]) == uninterrupted


def test_another_period_does_not_load_in_silence():
    """It warns with both periods, and keeps weight and window; None, on either side, and the same period do not."""
    saved = SelfBalance(7)
    run(saved, random_steps(3))
    for period in (7, None):
        SelfBalance(period).load_state_dict(saved.state_dict())
    SelfBalance(7).load_state_dict(SelfBalance(None).state_dict())
    loaded = SelfBalance(5)
    with pytest.warns(UserWarning, match="saved with period 7, continues with period 5"):
        loaded.load_state_dict(saved.state_dict())
    assert loaded.period == 5 and torch.equal(loaded.window, saved.window)


def test_a_state_without_a_period_loads():
    """States saved before the period was part of them still load, strictly."""
    state = SelfBalance(7).state_dict()
    del state["_extra_state"]
    SelfBalance(5).load_state_dict(state)
    assert all(isinstance(value, torch.Tensor) for value in ALRPLoss(7).state_dict().values())  # as averages expect


def test_its_state_is_part_of_the_criterions():
    """ALRPLoss saves weight and window with the model it is part of."""
    state = ALRPLoss(period=10).state_dict()
    assert {key.split(".")[0] for key in state} == {"self_balance"}
    assert state["self_balance.weight"] == 50


def test_the_weight_has_no_gradient():
    """It is a constant of the step."""
    loc = torch.tensor(0.25, requires_grad=True)
    weight = SelfBalance(1).update(torch.tensor(0.5, requires_grad=True), loc)
    assert not weight.requires_grad
    (weight * loc).backward()
    assert loc.grad == 3


def test_a_weight_in_use_is_not_overwritten():
    """The backward pass of a step still works after the next step was counted (gradient accumulation)."""
    balance = SelfBalance(1)
    loc = torch.tensor(0.25, requires_grad=True)
    loss = balance.update(torch.tensor(0.5), loc) * loc
    balance.update(torch.tensor(0.9), torch.tensor(0.1))
    loss.backward()
    assert loc.grad == 3


def test_micro_batches_count_as_one_step():
    """With the mean over those that have positives, cls .9, .6 and loc .1, .3, as in as many processes; within the step
    the weight stays what it was."""
    balance = SelfBalance(2).double()
    for micro_batches in ([(0.9, 0.1), None, (float("nan"), 0.3)], [(0.8, 0.2), (0.4, 0.4)]):
        with balance.accumulate():
            for losses in micro_batches:
                cls, loc = map(torch.tensor, losses or (0.0, 0.0))
                assert balance.update(cls, loc, has_positives=losses is not None) == 50
    assert_close(balance.weight, (1.5 + 0.4) / 0.4, 1e-6)
    assert torch.equal(balance.window, torch.zeros(3, dtype=torch.float64))


def test_a_step_that_fails_does_not_count():
    """After an error between the micro-batches nothing was counted, and the next update is a step again."""
    balance = SelfBalance(2).double()
    with pytest.raises(KeyboardInterrupt), balance.accumulate():
        run(balance, [(0.9, 0.1)])
        raise KeyboardInterrupt
    assert balance.window[2] == 0
    assert run(balance, [(0.9, 0.1), (0.7, 0.3)]) == pytest.approx([50, 5])


def test_the_period_must_be_given():
    """Without it the weight would stay 50 for ever, in silence; None says so aloud."""
    for module in (SelfBalance, ALRPLoss):
        with pytest.raises(TypeError, match="period"):
            module()


def balanced_step(criterion: ALRPLoss):
    torch.manual_seed(0)
    logits, targets = torch.randn(200, requires_grad=True), torch.zeros(200, dtype=torch.int64)
    targets[:20] = 1
    return criterion(logits, targets, torch.rand(20))


@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode])
def test_a_validation_loss_in_training_mode_does_not_count(context):
    """Only steps with gradients enabled count, and the next training step works."""
    criterion = ALRPLoss(period=4)
    balanced_step(criterion)
    before = criterion.self_balance.window.clone()
    with context():
        balanced_step(criterion)
    assert torch.equal(criterion.self_balance.window, before) and before[2] == 1
    balanced_step(criterion).cls.backward()


@pytest.mark.parametrize("cast", [lambda m: m.half(), lambda m: m.to(torch.bfloat16)])
def test_a_cast_to_16_bits_keeps_the_statistics(cast):
    """300 steps in bfloat16 or float16 balance as in float32: a sum in 16 bits would stop growing."""
    steps = random_steps(300)
    cast_balance = cast(SelfBalance(300))
    assert run(cast_balance, steps) == run(SelfBalance(300), steps)
    assert cast_balance.weight != 50 and cast_balance.weight.dtype == torch.float32


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_losses_of_any_precision(dtype):
    """The window adds in its own precision, whatever the losses come in."""
    balance = SelfBalance(2)
    for _ in range(2):
        weight = balance.update(torch.tensor(0.75, dtype=dtype), torch.tensor(0.25, dtype=dtype))
    assert weight == 4


def test_the_mean_of_a_real_epoch_is_accurate():
    """3665 steps in float32: the weight is right to 1e-5."""
    steps = random_steps(3665)
    cls, loc = torch.tensor(steps, dtype=torch.float64).mean(0)
    assert run(SelfBalance(3665), steps)[-1] == pytest.approx(((cls + loc) / loc).item(), rel=1e-5)


@pytest.mark.parametrize(
    "argument",
    [
        {"period": 0},
        {"period": -1},
        {"period": 2.5},
        {"initial_weight": 0.0},
        {"initial_weight": float("nan")},
    ],
)
def test_bad_input_is_named(argument):
    """A ValueError that starts with the name of the argument and says what it got."""
    ((name, value),) = argument.items()
    with pytest.raises(ValueError, match=rf"^{name} must .*got {value}"):
        SelfBalance(**{"period": 1} | argument)


def one_of_two(rank: int, folder: str) -> None:
    """Process 0 has positives in both steps, process 1 only in the second."""
    distributed.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    balance = SelfBalance(2).double()
    steps = [[(0.9, 0.1, True), (0.8, 0.2, True)], [(0.0, 0.0, False), (0.4, 0.4, True)]][rank]
    for cls, loc, has_positives in steps:
        weight = balance.update(torch.tensor(cls), torch.tensor(loc), has_positives=has_positives)
    torch.save(weight.clone(), f"{folder}/weight{rank}")
    distributed.destroy_process_group()


@pytest.mark.skipif(not distributed.is_available(), reason="this torch has no torch.distributed")
def test_all_processes_use_one_weight(tmp_path):
    """A step counts with the mean over the processes that had positives: cls .9, .6 and loc .1, .3 here."""
    in_processes(one_of_two, 2, tmp_path)
    weights = [torch.load(tmp_path / f"weight{rank}") for rank in range(2)]
    assert torch.equal(*weights)
    assert_close(weights[0], (1.5 + 0.4) / 0.4, 1e-6)


@pytest.mark.parametrize("cls, loc", [(float("nan"), 0.1), (0.9, float("inf"))])
def test_a_step_without_a_finite_loss_does_not_count(cls, loc):
    """A loss scaler skips such a step; the window stays as it is."""
    balance = SelfBalance(2)
    weights = run(balance, [(0.9, 0.1), (cls, loc), (0.7, 0.3)])
    assert weights == pytest.approx([50, 50, 5])


def test_a_module_made_on_meta_begins_with_the_initial_weight():
    """`to_empty()` gives it memory with any numbers in it; the weight is not one of those."""
    with torch.device("meta"):
        criterion = ALRPLoss(10, initial_weight=7.0)
    balance = criterion.to_empty(device="cpu").self_balance
    assert balance.weight == 7 and balance.window.tolist() == [0, 0, 0]
    balance.weight.fill_(3.0)
    balance.reset_parameters()
    assert balance.weight == 7


def test_a_state_without_a_self_balance_starts_it_afresh():
    """Weights of a detector that was trained with another loss load, with a warning; other missing names are errors."""
    model = torch.nn.ModuleDict({"head": torch.nn.Linear(2, 2), "criterion": ALRPLoss(10, initial_weight=7.0)})
    state = {name: value for name, value in model.state_dict().items() if name.startswith("head")}
    with pytest.warns(UserWarning, match="holds no self-balance: its weight stays 7"):
        model.load_state_dict(state)
    assert model["criterion"].self_balance.weight == 7
    with pytest.raises(RuntimeError, match=r"criterion\.self_balance\.window"):
        model.load_state_dict(model.state_dict() | state | {"criterion.self_balance.window": torch.zeros(2)})


def test_a_period_may_be_an_integer_of_numpy():
    """`np.int64`, as it comes out of a division."""
    assert type(ALRPLoss(np.int64(10)).self_balance.period) is int
