"""One ranking over all processes is the loss of the whole list, on however many processes it lies."""

import pytest
import torch
from lists import assert_close, random
from processes import in_processes
from torch import distributed

from alrp_ref import ALRPLoss, alrp_loss, ap_loss

pytestmark = pytest.mark.skipif(not distributed.is_available(), reason="this torch has no torch.distributed")

LIST = random(9, 300, 20)
# Where each of three processes' shares end: many positives, none at all, the rest.
ENDS = (0, 200, 230, len(LIST.logits))


def share(rank: int):
    """The part of LIST on one process; the second one is left without positives."""
    targets = LIST.targets.clone()
    targets[ENDS[1] : ENDS[2]].clamp_(max=0)
    errors = torch.zeros(len(targets), dtype=torch.float64)
    errors[targets == 1] = LIST.loc_errors[: int((targets == 1).sum())]
    mine = slice(ENDS[rank], ENDS[rank + 1]) if rank is not None else slice(None)
    return LIST.logits[mine].clone().requires_grad_(), targets[mine], errors[mine][targets[mine] == 1].requires_grad_()


def losses_and_gradients(rank: int | None, loss, options: dict) -> dict[str, torch.Tensor]:
    logits, targets, errors = share(rank)
    if loss is alrp_loss:
        out = alrp_loss(logits, targets, errors, **options)
        (out.cls + 3 * out.loc).backward()
        values = {"cls": out.cls, "loc": out.loc, "rank": out.rank, "errors": errors.grad}
    else:
        value = ap_loss(logits, targets, **options)
        value.backward()
        values = {"loss": value}
    return {name: value.detach() for name, value in values.items()} | {"logits": logits.grad}


CASES = {
    "aLRP": (alrp_loss, {"rank_scope": "global"}),
    "aLRP, smoothed": (alrp_loss, {"rank_scope": "global", "loc_step": "smoothed"}),
    "AP": (ap_loss, {"rank_scope": "global"}),
    "AP, narrow": (ap_loss, {"rank_scope": "global", "delta": 0.2}),
    "its own": (alrp_loss, {}),
}


def one_of_three(rank: int, folder: str) -> None:
    distributed.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=3)
    torch.save({name: losses_and_gradients(rank, *case) for name, case in CASES.items()}, f"{folder}/{rank}")
    distributed.destroy_process_group()


@pytest.fixture(scope="module")
def on_three_processes(tmp_path_factory) -> list[dict[str, dict[str, torch.Tensor]]]:
    """What each process gets, in every case."""
    folder = tmp_path_factory.mktemp("processes")
    in_processes(one_of_three, 3, folder)
    return [torch.load(folder / str(rank)) for rank in range(3)]


@pytest.mark.parametrize("case", [name for name, (_, options) in CASES.items() if options])
def test_global_ranking_is_one_process_on_the_whole_list(on_three_processes, case):
    """Each process gets the loss of all, the ranks of its own positives, and thrice its part of the gradient."""
    for name, value in losses_and_gradients(None, *CASES[case]).items():
        of_parts = [part[case][name] for part in on_three_processes]
        if value.ndim == 0:
            assert_close(torch.stack(of_parts), value.expand(3))
        elif name == "rank":
            assert_close(torch.cat(of_parts), value)
        else:  # the mean over processes, which DistributedDataParallel takes, divides by three again
            assert_close(torch.cat(of_parts) / 3, value)


def test_a_process_ranks_its_own_unless_told_otherwise(on_three_processes):
    """With the default nothing depends on the other processes."""
    for rank, part in enumerate(on_three_processes):
        alone = losses_and_gradients(rank, *CASES["its own"])
        assert all(torch.equal(part["its own"][name], value) for name, value in alone.items())


def test_alone_both_scopes_are_the_same():
    """Without other processes there is nobody to rank with."""
    for name, value in losses_and_gradients(None, alrp_loss, {"rank_scope": "global"}).items():
        assert torch.equal(value, losses_and_gradients(None, alrp_loss, {})[name])


def test_bad_input_is_named():
    """A ValueError that names the argument and what it got."""
    for call in (
        lambda: ALRPLoss(1, rank_scope="all")(*share(None)),
        lambda: ap_loss(*share(None)[:2], rank_scope="all"),
    ):
        with pytest.raises(ValueError, match='rank_scope must be "process" or "global", got \'all\''):
            call()
