"""The result of an evaluation: a mapping from metric names to values, and a table to print."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

IOU_THRESHOLDS = np.linspace(0.5, 0.95, 10)
"""COCO's IoU thresholds .50, .55, ..., .95: the first axis of every array of precisions."""

MAX_DETECTIONS = 100
"""COCO's limit on the detections of a class in an image."""


class Row(NamedTuple):
    """A line of the table: what is measured, at which IoU, for which size of objects, with how many detections."""

    what: str
    iou: str
    area: str
    detections: int


def table_rows(area: str = "all", most: int = MAX_DETECTIONS) -> dict[str, Row]:
    """The metrics by name, in the order they are printed."""
    precision, recall, mean = "Average Precision  (AP)", "Average Recall     (AR)", "0.50:0.95"
    ious = {"AP": mean, "AP50": "0.50", "AP75": "0.75", "AP90": "0.90"}
    sizes = {"s": "small", "m": "medium", "l": "large"}
    parts = {"oLRP": "", "oLRP_loc": " Loc", "oLRP_fp": " FP", "oLRP_fn": " FN"}
    return (
        {name: Row(precision, iou, area, most) for name, iou in ious.items()}
        | {f"AP{letter}": Row(precision, mean, size, most) for letter, size in sizes.items()}
        | {f"AR{limit}": Row(recall, mean, area, limit) for limit in (1, 10, most)}
        | {name: Row(f"Optimal LRP{part}", "0.50", area, most) for name, part in parts.items()}
        | {f"oLRP{letter}": Row("Optimal LRP", "0.50", size, most) for letter, size in sizes.items()}
    )


METRICS = tuple(table_rows())


def iou_index(iou: float) -> int:
    """The position of `iou` among `IOU_THRESHOLDS`. Raises: ValueError if it is not one of them."""
    (index,) = np.isclose(IOU_THRESHOLDS, iou).nonzero()[0]
    return int(index)


@dataclass(frozen=True, repr=False)
class Metrics(Mapping[str, float]):
    """The metrics of a set of detections, each in 0..1; NaN where undefined (COCO prints -1).

    AP, AP50, AP75, AP90, APs, APm, APl, AR1, AR10, AR100 (more is better) are COCO's. oLRP and its parts
    oLRP_loc (mean 1 - IoU), oLRP_fp (1 - precision) and oLRP_fn (1 - recall) are errors (less is better),
    each the mean over the classes for which it is defined; oLRPs, oLRPm, oLRPl are those of small, medium and large
    objects. With another limit than 100, AR100 has its number. LRP, LRP_loc, LRP_fp and LRP_fn are those at a score
    threshold, if one is given.

    Attributes:
        overall: the metrics over all classes; the mapping itself reads from here.
        per_class: class name -> the same metrics for that class alone.
        lrp_thresholds: class name -> the score threshold with the least LRP error.
        area, max_detections: what `evaluate` was given.
    """

    overall: dict[str, float]
    per_class: dict[str, dict[str, float]]
    lrp_thresholds: dict[str, float]
    area: str = "all"
    max_detections: int = MAX_DETECTIONS

    def __getitem__(self, name: str) -> float:
        return self.overall[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.overall)

    def __len__(self) -> int:
        return len(self.overall)

    def __repr__(self) -> str:
        rows = table_rows(self.area, self.max_detections)
        rows |= {name: rows["o" + name]._replace(what=rows["o" + name].what[8:]) for name in self if name[0] == "L"}
        return "\n".join(
            f"{what:<23} @[ IoU={iou:<9} | area={area:>6} | maxDets={most:>3} ] = {self[name]:.3f}"
            for name, (what, iou, area, most) in rows.items()
        )

    def to_dict(self) -> dict[str, Any]:
        """All values as JSON can hold them: NaN becomes None."""

        def plain(values: dict[str, float]) -> dict[str, float | None]:
            return {name: None if math.isnan(value) else value for name, value in values.items()}

        return {
            **plain(self.overall),
            "area": self.area,
            "max_detections": self.max_detections,
            "per_class": {name: plain(values) for name, values in self.per_class.items()},
            "lrp_thresholds": plain(self.lrp_thresholds),
        }
