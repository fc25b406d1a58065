"""What other pictures would change: the standard error of a difference, by a paired bootstrap over the images.

The samples of the images are the same for every run. So what all runs find hard or easy in a sample cancels out.
"""

from collections.abc import Sequence

import numpy as np

from alrp_ref.reports.comparison import BOUNDS
from studies.results import DATA


def error(study: str, ours: Sequence[str], theirs: Sequence[str], metric: str = "AP") -> float:
    """Of the mean of some runs less the mean of others, in percent.

    Args: `study`, the folder in `data` with the `resampled.npz` that has these runs.
    Raises: KeyError for a run that it does not have.
    """
    samples = np.load(DATA / study / "resampled.npz")
    one, other = (np.mean([samples[run] for run in runs], axis=0).T[BOUNDS[metric]] for runs in (ours, theirs))
    return 100 * float(np.atleast_2d(one - other).mean(axis=0).std(ddof=1))
