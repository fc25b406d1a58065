"""AP and oLRP batch by batch, called as `torchmetrics.detection.MeanAveragePrecision` is."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torchvision.ops import box_convert

from alrp_ref.evaluation.evaluate import metrics_of
from alrp_ref.evaluation.ground_truth import objects_of
from alrp_ref.evaluation.metrics import MAX_DETECTIONS
from alrp_ref.machine.distributed import gather

Image = dict[str, Tensor]
NAMES = {"AP": "map", "AP50": "map_50", "AP75": "map_75", "AP90": "map_90", "AR1": "mar_1", "AR10": "mar_10"}
for size in ("small", "medium", "large"):
    NAMES |= {f"AP{size[0]}": f"map_{size}", f"oLRP{size[0]}": f"olrp_{size}"}
"""torchmetrics' names of metrics. Those that it does not have are like them; the others are ours, in small letters."""


class DetectionMetric:
    """AP and oLRP of detections that come in batches; each process gives its own.

    It stands in for `torchmetrics.detection.MeanAveragePrecision`, which need not be installed. ::

        metric = DetectionMetric()
        metric.update(preds, target)    # in each batch
        metric.compute()["olrp"]        # and "map", "map_50", ...
        metric.reset()

    Args:
        box_format: of the boxes that are given, "xyxy", "xywh" or "cxcywh".
        max_detections: how many detections of a class count in an image.
        class_metrics: also compute the metrics of each class.
    """

    def __init__(
        self,
        box_format: Literal["xyxy", "xywh", "cxcywh"] = "xyxy",
        *,
        max_detections: int = MAX_DETECTIONS,
        class_metrics: bool = False,
    ):
        if box_format not in ("xyxy", "xywh", "cxcywh"):
            raise ValueError(f'box_format must be "xyxy", "xywh" or "cxcywh", got {box_format!r}')
        self.box_format, self.max_detections, self.class_metrics = box_format, max_detections, class_metrics
        self.reset()

    def reset(self) -> None:
        """Forget all images."""
        self._images: list[tuple[np.ndarray, np.ndarray]] = []

    def update(self, preds: Sequence[Image], target: Sequence[Image]) -> None:
        """Add images.

        Args:
            preds: for each image `boxes` (m, 4) in pixels, `scores` (m,) and `labels` (m,), whole numbers.
            target: for each image `boxes` (g, 4) and `labels` (g,); `iscrowd` (g,) and `area` (g,) may be given.
        Raises: ValueError for another number of images, a missing key, lengths that do not fit together, and a value
            that is not finite.
        """
        if len(preds) != len(target):
            raise ValueError(f"preds and target must have as many images, got {len(preds)} and {len(target)}")
        for found, truth in zip(preds, target, strict=True):
            of_truth = self._columns("target", truth, "labels")
            box_area, none = of_truth[:, 2] * of_truth[:, 3], np.zeros(len(of_truth))
            area, crowd = (_array(truth.get(key, default)) for key, default in (("area", box_area), ("iscrowd", none)))
            self._images.append(
                (self._columns("preds", found, "scores", "labels"), np.column_stack([of_truth, area, crowd]))
            )

    def compute(self) -> dict[str, Tensor]:
        """The metrics of all images of all processes, each of which must call this at the same time.

        Returns: by torchmetrics' names `map`, `map_50`, ..., `mar_100`, and `olrp`, `olrp_loc`, `olrp_fp`, `olrp_fn`,
            `olrp_small`, ...: float32 scalars, -1 where undefined, as there; the labels as `classes`; for each of these
            `map_per_class`, `mar_100_per_class`, `olrp_per_class` and `lrp_threshold_per_class`, or -1.
        """
        images = [image for of_process in gather(self._images) for image in of_process]
        found, truth = (_numbered([image[k] for image in images], columns) for k, columns in ((0, 6), (1, 7)))
        labels = np.unique(np.concatenate([found[:, 6], truth[:, 5]]))
        found[:, 6], truth[:, 5] = np.searchsorted(labels, found[:, 6]) + 1, np.searchsorted(labels, truth[:, 5]) + 1
        content = {
            "images": [{"id": n, "file_name": "", "width": 1, "height": 1} for n in range(1, 1 + len(images))],
            "annotations": [
                {
                    "id": n,
                    "image_id": int(image),
                    "bbox": box,
                    "category_id": int(c),
                    "area": area,
                    "iscrowd": int(crowd),
                }
                for n, (image, *box, c, area, crowd) in enumerate(truth.tolist(), 1)
            ],
            "categories": [{"id": n, "name": str(int(label))} for n, label in enumerate(labels, 1)],
        }
        options = {"area": "all", "max_detections": self.max_detections, "threshold": None}
        metrics = metrics_of(content, objects_of(content), found, **options)
        names = NAMES | {f"AR{self.max_detections}": f"mar_{self.max_detections}"}
        values = {names.get(name, name.lower()): value for name, value in metrics.items()}
        each = {
            name: [one[name] for one in metrics.per_class.values()]
            for name in ("AP", f"AR{self.max_detections}", "oLRP")
        }
        each |= {"lrp_threshold": list(metrics.lrp_thresholds.values())}
        for name, of_classes in each.items():
            values[f"{names.get(name, name.lower())}_per_class"] = of_classes if self.class_metrics else -1.0
        results = {name: torch.nan_to_num(torch.tensor(value), nan=-1.0) for name, value in values.items()}
        return results | {"classes": torch.from_numpy(labels).int()}

    def _columns(self, name: str, image: Image, *keys: str) -> np.ndarray:
        """Boxes as x, y, width, height, and the values of the keys, side by side."""
        if missing := {"boxes", *keys} - image.keys():
            raise ValueError(f"an image of {name} lacks {', '.join(sorted(missing))}")
        boxes = torch.as_tensor(image["boxes"]).detach().double().reshape(-1, 4)
        columns = [_array(box_convert(boxes, self.box_format, "xywh")), *(_array(image[key]) for key in keys)]
        if len({len(column) for column in columns}) > 1 or not all(np.isfinite(column).all() for column in columns):
            shapes = ", ".join(f"{key} {tuple(image[key].shape)}" for key in ("boxes", *keys))
            raise ValueError(f"an image of {name} must have finite values, one for each box, got {shapes}")
        return np.column_stack(columns)


def _array(x: Tensor | np.ndarray) -> np.ndarray:
    return torch.as_tensor(x).detach().cpu().double().numpy()


def _numbered(parts: list[np.ndarray], columns: int) -> np.ndarray:
    """The rows of all images, before them the number of the image, from 1 on."""
    numbers = [np.full((len(part), 1), n, dtype=np.float64) for n, part in enumerate(parts, 1)]
    return np.hstack([np.concatenate([*x, np.zeros((0, k))]) for x, k in ((numbers, 1), (parts, columns))])
