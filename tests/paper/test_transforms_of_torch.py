"""The losses inside torch's own transforms: compile, export, func, CUDA graphs; and what checkpointing does."""

import pytest
import torch
from lists import assert_close
from torch._dynamo.backends.registry import lookup_backend
from torch.utils.checkpoint import checkpoint

from alrp_ref import ALRPLoss, alrp_loss, ap_loss, checks, flatten_batch

POSITIVES = 20


def batch(positives=POSITIVES, device="cpu"):
    logits = torch.randn(2000, dtype=torch.float64, device=device)
    targets = torch.zeros(2000, dtype=torch.int8, device=device)
    targets[torch.randperm(2000)[:positives]] = 1
    return logits, targets, torch.rand(positives, dtype=torch.float64, device=device)


def total(logits, targets, loc_errors):
    out = alrp_loss(logits, targets, loc_errors)
    return out.cls + 50 * out.loc


def ap(logits, targets, loc_errors):
    return ap_loss(logits, targets, num_positives=POSITIVES)


LOSSES = pytest.mark.parametrize("loss", [total, ap])


def gradients(loss, logits, targets, loc_errors):
    leaves = [x.clone().requires_grad_() for x in (logits, loc_errors)]
    loss(leaves[0], targets, leaves[1]).backward()
    return [torch.zeros_like(x) if x.grad is None else x.grad for x in leaves]


class Compilations:
    """A backend for `torch.compile` that counts how often it is asked."""

    def __init__(self):
        self.count = 0

    def __call__(self, graph, inputs):
        self.count += 1
        return lookup_backend("aot_eager")(graph, inputs)


def labelled_batch(positives):
    """Logits, labels, boxes and target boxes of two images with 50 anchors and 4 classes."""
    logits, labels = torch.randn(2, 50, 4, dtype=torch.float64), torch.full((2, 50), -1)
    labels.view(-1)[torch.randperm(100)[:positives]] = torch.randint(4, (positives,))
    truth = torch.tensor([10.0, 10.0, 60.0, 40.0], dtype=torch.float64).expand(2, 50, 4)
    return logits, labels, truth + torch.randn(2, 50, 4, dtype=torch.float64), truth


def of_a_batch(logits, labels, boxes, target_boxes):
    out = alrp_loss(*flatten_batch(2 * logits, labels, boxes, target_boxes))
    return out.cls + 50 * out.loc


def boxes_of_positives(positives):
    logits, labels, boxes, truth = labelled_batch(positives)
    return logits, labels, boxes[labels >= 0], truth[labels >= 0]


STEPS = {
    "alrp_loss": (lambda x, t, e: total(1.5 * x, t, e), batch),
    "ap_loss": (lambda x, t, e: ap_loss(1.5 * x, t), batch),
    "ap_loss, the number known": (lambda x, t, e: ap_loss(1.5 * x, t, num_positives=len(e)), batch),
    "flatten_batch, all boxes": (of_a_batch, labelled_batch),
    "flatten_batch, boxes of positives": (of_a_batch, boxes_of_positives),
}


@pytest.mark.parametrize("dynamic", [None, True], ids=["automatic", "dynamic"])
@pytest.mark.parametrize("name", STEPS)
def test_a_loss_compiles_twice_for_all_numbers_of_positives(name, dynamic):
    """`torch.compile(fullgraph=True)` over batches of 3 to 31 positives gives what eager mode gives."""
    step, data = STEPS[name]
    torch._dynamo.reset()
    backend = Compilations()
    compiled = torch.compile(step, fullgraph=True, backend=backend, dynamic=dynamic)
    for positives in range(3, 33, 4):
        inputs, results = data(positives), []
        for run in (compiled, step):
            leaves = [x.clone().requires_grad_() if x.is_floating_point() else x for x in inputs]
            loss = run(*leaves)
            loss.backward()
            results.append([loss, *(x.grad for x in leaves if x.is_floating_point() and x.grad is not None)])
        assert len(results[0]) >= 2
        for found, wanted in zip(*results, strict=True):
            assert_close(found, wanted, 1e-12)
    assert backend.count <= 2


@LOSSES
def test_a_loss_under_vmap_says_that_it_ranks_one_list(loss):
    """And not that something in it depends on data."""
    with pytest.raises(NotImplementedError, match="ranks one list, and has no vmap: call it once for each list"):
        torch.vmap(loss)(*(x[None] for x in batch()))


@LOSSES
def test_a_gradient_penalty_is_refused(loss):
    """A penalty on the gradient of the scores is an error, alone and added to the loss, and not a silent zero."""
    logits, targets, loc_errors = batch()
    for alone in (False, True):
        value = loss(logits.requires_grad_(), targets, loc_errors)
        (gradient,) = torch.autograd.grad(value, logits, create_graph=True)
        penalty = gradient.square().sum()
        with pytest.raises(RuntimeError, match="no second derivative"):
            (penalty if alone else value + penalty).backward()
    value.backward()  # without a penalty all is as it was


def test_the_parts_have_graphs_of_their_own():
    """`loc.backward()` after `cls.backward()` needs no `retain_graph`."""
    logits, targets, loc_errors = batch()
    out = alrp_loss(logits.requires_grad_(), targets, loc_errors.requires_grad_())
    out.cls.backward()
    assert loc_errors.grad is None
    out.loc.backward()
    assert loc_errors.grad.any()


@LOSSES
def test_both_losses_have_gradients_in_torch_func(loss):
    """`torch.func.grad` and `grad_and_value` give what `backward()` gives."""
    logits, targets, loc_errors = batch()
    found, value = torch.func.grad_and_value(loss, argnums=(0, 2))(logits, targets, loc_errors)
    assert value == loss(logits, targets, loc_errors)
    assert all(map(torch.equal, found, gradients(loss, logits, targets, loc_errors)))


@LOSSES
def test_both_losses_export(loss):
    """`torch.export` makes a program that gives the same loss on other data."""

    class Criterion(torch.nn.Module):
        def forward(self, logits, targets, loc_errors):
            return loss(logits, targets, loc_errors)

    program = torch.export.export(Criterion(), batch())
    data = batch()
    assert_close(program.module()(*data), loss(*data), 1e-12)


def test_the_number_of_positives_is_checked():
    """A wrong number is an error that says the right one; no number and the right number give the same loss."""
    logits, targets, _ = batch()
    assert ap_loss(logits, targets, num_positives=POSITIVES) == ap_loss(logits, targets)
    for wrong in (POSITIVES - 1, POSITIVES + 1, 0):
        with pytest.raises(ValueError, match="num_positives must be the 20 positives"):
            ap_loss(logits, targets, num_positives=wrong)
    for wrong in (-1, True, 2.0):
        with pytest.raises(ValueError, match="num_positives must be a number"):
            ap_loss(logits, targets, num_positives=wrong)


def test_on_a_gpu_a_wrong_number_of_positives_makes_the_loss_nan(monkeypatch):
    """Nothing waits for the count there."""
    monkeypatch.setattr(checks, "is_asynchronous", lambda tensor: True)
    logits, targets, _ = batch()
    assert ap_loss(logits, targets, num_positives=POSITIVES - 1).isnan()
    assert ap_loss(logits, targets, num_positives=POSITIVES).isfinite()


def test_the_weight_stays_in_its_memory():
    """The self-balance writes weight and window in place, as a captured CUDA graph needs, and returns copies."""
    criterion, data = ALRPLoss(period=1).double(), batch()
    balance = criterion.self_balance
    memory = balance.weight.data_ptr(), balance.window.data_ptr()
    first = criterion(data[0].clone().requires_grad_(), *data[1:])
    kept = first.loc_weight.clone()
    criterion(*(x.requires_grad_() if x.is_floating_point() else x for x in batch()))
    assert (balance.weight.data_ptr(), balance.window.data_ptr()) == memory
    assert first.loc_weight == kept and balance.weight != kept
    first.total.backward()


@pytest.mark.parametrize("use_reentrant", [False, True])
def test_checkpointing_the_model_counts_a_step_once(use_reentrant):
    """With `torch.utils.checkpoint` around the model, as the docstring asks, three steps count as three."""
    criterion, (logits, targets, loc_errors) = ALRPLoss(period=None), batch()
    weight = torch.ones((), dtype=torch.float64, requires_grad=True)
    for _ in range(3):
        scores = checkpoint(lambda x: weight * x, logits.requires_grad_(), use_reentrant=use_reentrant)
        criterion(scores, targets, loc_errors).total.backward()
    assert criterion.self_balance.window[2] == 3 and weight.grad.isfinite()


@pytest.mark.gpu
def test_a_step_is_captured_in_a_cuda_graph():
    """Replays on new data give the losses, gradients and weights of the same calls, over the end of two windows."""
    captured, plain = ALRPLoss(period=2).cuda().double(), ALRPLoss(period=2).cuda().double()
    logits, targets, loc_errors = batch(device="cuda")
    logits, loc_errors = logits.requires_grad_(), loc_errors.requires_grad_()

    def step(criterion):
        loss = criterion(logits, targets, loc_errors).total
        gradients = torch.autograd.grad(loss, (logits, loc_errors))
        return loss.detach(), *gradients  # a loss with its graph would keep nodes of the stream it was made on

    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        step(ALRPLoss(period=2).cuda().double())  # torch asks for a warm-up
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        results = step(captured)
    captured.load_state_dict(plain.state_dict())
    for _ in range(5):
        with torch.no_grad():
            for tensor, new in zip((logits, targets, loc_errors), batch(device="cuda"), strict=True):
                tensor.copy_(new)
        graph.replay()
        for of_graph, of_call in zip(results, step(plain), strict=True):
            assert_close(of_graph, of_call, 1e-12)
        assert torch.equal(captured.self_balance.weight, plain.self_balance.weight)
