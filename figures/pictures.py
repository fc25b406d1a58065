"""What other pictures would change: the standard error of a difference, by a paired bootstrap over the images.

The samples of the images are the same for every run. So what all runs find hard or easy in a sample cancels out.
"""

from collections.abc import Sequence

import numpy as np

from alrp_ref.evaluation import IOU_THRESHOLDS, iou_index
from studies.results import DATA

IOUS = {"AP": IOU_THRESHOLDS, "AP50": [0.5], "AP75": [0.75], "AP90": [0.9]}


def error(study: str, ours: Sequence[str], theirs: Sequence[str], metric: str = "AP") -> float:
    """Of the mean of some runs less the mean of others, in percent.

    Args: `study`, the folder in `data` with the `resampled.npz` that has these runs.
    Raises: KeyError for a run that it does not have.
    """
    samples = np.load(DATA / study / "resampled.npz")
    places = [iou_index(iou) for iou in IOUS[metric]]
    means = [np.mean([samples[run][:, places].mean(axis=1) for run in runs], axis=0) for runs in (ours, theirs)]
    return 100 * float(np.std(means[0] - means[1], ddof=1))
