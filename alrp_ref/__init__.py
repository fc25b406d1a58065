"""aLRP Loss, as the paper says it: a readable, verified reference.

The files of this folder are the paper, in reading order: `ranking`, `error_driven`, `ap`, `localisation`, `alrp`,
`self_balance`, `lrp`; `pairwise` says all of it once more, slowly and obviously, and is what they are tested against.
The detectors, data and training live in `detection`, `coco` and `training`, and need the extra packages.
"""

from alrp_ref import pairwise
from alrp_ref.alrp import ALRPLoss, alrp_loss
from alrp_ref.ap import APLoss, ap_loss
from alrp_ref.localisation import giou_error, iou_error
from alrp_ref.lrp import optimal_lrp
from alrp_ref.self_balance import SelfBalance

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
