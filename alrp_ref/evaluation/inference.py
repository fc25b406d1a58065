"""Inference over a data set: detections in COCO's format."""

import math
import os
from collections import defaultdict
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset
from tqdm import tqdm

from alrp_ref.data.dataset import CocoDataset
from alrp_ref.detection.postprocess import coco_rows
from alrp_ref.detection.preprocess import SIZE_DIVISOR, keep_ratio_size, to_input
from alrp_ref.images import GREYS
from alrp_ref.machine.worker_limits import BatchMemory
from alrp_ref.machine.workers import batches, failures_explained, make_loader

BATCH = 16
MAX_WORKERS = 8


@torch.no_grad()
def detect(
    model: nn.Module,
    dataset: CocoDataset,
    device: torch.device | str,
    progress: bool = True,
    workers: int | None = None,
) -> list[dict[str, Any]]:
    """Run a detector on every image of `dataset`, at the test size of its recipe.

    Args:
        model: a detector of :func:`alrp_ref.detection.build_detector`; it is moved to `device`.
        dataset: made with ``keep_empty=True``, so that images without objects count, too; its transform is not used.
        device: where the model runs.
        progress: show a progress bar.
        workers: processes that read images; 0 reads them in this one. None: up to 8, and none where the model is on a
            CPU: there it takes nearly all the time and uses every core, so that they would slow it down.

    Returns:
        COCO detections for :func:`alrp_ref.evaluation.evaluate`: ``{"image_id", "category_id", "bbox", "score"}``,
        the box as x, y, width, height in pixels of the image file.

    Raises:
        ValueError: the model and the data set have different classes.
        DataError: an image that is missing or broken; data workers that have failed.
    """
    _check_classes(model, dataset)
    device = torch.device(device)
    was_training = model.training
    model.to(device).eval()
    images = _TestImages(dataset, model.recipe.test_size)
    if workers is None:
        workers = 0 if device.type == "cpu" else min(MAX_WORKERS, os.cpu_count() or 1)
    alike = images.batches()
    loader = make_loader(images, alike, _collate, workers=workers, batch=images.largest(alike))
    detections: list[dict[str, Any]] = []
    with failures_explained(), tqdm(total=len(images), unit=" images", desc="detect", disable=not progress) as bar:
        for ids, pixels, sizes, scales in batches(loader):
            found = model(pixels.to(device), image_sizes=list(sizes))
            for image_id, scale, one in zip(ids, scales, found, strict=True):
                boxes = one["boxes"].cpu().double() / torch.tensor([*scale, *scale], dtype=torch.float64)
                detections += coco_rows(one | {"boxes": boxes}, image_id, dataset.category_ids)
            bar.update(len(ids))
    model.train(was_training)
    return detections


class _TestImages(Dataset):
    """The images of a split as inputs of a detector: id, pixels (3, H, W), size before padding, scale."""

    def __init__(self, dataset: CocoDataset, test_size: tuple[int, int]):
        self.dataset, self.test_size = dataset, test_size

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> tuple[int, Tensor, tuple[int, int], tuple[float, float]]:
        image_id = self.dataset.ids[index]
        return image_id, *to_input(self.dataset.read_image(image_id), self.test_size)

    def batches(self) -> list[list[int]]:
        """Batches of images with the same padded size, so that no result depends on the other images of its batch."""
        alike = defaultdict(list)
        for index in range(len(self)):
            alike[self._padded_size(index)].append(index)
        return [group[k : k + BATCH] for group in alike.values() for k in range(0, len(group), BATCH)]

    def largest(self, batches: list[list[int]]) -> BatchMemory:
        """What the largest of the batches takes: floats of 32 bits, in one tensor."""
        sizes = (len(batch) * math.prod(self._padded_size(batch[0])) for batch in batches)
        return BatchMemory(size=max(sizes, default=0) * 3 * 4, tensors=1)

    def _padded_size(self, index: int) -> tuple[int, ...]:
        """Height and width of an image as the detector gets it, from the size that the annotations list."""
        width, height = self.dataset.sizes[index].tolist()
        size = keep_ratio_size(height, width, self.test_size)
        return tuple(-(-side // SIZE_DIVISOR) * SIZE_DIVISOR for side in size)


def _collate(batch: list[tuple]) -> tuple:
    """Transpose: one tuple for each quantity. The images are stacked: (B, 3, H, W)."""
    ids, pixels, sizes, scales = zip(*batch, strict=True)
    return ids, torch.stack(pixels), sizes, scales


def _check_classes(model: nn.Module, dataset: CocoDataset) -> None:
    names = getattr(model, "class_names", None)
    if model.num_classes != len(dataset.class_names) or names not in (None, dataset.class_names):
        raise ValueError(
            f"the model detects {model.num_classes} classes ({', '.join(names or ['unnamed'])}), but "
            f"{dataset.annotation_file} has {len(dataset.class_names)} ({', '.join(dataset.class_names)}); "
            "use the data set the model was trained on"
        )
    trained, read = getattr(model.recipe, "grey_range", GREYS), dataset.read_as.grey_range
    if trained != read:
        raise ValueError(
            f"the model was trained on greys of {trained}, and the data set reads those of {read}: give it "
            "read_as=ReadAs(grey_range=...)"
        )
