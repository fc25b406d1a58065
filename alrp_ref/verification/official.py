"""The official numbers: what the release computes for 33 lists, in float64.

`official_loss_cases.npz` holds an array for each list and field, by the name "NUMBER/FIELD":

=============  =========  ===========================================================================
`logits`       (n,)       scores of the examples, float64
`targets`      (n,)       1 positive, 0 negative, -1 ignored, int8
`loc_errors`   (|P|,)     localisation error of each positive, in the order of the positives
`delta`        scalar     half width of the step function
`alrp_cls`     scalar     classification part of aLRP Loss
`alrp_loc`     scalar     its localisation part, unweighted; NaN where the release sorts tied positives by chance
`rank`         (|P|,)     ranks of the positives
`alrp_grad`    (n,)       gradient of aLRP Loss on the logits
`ap`           scalar     AP Loss, with interpolated precision
`ap_grad`      (n,)       its gradient on the logits
=============  =========  ===========================================================================

The lists have 1 to 200 positives and up to 10,000 negatives: random scores, ties, ignored examples, nearly equal
scores, scores far apart, and perfect orders; each with a delta of 1, 0.5 and 0.1.
"""

from importlib import resources

import numpy as np

OfficialCase = dict[str, np.ndarray]
FILE = resources.files("alrp_ref.verification") / "official_loss_cases.npz"


def official_cases() -> list[OfficialCase]:
    """The lists, each a dictionary of the fields above."""
    with FILE.open("rb") as stream, np.load(stream) as file:
        cases: dict[int, OfficialCase] = {}
        for key in file.files:
            number, field = key.split("/")
            cases.setdefault(int(number), {})[field] = file[key]
    return [cases[number] for number in sorted(cases)]
