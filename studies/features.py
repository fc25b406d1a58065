"""The features of a frozen network, kept on disk: the pyramid that the head of YOLOX-nano reads, for photographs."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor
from tqdm import tqdm

from alrp_ref.data import CocoDataset
from alrp_ref.machine.files import write_atomic

SIDE = 416
"""Side of the network's input, in pixels."""
PADDING = 114
STRIDES, CHANNELS = (8, 16, 32), (64, 128, 256)
READ_BY = ("Conv_299", "Conv_332", "Conv_365")
"""The nodes of the graph whose first inputs are the levels of the pyramid, finest first."""


class Features:
    """The pyramid of each image of two splits, as it is and mirrored, in float16: 1.2 MB an image.

    Attributes: `targets` of the images as they are, boxes in pixels of the input; of each image its `ids` (number of
        the split, id), its `scales` (pixels of the input by those of the file) and its `sizes` (h, w) in the input.
    """

    def __init__(self, coco: Path, network: Path, folder: Path):
        self.splits = [CocoDataset(coco, split, keep_empty=True) for split in ("train2017", "val2017")]
        self.ids = [(number, i) for number, split in enumerate(self.splits) for i in split.ids]
        sizes = torch.cat([torch.from_numpy(split.sizes) for split in self.splits])
        self.scales = SIDE / sizes.amax(dim=1)
        self.sizes = [
            (round(h * s), round(w * s)) for (w, h), s in zip(sizes.tolist(), self.scales.tolist(), strict=True)
        ]
        found = (self.splits[number].target(i) for number, i in self.ids)
        self.targets = [
            {"boxes": torch.as_tensor(one["boxes"]) * scale, "labels": one["labels"]}
            for one, scale in zip(found, self.scales, strict=True)
        ]
        folder.mkdir(parents=True, exist_ok=True)
        self.levels = [self._level(folder / f"stride_{stride}.npy", k) for k, stride in enumerate(STRIDES)]
        if not (folder / "done").exists():
            self._compute(network)
            write_atomic(folder / "done", "")

    def _level(self, path: Path, level: int) -> np.ndarray:
        side = SIDE // STRIDES[level]
        shape = (len(self.ids), 2, CHANNELS[level], side, side)
        return np.lib.format.open_memmap(path, "r+" if path.exists() else "w+", np.float16, shape)

    def _compute(self, network: Path) -> None:
        graph = _pyramid(network)
        for index, (number, image_id) in enumerate(tqdm(self.ids, desc="features")):
            image = self.splits[number].read_image(image_id)
            for mirrored, picture in enumerate((image, ImageOps.mirror(image))):
                found = graph.run(None, {"images": _input(picture, self.sizes[index])})
                for level, values in zip(self.levels, found, strict=True):
                    level[index, mirrored] = values[0]

    def batch(self, images: Sequence[int], mirrored: Sequence[int]) -> tuple[list[Tensor], list[dict[str, Tensor]]]:
        """Levels (B, C, h, w), and targets, of some images, each mirrored or not."""
        levels = [torch.from_numpy(level[list(images), list(mirrored)]).float() for level in self.levels]
        targets = [self.targets[i] for i in images]
        for place, is_mirrored in enumerate(mirrored):
            if is_mirrored:
                boxes, width = targets[place]["boxes"].clone(), self.sizes[images[place]][1]
                boxes[:, [0, 2]] = width - boxes[:, [2, 0]]
                targets[place] = targets[place] | {"boxes": boxes}
        return levels, targets


def _pyramid(network: Path):
    """The network with the levels of its pyramid as outputs. Raises: ImportError without onnx and onnxruntime."""
    import onnx
    import onnxruntime

    model = onnx.load(network)
    inputs = {node.name: node.input[0] for node in model.graph.node}
    del model.graph.output[:]
    model.graph.output.extend(onnx.ValueInfoProto(name=inputs[name]) for name in READ_BY)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def _input(image: Image.Image, size: tuple[int, int]) -> np.ndarray:
    """As the network was trained: blue, green, red in 0..255, the picture at the top left, grey around it."""
    pixels = np.full((SIDE, SIDE, 3), PADDING, dtype=np.float32)
    height, width = size
    pixels[:height, :width] = np.asarray(image.resize((width, height), Image.Resampling.BILINEAR))[..., ::-1]
    return np.ascontiguousarray(pixels.transpose(2, 0, 1))[None]
