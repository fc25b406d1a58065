"""aLRP Loss, as the paper says it: a readable, verified reference.

The files of this folder are the paper. Read `pairwise` first: it forms every pair, is slow and obvious, and the others
are tested against it. Then `ranking`, `error_driven`, `ap`, `localisation`, `alrp`, `self_balance`, `lrp`, which run
for millions of scores, thanks to `step_matrix`. Equation numbers in `Source:` lines are those of arXiv version 4.
The detectors, data and training live in `detection`, `coco` and `training`, and need the extra packages.
"""

from alrp_ref import pairwise
from alrp_ref.alrp import alrp_loss
from alrp_ref.ap import APLoss, ap_loss
from alrp_ref.localisation import giou_error, iou_error
from alrp_ref.lrp import optimal_lrp
from alrp_ref.self_balance import ALRPLoss, SelfBalance

__all__ = [
    "ALRPLoss",
    "APLoss",
    "SelfBalance",
    "alrp_loss",
    "ap_loss",
    "giou_error",
    "iou_error",
    "optimal_lrp",
    "pairwise",
]
