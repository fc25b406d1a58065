"""The losses, by one name each: what detectors and programs import, whatever file of the paper they are in."""

from alrp_ref.paper.alrp import alrp_loss
from alrp_ref.paper.ap import APLoss, ap_loss
from alrp_ref.paper.self_balance import ALRPLoss

__all__ = ["ALRPLoss", "APLoss", "alrp_loss", "ap_loss"]
