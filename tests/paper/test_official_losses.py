"""Both losses against the numbers of the official release: 33 lists, to 1e-12 in float64."""

import numpy as np
import pytest
import torch
from lists import Examples, assert_close, loss_and_gradient

import alrp_ref
from alrp_ref.paper import pairwise

BOTH_PATHS = pytest.mark.parametrize("path", [alrp_ref, pairwise], ids=["fast", "pairwise"])
EACH_CASE = pytest.mark.parametrize("number", range(33))


def given(case: dict[str, torch.Tensor]) -> Examples:
    return Examples(case["logits"], case["targets"], case["loc_errors"], case["delta"].item())


@BOTH_PATHS
@EACH_CASE
def test_official_alrp_loss_ranks_and_gradient(official_cases, number, path):
    """The classification part, the ranks and the score gradient of aLRP Loss are the release's."""
    case = official_cases[number]
    ex = given(case)
    out = path.alrp_loss(ex.logits, ex.targets, ex.loc_errors, delta=ex.delta)
    _, grad = loss_and_gradient(path.alrp_loss, ex)
    assert_close(out.cls, case["alrp_cls"])
    assert_close(out.rank, case["rank"])
    assert_close(grad, case["alrp_grad"])


@BOTH_PATHS
@EACH_CASE
def test_official_alrp_localisation_part(official_cases, number, path):
    """The localisation part is the release's, where that does not hang on an unstable sort of ties."""
    case = official_cases[number]
    ex = given(case)
    loc = path.alrp_loss(ex.logits, ex.targets, ex.loc_errors, delta=ex.delta).loc
    if case["alrp_loc"].isnan():
        # The release resolved these ties by chance; we count the later of two tied positives first.
        assert ex.s_pos.unique().numel() < ex.s_pos.numel()
        order = torch.tensor(sorted(range(len(ex.s_pos)), key=lambda i: (ex.s_pos[i].item(), i), reverse=True))
        assert_close(loc, (ex.loc_errors[order].cumsum(0) / case["rank"][order]).mean())
    else:
        assert_close(loc, case["alrp_loc"])


@BOTH_PATHS
@EACH_CASE
def test_official_ap_loss_and_gradient(official_cases, number, path):
    """AP Loss, with interpolated precision, and its gradient are the release's."""
    case = official_cases[number]
    value, grad = loss_and_gradient(path.ap_loss, given(case))
    assert_close(value, case["ap"])
    assert_close(grad, case["ap_grad"])


@EACH_CASE
def test_official_losses_in_float32_are_those_in_float64(official_cases, number):
    """From logits in float32, losses, ranks (relative) and gradients are within 1e-5 of float64."""
    case = official_cases[number]
    ex = given(case)
    single = ex._replace(logits=ex.logits.float(), loc_errors=ex.loc_errors.float())
    out = alrp_ref.alrp_loss(single.logits, single.targets, single.loc_errors, delta=ex.delta)
    assert {part.dtype for part in out} == {torch.float32}
    assert_close(out.rank, case["rank"], 1e-5)
    if not case["alrp_loc"].isnan():
        assert_close(out.loc, case["alrp_loc"], 1e-5)
    for loss, name in ((alrp_ref.alrp_loss, "alrp"), (alrp_ref.ap_loss, "ap")):
        value, grad = loss_and_gradient(loss, single)
        assert_close(value, case.get(f"{name}_cls", case.get(name)), 1e-5)
        assert_close(grad, case[f"{name}_grad"], 1e-5)


def test_official_numbers_are_a_true_copy(official, official_cases):
    """The numbers in the package are those the release gave."""
    with np.load(official / "loss_cases.npz") as original:
        assert sorted(original.files) == sorted(f"{k}/{f}" for k, c in enumerate(official_cases) for f in c)
        for key in original.files:
            number, field = key.split("/")
            assert np.array_equal(original[key], official_cases[int(number)][field].numpy(), equal_nan=True)
