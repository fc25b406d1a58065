"""What a training step costs: against torchvision's RetinaNet with focal loss on the same backbone and pyramid.

Images are noise and boxes are drawn at random: a step takes as long as on photographs.
"""

from collections import OrderedDict
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn
from torchvision.models.detection import RetinaNet
from torchvision.models.detection.anchor_utils import AnchorGenerator

from alrp_ref.detection import RECIPES, build_detector
from alrp_ref.detection.detector import Detector, sizes_of
from alrp_ref.detection.targets import assign
from benchmarks.timing import extra_memory, in_turn, seconds

IOU, ATSS, TINY = "alrp_retinanet_r50_500", "alrp_retinanet_r50_atss_500", "alrp_tiny"
BOXES_AN_IMAGE, CLASSES = 7, 80
SHAPES = 5
"""Classes of the generated pictures that `alrp_tiny` is made for."""
Row = dict[str, object]
Batch = tuple[Tensor, list[dict[str, Tensor]]]


def device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def bench(quick: bool = False) -> dict[str, list[Row]]:
    """Every table, as rows. `quick` is for trying the command out: small images."""
    size, images = (128, 2) if quick else (512, 8 if torch.cuda.is_available() else 2)
    data = batch(images, size)
    results = {}
    for name, function in (("steps", _steps), ("parts", _parts), ("formats", _formats), ("memory", _memory)):
        print(f"{name} ...", flush=True)
        results[name] = function(data)
    return results


def tables(results: dict[str, list[Row]]) -> dict[str, list[Row]]:
    """The same, to be read: titles and rows."""
    return {
        "A training step, in units of torchvision's RetinaNet with focal loss": results["steps"],
        "Where the step's time goes": results["parts"],
        "The same step in other number formats and memory layouts": results["formats"],
        "Most memory of a step, beyond the model and the batch": results["memory"],
    }


def batch(num_images: int, size: int, classes: int = CLASSES) -> Batch:
    """Noise, and random boxes on it."""
    rng = torch.Generator().manual_seed(0)
    images = torch.randn(num_images, 3, size, size, generator=rng)
    targets = []
    for _ in range(num_images):
        corner = torch.rand(BOXES_AN_IMAGE, 2, generator=rng) * size * 0.7
        sides = (0.05 + 0.25 * torch.rand(BOXES_AN_IMAGE, 2, generator=rng)) * size
        boxes, labels = torch.cat([corner, corner + sides], 1), torch.randint(classes, (BOXES_AN_IMAGE,), generator=rng)
        targets.append({"boxes": boxes, "labels": labels})  # in the memory of the host, as in a training run
    return images.to(device(), memory_format=torch.channels_last), targets


def ours(recipe: str, classes: int = CLASSES) -> Detector:
    torch.manual_seed(0)
    return build_detector(recipe, num_classes=classes).to(device(), memory_format=torch.channels_last).train()


class Pyramid(nn.Module):
    """A detector's backbone and feature pyramid, as torchvision's detectors take them."""

    def __init__(self, detector: Detector):
        super().__init__()
        self.backbone, self.fpn = detector.backbone, detector.fpn
        self.features = partial(Detector.features, self)
        self.out_channels = detector.recipe.fpn_channels

    def forward(self, images: Tensor) -> OrderedDict[str, Tensor]:
        return OrderedDict((str(i), level) for i, level in enumerate(self.features(images)))


class Torchvision(nn.Module):
    """torchvision's RetinaNet on our pyramid, with as many anchors, called as ours are."""

    def __init__(self, size: int):
        super().__init__()
        detector = ours(IOU)
        bases = [4 * 2**level for level in range(3, 8)]
        sizes = tuple(tuple(base * 2 ** (i / detector.recipe.scales_per_octave) for i in range(2)) for base in bases)
        anchors = AnchorGenerator(sizes, (detector.recipe.ratios,) * len(sizes))
        self.model = RetinaNet(Pyramid(detector), CLASSES, min_size=size, max_size=size, anchor_generator=anchors)

    def forward(self, images: Tensor, targets: list[dict[str, Tensor]]) -> dict[str, Tensor]:
        targets = [{name: x.to(images.device, non_blocking=True) for name, x in target.items()} for target in targets]
        return self.model(list(images), targets)


def stepper(model: nn.Module, data: Batch, *, half: bool = False, fused: bool | None = None) -> Callable[[], Tensor]:
    """A function that makes one training step, and does not wait for its loss. Args: `fused`, as for SGD."""
    learnable = [p for p in model.parameters() if p.requires_grad]
    optimiser = torch.optim.SGD(learnable, 1e-5, momentum=0.9, fused=fused)

    def step() -> Tensor:
        with torch.autocast(device().type, torch.bfloat16, enabled=half):
            loss = sum(model(*data).values())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        return loss.detach()

    return step


def _steps(data: Batch) -> list[Row]:
    models = {
        "torchvision, focal": Torchvision(data[0].shape[-1]).to(device(), memory_format=torch.channels_last).train(),
        "ours, focal": ours("focal_retinanet_r50_500"),
        "ours, aLRP": ours(IOU),
        "ours, aLRP, ATSS": ours(ATSS),
    }
    took = in_turn({name: stepper(model, data) for name, model in models.items()}, rounds=5)
    return [
        {
            "detector": name,
            "logits an image": sum(level.shape[1] * CLASSES for level in _logits(model, data))
            if "ours" in name
            else "",
            "step": took[name] / took["torchvision, focal"],
            "images/s": len(data[0]) / took[name],
        }
        for name, model in models.items()
    ]


@torch.no_grad()
def _logits(model: Detector, data: Batch) -> list[Tensor]:
    return model.head(model.features(data[0][:1]))[0]


def _parts(data: Batch) -> list[Row]:
    """The step of ours, taken apart. The losses know their gradient when they know their value."""
    rows = []
    tiny = RECIPES[TINY]
    shapes = batch(tiny.batch_size, tiny.train_size, SHAPES)
    for recipe, classes, batch_of in ((IOU, CLASSES, data), (ATSS, CLASSES, data), (TINY, SHAPES, shapes)):
        model = ours(recipe, classes)
        optimiser = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], 1e-5, momentum=0.9)
        times: dict[str, list[float]] = {}
        for _ in range(4):
            for name, took in _one_step_apart(model, optimiser, batch_of).items():
                times.setdefault(name, []).append(took)
        median = {name: sorted(values[1:])[1] for name, values in times.items()}
        rows.append({"detector": recipe} | {name: took / sum(median.values()) for name, took in median.items()})
    return rows


def _one_step_apart(model: Detector, optimiser: torch.optim.Optimizer, data: Batch) -> dict[str, float]:
    kept, times = {}, {}

    def timed(name: str, function: Callable, *args):
        times[name] = seconds(lambda: kept.update({name: function(*args)}))
        return kept[name]

    levels = timed("backbone, pyramid", model.features, data[0])
    logits, deltas = timed("head", lambda: [torch.cat(parts, dim=1) for parts in model.head(levels)])
    assigned = timed("assigner", lambda: assign(model.assigner, model.anchors(sizes_of(levels), logits), data[1]))
    losses = timed("loss, its gradient", model.criterion, logits, deltas, assigned)
    times["backward"] = seconds(sum(losses.values()).backward)
    times["clipping, optimiser"] = seconds(lambda: _update(model, optimiser))
    return times


def _update(model: Detector, optimiser: torch.optim.Optimizer) -> None:
    if model.recipe.clip_norm is not None:
        nn.utils.clip_grad_norm_(model.parameters(), model.recipe.clip_norm)
    optimiser.step()
    optimiser.zero_grad()


def _formats(data: Batch) -> list[Row]:
    steps = {}
    for name, layout, half in (
        ("float32, channels last", torch.channels_last, False),
        ("float32, contiguous", torch.contiguous_format, False),
        ("bfloat16 autocast, channels last", torch.channels_last, True),
    ):
        model = ours(ATSS).to(memory_format=layout)
        steps[name] = stepper(model, (data[0].contiguous(memory_format=layout), data[1]), half=half)
    first = {name: float(step()) for name, step in steps.items()}
    took = in_turn(steps, rounds=3)
    unit = "float32, channels last"
    return [
        {"format": name, "step": took[name] / took[unit], "first loss off": abs(first[name] / first[unit] - 1)}
        for name in steps
    ]


def _memory(data: Batch) -> list[Row]:
    size, images = data[0].shape[-1], len(data[0])
    kinds = ("torchvision, focal", "ours, aLRP", "ours, aLRP, ATSS")
    extra = {name: extra_memory(step_of, name, images, size) for name in kinds}
    return [{"detector": name, "MiB an image": extra[name] / images / 2**20} for name in kinds]


def step_of(name: str, num_images: int, size: int) -> Callable[[], float]:
    """The step of one detector, made anew in another process."""
    if name == "torchvision, focal":
        model = Torchvision(size).to(device(), memory_format=torch.channels_last).train()
    else:
        model = ours(ATSS if "ATSS" in name else IOU)
    return stepper(model, batch(num_images, size))
