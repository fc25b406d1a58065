"""The result of an evaluation: a mapping from metric names to values, and a table to print."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

IOU_THRESHOLDS = np.linspace(0.5, 0.95, 10)
"""COCO's IoU thresholds .50, .55, ..., .95: the first axis of every array of precisions."""

_AP, _AR = "Average Precision  (AP)", "Average Recall     (AR)"
# name: (what, IoU, area, detections an image), in the order they are printed
_ROWS = {
    "AP": (_AP, "0.50:0.95", "all", 100),
    "AP50": (_AP, "0.50", "all", 100),
    "AP75": (_AP, "0.75", "all", 100),
    "AP90": (_AP, "0.90", "all", 100),
    "APs": (_AP, "0.50:0.95", "small", 100),
    "APm": (_AP, "0.50:0.95", "medium", 100),
    "APl": (_AP, "0.50:0.95", "large", 100),
    "AR1": (_AR, "0.50:0.95", "all", 1),
    "AR10": (_AR, "0.50:0.95", "all", 10),
    "AR100": (_AR, "0.50:0.95", "all", 100),
    "oLRP": ("Optimal LRP", "0.50", "all", 100),
    "oLRP_loc": ("Optimal LRP Loc", "0.50", "all", 100),
    "oLRP_fp": ("Optimal LRP FP", "0.50", "all", 100),
    "oLRP_fn": ("Optimal LRP FN", "0.50", "all", 100),
}
METRICS = tuple(_ROWS)


def iou_index(iou: float) -> int:
    """The position of `iou` among `IOU_THRESHOLDS`. Raises: ValueError if it is not one of them."""
    (index,) = np.isclose(IOU_THRESHOLDS, iou).nonzero()[0]
    return int(index)


@dataclass(frozen=True, repr=False)
class Metrics(Mapping[str, float]):
    """The metrics of a set of detections, each in 0..1; NaN where undefined (COCO prints -1).

    AP, AP50, AP75, AP90, APs, APm, APl, AR1, AR10, AR100 (more is better) are COCO's. oLRP and its parts
    oLRP_loc (mean 1 - IoU), oLRP_fp (1 - precision) and oLRP_fn (1 - recall) are errors (less is better),
    each the mean over the classes for which it is defined.

    Attributes:
        overall: the metrics over all classes; the mapping itself reads from here.
        per_class: class name -> the same metrics for that class alone.
        lrp_thresholds: class name -> the score threshold with the least LRP error.
    """

    overall: dict[str, float]
    per_class: dict[str, dict[str, float]]
    lrp_thresholds: dict[str, float]

    def __getitem__(self, name: str) -> float:
        return self.overall[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.overall)

    def __len__(self) -> int:
        return len(self.overall)

    def __repr__(self) -> str:
        return "\n".join(
            f"{what:<23} @[ IoU={iou:<9} | area={area:>6} | maxDets={dets:>3} ] = {self[name]:.3f}"
            for name, (what, iou, area, dets) in _ROWS.items()
        )

    def to_dict(self) -> dict[str, Any]:
        """All values as JSON can hold them: NaN becomes None."""

        def plain(values: dict[str, float]) -> dict[str, float | None]:
            return {name: None if math.isnan(value) else value for name, value in values.items()}

        return {
            **plain(self.overall),
            "per_class": {name: plain(values) for name, values in self.per_class.items()},
            "lrp_thresholds": plain(self.lrp_thresholds),
        }
