"""Is a loss the official one? For this package on any device and torch, and for ports to other languages.

`alrp verify` runs `verify_torch` on a device; `alrp_ref.verify(my_loss)` takes a port. What is right is told by the
official release, on 33 lists (`official`), and by `alrp_ref.pairwise` in float64 on a CPU, on longer ones.
"""

from alrp_ref.verification.criterion import verify_criterion
from alrp_ref.verification.report import Case, Verification
from alrp_ref.verification.this_torch import verify_torch
from alrp_ref.verification.verdict import verify

__all__ = ["Case", "Verification", "verify", "verify_criterion", "verify_torch"]
