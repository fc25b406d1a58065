"""The judge itself: against plain Python loops over the formulas, and literal numbers."""

import ast
import inspect

import pytest
import torch
from hypothesis import given
from lists import Examples, assert_close, examples, loss_and_gradient, make

import alrp_ref
from alrp_ref.paper import pairwise


def test_it_imports_torch_and_nothing_of_the_package():
    """What it is compared with cannot influence it."""
    tree = ast.parse(inspect.getsource(pairwise))
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    imported |= {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert imported == {"torch", "typing"}


@pytest.mark.parametrize("name", ["alrp_loss", "ap_loss", "rank_sort_loss"])
def test_its_losses_are_called_like_the_fast_ones(name):
    """Same arguments, same order, same defaults; but the judge waits for values, and knows of no other process."""
    fast, judge = (inspect.signature(getattr(module, name)).parameters for module in (alrp_ref, pairwise))
    of_one_process = [p for p in fast.values() if p.name not in ("rank_scope", "num_positives")]
    assert [(p.name, p.kind, p.default) for p in judge.values()] == [
        (p.name, p.kind, p.default) for p in of_one_process
    ]


def test_ranks_that_can_be_counted_by_eye():
    """Between steps, ranks count: here positives 3 and 1, negatives 4, 2 and 0."""
    s_pos, s_neg = torch.tensor([3.0, 1.0]), torch.tensor([4.0, 2.0, 0.0])
    assert pairwise.differences(s_pos, s_neg).tolist() == [[1, -1, -3], [3, 1, -1]]
    assert pairwise.rank_pos(s_pos, delta=0.5).tolist() == [1, 2]
    assert pairwise.n_fp(s_pos, s_neg, delta=0.5).tolist() == [1, 2]
    assert pairwise.rank(s_pos, s_neg, delta=0.5).tolist() == [2, 4]


def test_on_the_ramp_a_negative_counts_in_part():
    """At x = 0 a negative counts 1/2, at x = -delta / 2 it counts 1/4."""
    assert pairwise.n_fp(torch.tensor([1.0]), torch.tensor([1.0, 0.5]), delta=1.0).item() == 0.75


def test_primary_terms_share_out_each_error():
    """Row i of the primary terms sums to l(i)."""
    ell, p = torch.tensor([0.5, 0.2]), torch.tensor([[0.25, 0.75], [1.0, 0.0]])
    assert_close(pairwise.primary_terms(ell, p), torch.tensor([[0.125, 0.375], [0.2, 0.0]]), 1e-7)


def test_gradients_are_row_and_column_sums_of_the_update():
    """A positive keeps its row of the update, a negative its column, with the signs of a descent."""
    ell, ell_star, p = torch.tensor([0.5, 0.2]), torch.tensor([0.1, 0.2]), torch.tensor([[0.25, 0.75], [1.0, 0.0]])
    positives, negatives = pairwise.gradient(ell, ell_star, p)
    assert_close(positives, torch.tensor([-0.2, 0.0]), 1e-7)
    assert_close(negatives, torch.tensor([0.05, 0.15]), 1e-7)


def test_a_carried_value_keeps_its_number_and_has_the_given_slope():
    """`attach_gradient` changes no value, and its backward pass leaves exactly the gradients it was given."""
    logits = torch.tensor([1.0, 2.0, 3.0, 4.0], requires_grad=True)
    value = torch.tensor(0.25, dtype=torch.float64)
    grad = (torch.tensor([-0.5], dtype=torch.float64), torch.tensor([0.125, 0.375], dtype=torch.float64))
    out = pairwise.attach_gradient(value, logits, torch.tensor([0, 1, -1, 0]), grad)
    out.backward()
    assert out.item() == 0.25
    assert logits.grad.tolist() == [0.125, -0.5, 0.0, 0.375]


def test_nothing_is_a_zero_with_a_gradient_of_zeros():
    """The loss of a list without positives is zero and can be derived."""
    x = torch.ones(3, requires_grad=True)
    pairwise.zero_loss(x).backward()
    assert pairwise.zero_loss(x).item() == 0
    assert x.grad.tolist() == [0, 0, 0]


def test_interpolated_precision_is_the_best_from_here_down():
    """Precision at a positive becomes the largest at it or at any positive scored lower."""
    precision = torch.tensor([0.5, 0.6, 0.4, 0.3])
    s_pos = torch.tensor([4.0, 3.0, 2.0, 1.0])
    assert pairwise.interpolate(precision, s_pos).tolist() == precision[[1, 1, 2, 3]].tolist()


def test_of_tied_positives_the_later_one_counts_first():
    """The hard order is by score; of a tie the later positive stands above, as in the release."""
    assert pairwise.hard_order(torch.tensor([1.0, 2.0, 1.0])).tolist() == [[0, 1, 1], [0, 0, 0], [0, 1, 0]]


def h(x: float, delta: float) -> float:
    return min(max(x / (2 * delta) + 0.5, 0.0), 1.0)


def alrp_by_loops(ex: Examples) -> tuple[float, float, torch.Tensor]:
    """L_cls, smoothed L_loc and the score gradient of aLRP Loss, one pair at a time."""
    s, y, delta = ex.logits.tolist(), ex.targets.tolist(), ex.delta
    positives, negatives = ([i for i, t in enumerate(y) if t == label] for label in (1, 0))
    e_loc = dict(zip(positives, ex.loc_errors.tolist(), strict=True))
    cls, loc, grad = 0.0, 0.0, [0.0] * len(s)
    for i in positives:
        n_fp = sum(h(s[j] - s[i], delta) for j in negatives)
        rank = 1 + sum(h(s[k] - s[i], delta) for k in positives if k != i) + n_fp
        e_above = sum(e_loc[k] * h(s[k] - s[i], delta) for k in positives if k != i)
        cls += n_fp / rank / len(positives)
        loc += (e_loc[i] + e_above) / rank / len(positives)
        for j in negatives if n_fp > 1e-5 else []:
            delta_x_ij = -(n_fp + e_above) / rank * h(s[j] - s[i], delta) / n_fp
            grad[i] += delta_x_ij / len(positives)
            grad[j] -= delta_x_ij / len(positives)
    return cls, loc, torch.tensor(grad, dtype=torch.float64)


def ap_by_loops(ex: Examples, interpolated: bool) -> tuple[float, torch.Tensor]:
    """AP Loss and its gradient, one pair at a time; interpolation walks the positives upwards."""
    s, y, delta = ex.logits.tolist(), ex.targets.tolist(), ex.delta
    positives, negatives = ([i for i, t in enumerate(y) if t == label] for label in (1, 0))
    loss, best, grad = 1.0, 0.0, [0.0] * len(s)
    for i in sorted(positives, key=lambda i: s[i]):
        n_fp = sum(h(s[j] - s[i], delta) for j in negatives)
        rank_pos = 1 + sum(h(s[k] - s[i], delta) for k in positives if k != i)
        precision = rank_pos / (rank_pos + n_fp)
        best = max(best, precision) if interpolated else precision
        loss -= best / len(positives)
        for j in negatives if n_fp > 0 else []:
            delta_x_ij = -(1 - best) * h(s[j] - s[i], delta) / n_fp
            grad[i] += delta_x_ij / len(positives)
            grad[j] -= delta_x_ij / len(positives)
    return loss, torch.tensor(grad, dtype=torch.float64)


@given(examples())
def test_alrp_is_the_formula_pair_by_pair(ex):
    """Matrices give what loops over the pairs give: both components, and the gradient of the update."""
    cls, loc, grad = alrp_by_loops(ex)
    out = pairwise.alrp_loss(ex.logits, ex.targets, ex.loc_errors, delta=ex.delta, loc_step="smoothed")
    assert_close(out.cls, cls)
    assert_close(out.loc, loc)
    assert_close(loss_and_gradient(pairwise.alrp_loss, ex)[1], grad)


@given(examples())
def test_the_hard_localisation_part_is_a_running_sum(ex):
    """Positives sorted by score, running sum of their errors over the rank; of a tie, the later one first."""
    out = pairwise.alrp_loss(ex.logits, ex.targets, ex.loc_errors, delta=ex.delta)
    best_first = sorted(range(len(ex.s_pos)), key=lambda i: (ex.s_pos[i].item(), i), reverse=True)
    loc, running = 0.0, 0.0
    for i in best_first:
        running += ex.loc_errors[i].item()
        loc += running / out.rank[i].item() / len(best_first)
    assert_close(out.loc, loc)


@pytest.mark.parametrize("interpolated", [True, False])
@given(ex=examples())
def test_ap_is_the_formula_pair_by_pair(ex, interpolated):
    """Matrices give what loops over the pairs give: the loss, and the gradient of the update."""
    loss, grad = ap_by_loops(ex, interpolated)
    value, actual = loss_and_gradient(pairwise.ap_loss, ex, interpolated=interpolated)
    assert_close(value, loss)
    assert_close(actual, grad)


def test_without_positives_it_is_zero_and_connected():
    """A list without positives costs nothing and moves nothing, but `backward` works."""
    ex = make([1.0, 2.0], [0, -1])
    logits, loc_errors = ex.logits.requires_grad_(), ex.loc_errors.requires_grad_()
    out = pairwise.alrp_loss(logits, ex.targets, loc_errors)
    total = out.cls + out.loc + pairwise.ap_loss(logits, ex.targets)
    total.backward()
    assert total.item() == 0 and out.rank.shape == (0,)
    assert logits.grad.tolist() == [0, 0] and loc_errors.grad.shape == (0,)
