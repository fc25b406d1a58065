"""What the paper's training runs cost: operations and memory counted, a step measured here, hours on GPUs estimated.

The estimate takes two figures from elsewhere. Detectron2 trains its RetinaNet with ResNet-50 on 8 V100 at 0.200 s for
16 images (its MODEL_ZOO.md), of about 720 x 1,000 pixels: the operations of such an image, counted here, over that time
are what a V100 does in a second. How well that carries over is seen on two more of Detectron2's detectors. NVIDIA
trains its SSD300 with ResNet-50 on 4 V100 at 420 images/s in float32, and on 4 A100 at 2,581 in mixed precision (its
DeepLearningExamples, PyTorch/Detection/SSD): taken for what an A100 wins, where `alrp train` works in bfloat16.
"""

import time
from collections.abc import Callable
from math import prod

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.utils.flop_counter import FlopCounterMode

from alrp_ref.detection import RECIPES
from alrp_ref.detection.recipes import RELEASED_AP
from benchmarks.bench_train import batch, ours, stepper
from benchmarks.timing import seconds

COCO_IMAGES = 117_266
GPUS = 4
V100_SECONDS, V100_SIZE = 0.200 / 2, (720, 1000)
V100_RECIPE = "focal_retinanet_r50_500"
A100_SPEEDUP = 2581.24 / 419.54
# ours of the same backbone: seconds an image in Detectron2's table
CHECKS = {
    "alrp_retinanet_r101_atss_500": ("RetinaNet, ResNet-101", 0.280 / 2),
    "ce_faster_rcnn_r50_500": ("Faster R-CNN, ResNet-50", 0.210 / 2),
}
RECIPE_NAMES = tuple(RELEASED_AP)
SMALL = 256
"""Side of the images that a detector of one stage is measured on: all of its work grows as the number of pixels."""


def bench(quick: bool = False) -> dict[str, list[dict[str, object]]]:
    """Every table, as rows. `quick` is for trying the command out: one recipe, small images."""
    names = RECIPE_NAMES[:1] if quick else RECIPE_NAMES
    small = SMALL // 2 if quick else SMALL
    height, width = V100_SIZE
    per_second = scaled(operations, V100_RECIPE, height * width, small) / V100_SECONDS
    full = []
    for name in names:
        print(f"{name} ...", flush=True)
        recipe = RECIPES[name]
        pixels, images = recipe.train_size**2, recipe.batch_size // GPUS
        needed = scaled(operations, name, pixels, small)
        kept = scaled(activations, name, pixels, small)
        hours = recipe.epochs * COCO_IMAGES * needed / per_second / GPUS / 3600
        full.append(
            {
                "recipe": name,
                "px": recipe.train_size,
                "images a GPU": images,
                "TFLOP an image": needed / 1e12,
                "s an image here": scaled(step_seconds, name, pixels, small),
                "GiB a GPU": (images * kept + parameters(ours(name))) / 2**30,
                "hours, 4 V100": hours,
                "hours, 4 A100": hours / A100_SPEEDUP,
            }
        )
    checks = []
    for name, (title, published) in ({} if quick else CHECKS).items():
        estimate = scaled(operations, name, height * width, small) / per_second
        checks.append({"Detectron2's": title, "s an image": published, "estimated": estimate})
    return {"full": full, "checks": checks}


def tables(results: dict[str, list[dict]]) -> dict[str, list[dict]]:
    """The same, to be read: titles and rows."""
    titles = {
        "full": f"100 epochs of COCO ({COCO_IMAGES:,} images each); memory in fp32",
        "checks": "The same estimate for detectors of which Detectron2 says the time",
    }
    return {titles[name]: rows for name, rows in results.items() if rows}


def scaled(measure: Callable[[str, int], float], name: str, pixels: int, small: int) -> float:
    """A quantity of one image of so many pixels, from a small one. Two stages are measured as they are: the second has
    as many boxes in every image."""
    if RECIPES[name].detector == "faster_rcnn":
        small = round(pixels**0.5 / 32) * 32
    return measure(name, small) * pixels / small**2


def operations(name: str, side: int) -> int:
    """Of one image's training step, forward and backward; a multiplication and an addition count two."""
    with FlopCounterMode(display=False, custom_mapping=COUNTS) as counter:
        sum(ours(name)(*batch(1, side)).values()).backward()
    return counter.get_total_flops()


def activations(name: str, side: int) -> int:
    """Bytes that a step keeps for its backward pass. What convolutions and the allocator take comes on top."""
    model = ours(name)
    weights = {p.untyped_storage().data_ptr() for p in model.parameters()}
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with saved_tensors_hooks(keep, lambda tensor: tensor):
        losses = model(*batch(1, side))  # alive, so that no storage is counted for another's address
    del losses
    return sum(kept.values())


def parameters(model: nn.Module) -> int:
    """Bytes of the weights, and of gradients and momentum of those that are trained."""
    return sum(p.nbytes * (3 if p.requires_grad else 1) for p in model.parameters())


def step_seconds(name: str, side: int) -> float:
    """Of one image, in the second step; on a CPU, those its threads were busy, so that other jobs do not count."""
    step = stepper(ours(name), batch(1, side))
    step()
    if torch.cuda.is_available():
        return seconds(step)
    began = time.process_time()
    step()
    return (time.process_time() - began) / torch.get_num_threads()


def _deformable(x, weight, *args, out_shape=None, **kwargs) -> int:
    """A deformable convolution multiplies as often as another one of its size; finding its samples is not counted."""
    return 2 * prod(out_shape) * prod(weight[1:])


def _deformable_backward(grad, x, weight, *args, **kwargs) -> int:
    return 2 * 2 * prod(grad) * prod(weight[1:])


def _convolution_backward(grad, x, weight, *args, **kwargs) -> int:
    """As often for the input's gradient as forward, and for the weights'; PyTorch's own count forgets the groups."""
    gradients = sum(args[-1][:2])
    return gradients * 2 * prod(grad) * prod(weight[1:])


COUNTS = {
    torch.ops.aten.convolution_backward: _convolution_backward,
    torch.ops.torchvision.deform_conv2d: _deformable,
    torch.ops.torchvision._deform_conv2d_backward: _deformable_backward,
}
