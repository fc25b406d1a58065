"""aLRP, AP and RS Loss as others compute them: one positive after the other, or with buckets of negatives.

Both form the step functions of some positives against all that they are compared with, and add up. They differ in what
they are compared with: the loop of the official releases takes one positive and every negative that any positive can
see; the bucketed losses take the negatives between two neighbouring positives as one, at their mean.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from alrp_ref.paper.pairwise import step

ROWS = 1 << 20
"""Pairs that the bucketed losses form at a time: 4 MiB in float32."""


class Result(NamedTuple):
    """A loss, and its gradient on the scores of the positives and of the negatives."""

    value: Tensor
    on_pos: Tensor
    on_neg: Tensor


class Rows(NamedTuple):
    """Of some positives i: their terms of the loss, and the errors that others share, by whom.

    `by_neg` falls on the negatives above; `by_pos` on the positives, in proportion to `h_missorted`.
    """

    value: Tensor
    by_neg: Tensor
    by_pos: Tensor | None = None
    h_missorted: Tensor | None = None


class Loss(NamedTuple):
    """What a loss says of some positives, from H over the positives (I, |P|), N_FP (I,), their places, and numbers."""

    rows: Callable[[Tensor, Tensor, Tensor, Tensor], Rows]
    delta: float
    negligible: float = 0.0
    interpolated: bool = False


def alrp_rows(h_ik: Tensor, n_fp: Tensor, i: Tensor, errors: Tensor) -> Rows:
    """aLRP Loss: a positive counts itself as 1, of which H(0) is one half."""
    rank = h_ik.sum(1) + 0.5 + n_fp
    return Rows(n_fp / rank, (n_fp + h_ik @ errors - errors[i] / 2) / rank)


def ap_rows(h_ik: Tensor, n_fp: Tensor, i: Tensor, _: Tensor) -> Rows:
    """AP Loss, before precision is interpolated."""
    error = n_fp / (h_ik.sum(1) + 0.5 + n_fp)
    return Rows(error, error)


def rank_sort_rows(h_ik: Tensor, n_fp: Tensor, i: Tensor, ious: Tensor) -> Rows:
    """RS Loss: the ranking error goes to negatives, the sorting error to the positives above with a smaller IoU."""
    rank_pos, h_missorted = h_ik.sum(1), h_ik * (ious < ious[i, None])
    h_sorted = h_ik - h_missorted
    ranking = n_fp / (rank_pos + n_fp)
    sorting = h_ik @ (1 - ious) / rank_pos - h_sorted @ (1 - ious) / h_sorted.sum(1)
    return Rows(ranking + sorting, ranking, sorting, h_missorted)


LOSSES = {
    "aLRP": Loss(alrp_rows, delta=1.0, negligible=1e-5),
    "AP": Loss(ap_rows, delta=1.0, interpolated=True),
    "RS": Loss(rank_sort_rows, delta=0.5, negligible=1e-10),
}
"""With the half widths of their releases."""


def loop(loss: Loss, s_pos: Tensor, s_neg: Tensor, numbers: Tensor, most: int | None = None) -> Result:
    """One positive after the other, as in the releases; without the negatives that lie below all positives.

    `most` stops after so many positives, to see what one of them takes.
    """
    seen = s_neg >= s_pos.min() - loss.delta
    value, on_pos, on_seen = by_rows(loss, s_pos, s_neg[seen], None, numbers, size=1, most=most)
    return Result(value, on_pos, torch.zeros_like(s_neg).masked_scatter(seen, on_seen))


def buckets(loss: Loss, s_pos: Tensor, s_neg: Tensor, numbers: Tensor) -> Result:
    """The negatives between two neighbouring positives stand together at their mean: |P| + 1 of them, with counts."""
    bucket = torch.searchsorted(s_pos.sort().values, s_neg)
    count = torch.bincount(bucket, minlength=len(s_pos) + 1).to(s_neg)
    mean = torch.zeros_like(count).index_add(0, bucket, s_neg) / count.clamp(min=1)
    size = max(1, ROWS // len(count))
    value, on_pos, on_each = by_rows(loss, s_pos, mean, count, numbers, size)
    return Result(value, on_pos, on_each[bucket])


def by_rows(
    loss: Loss, s_pos: Tensor, s_neg: Tensor, count: Tensor | None, numbers: Tensor, size: int, most: int | None = None
) -> Result:
    """The loss with `count` negatives at each score of `s_neg`, from the lowest positive up, `size` of them at a time.

    The gradient is that on one negative of each score.
    """
    on_pos, on_neg = torch.zeros_like(s_pos), torch.zeros_like(s_neg)
    values, best = [], s_pos.new_full((1,), torch.inf)
    for i in s_pos.argsort()[:most].split(size):
        h_ik, h_ij = (step(others - s_pos[i, None], loss.delta) for others in (s_pos, s_neg))
        n_fp = h_ij.sum(1) if count is None else h_ij @ count
        value, by_neg, by_pos, h_missorted = loss.rows(h_ik, n_fp, i, numbers)
        if loss.interpolated:  # the least error of any positive from here down
            value = by_neg = torch.cat([best, value]).cummin(0).values[1:]
            best = value[-1:]
        shared = by_neg / torch.where(n_fp > loss.negligible, n_fp, torch.inf)
        on_neg += shared @ h_ij
        on_pos[i] -= torch.where(n_fp > loss.negligible, by_neg, 0)
        if h_missorted is not None:
            total = h_missorted.sum(1)
            by_pos = torch.where(total > loss.negligible, by_pos, 0)
            on_pos[i] -= by_pos
            on_pos += by_pos / torch.where(total > loss.negligible, total, torch.inf) @ h_missorted
        values.append(value)
    return Result(torch.cat(values).mean(), on_pos / len(s_pos), on_neg / len(s_pos))
