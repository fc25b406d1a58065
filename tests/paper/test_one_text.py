"""What reads like the formula is what runs: no public function of the paper's files is there for show."""

import importlib
import inspect
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from lists import random

import alrp_ref
from alrp_ref import losses, ranking_loss
from alrp_ref.paper.step_matrix import StepMatrix

FOLDER = Path(alrp_ref.__file__).parent / "paper"
# The judge, the metric and the engine have tests of their own: they are not formulas of a loss.
FILES = {path.stem for path in FOLDER.glob("*.py")} - {"__init__", "pairwise", "lrp", "bins", "step_matrix"}
MODULES = {name: importlib.import_module(f"alrp_ref.paper.{name}") for name in sorted(FILES)}
LOSSES = (losses._alrp_loss, losses._ap_loss)
CHECKS = {"theorem_1", "theorem_2"}  # the two theorems check a loss; they are no part of it
DEVICES = {"has_nonzero_static"}
OF_TORCH = {"extra_repr", "get_extra_state", "set_extra_state"}  # torch.nn.Module's, for printing and for saving


def public_functions() -> dict[str, Callable]:
    """By their names, `file.function`; the methods of modules with the functions."""
    found = {}
    for file, module in MODULES.items():
        for name, value in vars(module).items():
            if name.startswith("_") or name in CHECKS | DEVICES or getattr(value, "__module__", "") != module.__name__:
                continue
            if inspect.isfunction(value):
                found[f"{file}.{name}"] = value
            elif inspect.isclass(value) and issubclass(value, torch.nn.Module):
                methods = {key: method for key, method in vars(value).items() if inspect.isfunction(method)}
                public = {key: m for key, m in methods.items() if not key.startswith("_") and key not in OF_TORCH}
                found |= {f"{file}.{name}.{key}": method for key, method in public.items()}
    return found


def run_the_losses() -> dict[str, torch.Tensor]:
    """Both losses with each of their options, on lists of one crowd: the values and the gradients."""
    ex = random(20, 200, 10)
    truth = torch.tensor([0.0, 0.0, 10.0, 10.0], dtype=torch.float64).expand(20, 4)
    boxes = truth + torch.rand(20, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    found = {}
    for loc_step, error in (("hard", alrp_ref.iou_error), ("smoothed", alrp_ref.giou_error)):
        logits = ex.logits.clone().requires_grad_()
        criterion = alrp_ref.ALRPLoss(period=1, loc_step=loc_step)
        with criterion.self_balance.accumulate():  # a micro-batch, after which the weight is renewed
            criterion(logits, ex.targets, error(boxes, truth))
        out = criterion(logits, ex.targets, error(boxes, truth))
        out.total.backward()
        found |= {f"aLRP, {loc_step}": out.total.detach(), f"aLRP, {loc_step}, gradient": logits.grad}
    for interpolated in (True, False):
        logits = ex.logits.clone().requires_grad_()
        loss = alrp_ref.APLoss(interpolated=interpolated)(logits, ex.targets)
        loss.backward()
        found |= {f"AP, {interpolated}": loss.detach(), f"AP, {interpolated}, gradient": logits.grad}
    return found


def test_the_losses_execute_every_public_function_of_the_papers_files():
    """A trace of both losses meets them all."""
    executed = set()
    sys.setprofile(lambda frame, event, _: executed.add(frame.f_code) if event == "call" else None)
    try:
        run_the_losses()
    finally:
        sys.setprofile(None)
    unused = [
        name for name, function in public_functions().items() if inspect.unwrap(function).__code__ not in executed
    ]
    assert not unused


def changed(result: object) -> object:
    """The result with every number in it half as large again."""
    if isinstance(result, torch.Tensor):
        return result if not result.is_floating_point() else 1.5 * result
    if isinstance(result, StepMatrix | float):
        return result * 1.5
    of_fields = map(changed, result)
    return type(result)(*of_fields) if hasattr(result, "_fields") else tuple(of_fields)


@pytest.mark.parametrize("name", [name for name in public_functions() if name.count(".") == 1])
def test_changing_a_function_changes_a_loss(name, monkeypatch):
    """Whoever edits a formula sees it in a value or in a gradient."""
    before, function = run_the_losses(), public_functions()[name]

    def edited(*args, **kwargs):
        return changed(function(*args, **kwargs))

    for loss in LOSSES:
        if loss.formula is function:
            monkeypatch.setattr(loss, "formula", edited)
    for module in [alrp_ref, ranking_loss, *MODULES.values()]:
        for key, value in list(vars(module).items()):
            if value is function:
                monkeypatch.setattr(module, key, edited)
    assert any(not torch.equal(value, before[key]) for key, value in run_the_losses().items())
