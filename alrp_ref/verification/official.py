"""The official numbers: what the releases compute, in float64: of aLRP and AP Loss for 33 lists, of RS Loss for 28.

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

`official_rank_sort_cases.npz` likewise, from the release of RS Loss:

=============  =========  ===========================================================================
`logits`, `targets`, `delta` as above
`ious`         (|P|,)     IoU of the box of each positive, in the order of the positives
`ranking`      scalar     the ranking part
`sorting`      scalar     the sorting part
`grad`         (n,)       gradient of both on the logits
=============  =========  ===========================================================================
"""

from importlib import resources

import numpy as np

OfficialCase = dict[str, np.ndarray]
FOLDER = resources.files("alrp_ref.verification")


def official_cases(name: str = "loss") -> list[OfficialCase]:
    """The lists, each a dictionary of the fields above. Args: `name`, "loss" or "rank_sort"."""
    with (FOLDER / f"official_{name}_cases.npz").open("rb") as stream, np.load(stream) as file:
        cases: dict[int, OfficialCase] = {}
        for key in file.files:
            number, field = key.split("/")
            cases.setdefault(int(number), {})[field] = file[key]
    return [cases[number] for number in sorted(cases)]
