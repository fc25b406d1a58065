"""What the examples share: the generated shapes set, batches of it, and the AP of what a detector finds.

None of this is about the loss.
"""

import argparse
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader
from torchvision.transforms.v2.functional import to_dtype, to_image

from alrp_ref.data import CocoDataset, make_shapes
from alrp_ref.evaluation import evaluate
from alrp_ref.losses import BalancedALRP

SIZE = 96
Targets = list[dict[str, Tensor]]


def parser(description: str | None) -> argparse.ArgumentParser:
    """The options that all examples have."""
    options = argparse.ArgumentParser(description=(description or "").partition("\n")[0])
    options.add_argument("--steps", type=int, default=40, help="training steps (default: 40)")
    options.add_argument("--images", type=int, default=800, help="training images to draw (default: 800)")
    options.add_argument("--val-images", type=int, default=100, help="validation images to draw (default: 100)")
    options.add_argument("--data", type=Path, default=Path("runs/examples/shapes"), help="folder for the drawn images")
    return options


def datasets(args: argparse.Namespace) -> tuple[CocoDataset, CocoDataset]:
    """The training and the validation images, drawn if they are not there yet; images are float (3, S, S) in [0, 1]."""
    make_shapes(args.data, train_images=args.images, val_images=args.val_images, size=SIZE)
    return (
        CocoDataset(args.data, "train2017", transform=as_tensors, cache=True),
        CocoDataset(args.data, "val2017", transform=as_tensors, keep_empty=True, cache=True),
    )


def as_tensors(image, target: dict) -> tuple[Tensor, dict]:
    """One item as plain tensors, which a detector of any library takes."""
    plain = {name: value.as_subclass(Tensor) if isinstance(value, Tensor) else value for name, value in target.items()}
    return to_dtype(to_image(image), torch.float32, scale=True).as_subclass(Tensor), plain


def loader(train: CocoDataset, batch_size: int = 8) -> DataLoader:
    """Shuffled batches: a list of images, a list of targets."""
    return DataLoader(
        train,
        batch_size,
        shuffle=True,
        drop_last=True,
        collate_fn=lambda batch: tuple(map(list, zip(*batch, strict=True))),
    )


def forever(batches: DataLoader) -> Iterator[tuple[list[Tensor], Targets]]:
    """Epoch after epoch."""
    return itertools.chain.from_iterable(itertools.repeat(batches))


def mirror(images: list[Tensor], targets: Targets) -> tuple[list[Tensor], Targets]:
    """Half of the images from left to right: with as few as these, a detector learns some of them by heart."""
    images, targets = list(images), list(targets)
    for i in (torch.rand(len(images)) < 0.5).nonzero()[:, 0].tolist():
        width, (x1, y1, x2, y2) = images[i].shape[-1], targets[i]["boxes"].unbind(1)
        images[i] = images[i].flip(-1)
        targets[i] = targets[i] | {"boxes": torch.stack([width - x2, y1, width - x1, y2], dim=1)}
    return images, targets


@torch.no_grad()
def average_precision(val: CocoDataset, model: nn.Module, detect: Callable[[list[Tensor]], Targets]) -> str:
    """AP and AP50 of `detect(images)`, which returns boxes in pixels, labels 0 to C - 1 and scores of each image."""
    was_training = model.training
    model.eval()
    found = []
    for start in range(0, len(val), 20):
        items = [val[k] for k in range(start, min(start + 20, len(val)))]
        for (_, target), one in zip(items, detect([image for image, _ in items]), strict=True):
            rows = zip(one["boxes"].tolist(), one["labels"].tolist(), one["scores"].tolist(), strict=True)
            for (x1, y1, x2, y2), label, score in rows:
                box = [x1, y1, x2 - x1, y2 - y1]
                category = val.category_ids[label]
                found.append({"image_id": target["image_id"], "category_id": category, "bbox": box, "score": score})
    model.train(was_training)
    metrics = evaluate(val.annotation_file, found)
    return f"AP {metrics['AP']:.3f}  AP50 {metrics['AP50']:.3f}"


def train(
    args: argparse.Namespace,
    model: nn.Module,
    losses_of: Callable[[list[Tensor], Targets], tuple[Tensor, BalancedALRP]],
    detect: Callable[[list[Tensor]], Targets],
    data: tuple[CocoDataset, CocoDataset],
    optimiser: torch.optim.Optimizer,
    clip_norm: float,
) -> None:
    """The usual loop: warm-up, gradient clipping, a line of the log now and then, the AP before and after.

    Args: `losses_of(images, targets)`, the loss to minimise and the parts for the log; `detect`, as for
        `average_precision`; the rest by name.
    """
    training, val = data
    warm_up = torch.optim.lr_scheduler.LinearLR(optimiser, 0.01, total_iters=50)
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, max(1, args.steps))
    schedule = torch.optim.lr_scheduler.ChainedScheduler([warm_up, cosine])
    print(f"step 0: {average_precision(val, model, detect)}", flush=True)
    model.train()
    for step, (images, targets) in zip(range(1, args.steps + 1), forever(loader(training)), strict=False):
        loss, out = losses_of(*mirror(images, targets))
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), clip_norm)
        optimiser.step()
        schedule.step()
        if step % max(1, args.steps // 10) == 0:
            print(f"step {step}: cls {out.cls:.3f}  loc {out.loc:.4f}  weight {out.loc_weight:.1f}", flush=True)
    print(f"step {args.steps}: {average_precision(val, model, detect)}", flush=True)
