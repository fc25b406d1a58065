"""Claim, the details: every run on shapes, the two switches, the ladder, how the runs were made.

The text is `claim_details.md.j2`.
"""

from figures.claim import FEW, LADDER, on_photographs, on_shapes, square, to_train, weighting
from figures.prose import render


def draw() -> str:
    """The page."""
    return render(
        "claim_details",
        shapes=on_shapes(),
        square=square(),
        weighting=weighting(),
        ladder=square(LADDER),
        few=on_shapes(FEW),
        photographs=on_photographs(),
        recipes=to_train(),
    )
