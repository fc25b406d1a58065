r"""Rank & Sort Loss (RS Loss), in the framework of Section 3. It came after aLRP Loss and is *not* of this paper.

aLRP Loss stops moving the scores of two positives once no negative stands above them, even if the worse box is scored
higher. RS Loss goes on: it compares positives with each other, and sorts them by the IoUs of their boxes.

==============  =========================================================================  ============
`y`             :math:`y_i`, the IoU of the box of a positive with its object              (|P|,)
`h`             :math:`H(x_{ik})` over all pairs of positives, 1/2 at `k = i`              (|P|, |P|)
`ell_sort`      :math:`\ell_S(i)`, the mean 1 - IoU at `i` and above                       (|P|,)
==============  =========================================================================  ============

Three things differ from aLRP Loss. A positive counts itself as :math:`H(0) = \frac12`, not as 1. The half width of the
step is 0.5. And the error is used as it is ("identity update"): the target of a sorting error is the error in the right
order, and the primary terms are made of their difference.

Source: Rank & Sort Loss for Object Detection and Instance Segmentation (Oksuz, Cam, Akbas and Kalkan, ICCV 2021), and
its release (`kemaloksuz/RankSortLoss`).
"""

import torch
from torch import Tensor

from alrp_ref.paper.ap import precision_error
from alrp_ref.paper.error_driven import Gradient, Part, distribution, gradient
from alrp_ref.paper.localisation import iou_error
from alrp_ref.paper.ranking import Ranks, step

NEGLIGIBLE = 1e-10
"""As in the release, an error is not shared by pairs whose H sum to no more than this."""

PAIRS = {"cpu": 1 << 18, "cuda": 1 << 24}
"""Pairs of positives that are formed at a time, by device: 2 MiB, which stay in a cache, or 128 MiB in few launches."""


def sorting_error(h: Tensor, y: Tensor) -> Tensor:
    r"""The mean 1 - IoU of the positives at `i` and above.

    .. math:: \ell_S(i) = \frac{\sum_{k \in \mathcal P} H(x_{ik}) (1 - y_k)}{\mathrm{rank}^+(i)}, \qquad
              \mathrm{rank}^+(i) = \sum_{k \in \mathcal P} H(x_{ik})

    Shape: `h` (I, |P|), `y` (|P|,) -> (I,), for some of the positives i.
    Source: RS Loss (ICCV 2021), the sorting error.
    """
    return h @ (1 - y) / h.sum(1)


def target_sorting_error(h: Tensor, y: Tensor, y_i: Tensor) -> Tensor:
    r"""The same mean over those above with an IoU that is no worse: the error of `i` in the right order.

    .. math:: \ell_S^*(i) = \frac{\sum_{k \in \mathcal P} H(x_{ik})\, [y_k \ge y_i]\, (1 - y_k)}
              {\sum_{k \in \mathcal P} H(x_{ik})\, [y_k \ge y_i]}

    Shape: `h` (I, |P|), `y` (|P|,), `y_i` (I,) -> (I,).
    Source: RS Loss (ICCV 2021), the target of the sorting error.
    """
    return sorting_error(h * (y >= y_i[:, None]), y)


def paired_ious(pred: Tensor, target: Tensor) -> Tensor:
    r"""The IoU of each box with its object: what RS Loss sorts by. For the `loc_error` of `alrp_ref.flatten_batch`.

    Args, shape, errors: as for `alrp_ref.iou_error`.
    Source: RS Loss (ICCV 2021).
    """
    return 1 - iou_error(pred, target, tau=0.0)


def rank_sort(ranks: Ranks, ious: Tensor) -> tuple[Part, Part]:
    r"""The ranking and the sorting part of RS Loss. The first has the gradient of both on the scores.

    .. math:: \mathcal L = \frac1{|\mathcal P|} \sum_{i \in \mathcal P} \ell_R(i) + \ell_S(i) - \ell_S^*(i), \qquad
              \ell_R(i) = \frac{N_{FP}(i)}{\mathrm{rank}(i)}

    The ranking error is shared by the negatives above, as in AP Loss. The sorting error is shared by the positives
    above with a smaller IoU: they are the columns of a second set of pairs.

    Shape: over |P| positives and the list, `ious` (|P|,) -> two scalars with their gradients.
    Source: RS Loss (ICCV 2021) and its release. `alrp_ref.rank_sort_loss` is this, with all that a user needs.
    """
    num, rank_pos, ell_sort, rows = len(ious), [], [], []
    columns = torch.zeros_like(ranks.s_pos)
    for part in torch.arange(num, device=ious.device).split(max(1, PAIRS.get(ious.device.type, PAIRS["cpu"]) // num)):
        y_i = ious[part]
        h = step(ranks.s_pos - ranks.s_pos[part, None], ranks.delta)
        ell, ell_star = sorting_error(h, ious), target_sorting_error(h, ious, y_i)
        missorted = h * (ious < y_i[:, None])
        p = distribution(missorted, missorted.sum(1), eps=NEGLIGIBLE)
        grad = gradient(ell, ell_star, p, z=num)
        rank_pos.append(h.sum(1))
        ell_sort.append(ell - ell_star)
        rows.append(grad.rows)
        columns += grad.columns

    ell_rank = precision_error(ranks.n_fp, torch.cat(rank_pos) + ranks.n_fp)
    by_rank = gradient(ell_rank, 0.0, distribution(ranks.h_ij, ranks.n_fp, eps=NEGLIGIBLE))
    on_positives = by_rank.rows + torch.cat(rows) + columns
    sorting = torch.cat(ell_sort).mean()
    return Part(ell_rank.mean(), Gradient(on_positives, by_rank.columns)), Part(sorting, None)
