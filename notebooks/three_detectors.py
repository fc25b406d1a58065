"""The detectors of the paper's Figure 1, which every chapter comes back to: the same scores, other boxes."""

import torch

SCORES = torch.arange(10, 0, -1, dtype=torch.float64) / 10
TARGETS = torch.tensor(
    [1, 0, 1, 0, 0, 1, 0, 0, 0, 1]
)  # the anchors a1, a3, a6 and a10 are positives
IOUS = {
    "R1": torch.tensor([0.95, 0.80, 0.65, 0.50], dtype=torch.float64),
    "R2": torch.tensor([0.80, 0.65, 0.50, 0.95], dtype=torch.float64),
    "R3": torch.tensor([0.50, 0.65, 0.80, 0.95], dtype=torch.float64),
}
"""IoU of each positive's box with its object, the best score first."""
ERRORS = {name: (1 - ious) / 0.5 for name, ious in IOUS.items()}
"""Their localisation errors."""
HARD = 0.05
"""Half the distance of two scores: with this width of a step the ranks are those of the figure."""
