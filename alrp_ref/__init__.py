"""aLRP Loss, as the paper says it: a readable, verified reference.

`paper/` is the paper and nothing else. Read `pairwise` first: it forms every pair, is slow and obvious, and the others
are tested against it. Then `ranking`, `error_driven`, `ap`, `localisation`, `alrp`, `self_balance`, `lrp`, which run
for millions of scores, thanks to `step_matrix`. Equation numbers in `Source:` lines are those of arXiv version 4.

`ranking_loss` is the door: it makes a loss of a formula. `losses` has those that a detector calls, `batch` makes their
list of a detector's batch, and `rank_sort` is a formula of a later paper.

Is a loss the official one? `verification` says it, of this package on any device and of a port to another language.

Above them stand `detection`, `data`, `evaluation`, `training` and `reports`, which need the extra packages. Each
imports only what is below it.
"""

import sys
from typing import TYPE_CHECKING

from alrp_ref.machine.lazy import lazy
from alrp_ref.version import __version__ as __version__

if TYPE_CHECKING:
    from alrp_ref.batch import flatten_batch
    from alrp_ref.losses import ALRPLoss, APLoss, RankSortLoss, alrp_loss, ap_loss, rank_sort_loss
    from alrp_ref.paper import pairwise
    from alrp_ref.paper.localisation import giou_error, iou_error
    from alrp_ref.paper.lrp import optimal_lrp
    from alrp_ref.paper.self_balance import SelfBalance
    from alrp_ref.verification import verify, verify_criterion
else:
    homes = {
        "ALRPLoss": "losses",
        "APLoss": "losses",
        "RankSortLoss": "losses",
        "SelfBalance": "paper.self_balance",
        "alrp_loss": "losses",
        "ap_loss": "losses",
        "flatten_batch": "batch",
        "giou_error": "paper.localisation",
        "iou_error": "paper.localisation",
        "optimal_lrp": "paper.lrp",
        "pairwise": "paper.pairwise",
        "rank_sort_loss": "losses",
        "verify": "verification",
        "verify_criterion": "verification",
    }
    __getattr__ = lazy(__name__, homes)

if "torch" in sys.modules:  # else it is the one that is installed
    from alrp_ref.machine.installed import compare_torch

    compare_torch(sys.modules["torch"].__version__)

__all__ = [
    "ALRPLoss",
    "APLoss",
    "RankSortLoss",
    "SelfBalance",
    "alrp_loss",
    "ap_loss",
    "flatten_batch",
    "giou_error",
    "iou_error",
    "optimal_lrp",
    "pairwise",
    "rank_sort_loss",
    "verify",
    "verify_criterion",
]
