"""Beyond the paper: a toy with two switches, which tells what each half of aLRP Loss does.

A linear score and a linear box are learned from 16 features: 60 positives among 6,060 examples, 300 steps. The two
switches say who pushes the scores, aLRP Loss or AP Loss, and who pulls the boxes, the localisation part of aLRP Loss
with self-balance or the plain mean of the errors, all boxes alike, times the best of five constant weights.

The prediction, made before the numbers: aLRP Loss makes boxes learn in the order of the scores. So it gains at high IoU
and on what is ranked high, and it costs where little is ranked yet. For an effect the box must be limited: noise moves
the objects, and no box can learn all of it. Such a box can still learn the noise of a few objects by heart. So each
detector is evaluated twice: on the examples that it has seen in training, and on as many new ones.

What was found is in the index: the pull on the boxes does it all, and it helps on the seen examples alone. It is a toy,
and no evidence about COCO.

Usage: python -m studies.toy     (ten minutes; writes figures/data/toy.csv)
"""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from alrp_ref import SelfBalance, alrp_loss, ap_loss, giou_error, iou_error
from alrp_ref.evaluation.score_iou import average_precision, correlation
from alrp_ref.machine.files import write_table
from studies.results import DATA

EXAMPLES, POSITIVES, FEATURES = 6060, 60, 16
STEPS, EPOCH = 300, 25
LOSSES = ("aLRP", "AP")
WEIGHTS = (1, 3, 10, 30, 100)
NOISES = (0.4, 0.8, 1.2)
SEEDS = 10
METRICS = ("rho", "mean IoU", "IoU of top ten", "AP50", "AP75", "AP90")
CORNERS = (("aLRP", "aLRP"), ("AP", "aLRP"), ("aLRP", "alike"), ("AP", "alike"))
"""Who pushes the scores, and who pulls the boxes."""


class Examples(NamedTuple):
    """Features (n, 16), targets (n,), and the object of each positive as a box (|P|, 4)."""

    x: Tensor
    targets: Tensor
    objects: Tensor


def box(shift: Tensor) -> Tensor:
    """Boxes x1, y1, x2, y2: a square of side 10 whose sides are shifted by so much; (n, 4) -> (n, 4)."""
    return torch.tensor([0.0, 0.0, 10.0, 10.0], dtype=shift.dtype) + shift


def data(seed: int, noise: float) -> dict[str, Examples]:
    """Examples to train on, and as many new ones of the same kind. Objects have noise of this standard deviation."""
    rng = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=rng, dtype=torch.float64)

    to_shift = normal(FEATURES, 2) / 2
    drawn = {}
    for name in ("seen", "new"):
        x, targets = normal(EXAMPLES, FEATURES), torch.zeros(EXAMPLES, dtype=torch.int64)
        targets[(x[:, 0] + x[:, 1] + 0.3 * normal(EXAMPLES)).topk(POSITIVES).indices] = 1
        shift = (x[targets == 1] @ to_shift).repeat(1, 2)
        drawn[name] = Examples(x, targets, box(shift + noise * normal(POSITIVES, 4)))
    return drawn


def train(seen: Examples, scores_by: str, boxes_by: str, weight: float) -> tuple[Tensor, Tensor]:
    """The linear score (16,) and the linear box (16, 4) after `STEPS` steps; `weight` is for boxes pulled alike."""
    x, targets, objects = seen
    positives = x[targets == 1]
    to_score, to_box = x.new_zeros(FEATURES), x.new_zeros(FEATURES, 4).requires_grad_()
    to_score[0] = -1  # a bad start: the positives at the bottom of the list
    groups = [{"params": [to_score.requires_grad_()], "lr": 0.003}, {"params": [to_box], "lr": 0.03}]
    optimiser, self_balance = torch.optim.SGD(groups, momentum=0.9), SelfBalance(period=EPOCH)
    for _ in range(STEPS):
        scores, errors = x @ to_score, giou_error(box(positives @ to_box / 2), objects)
        alrp = alrp_loss(scores, targets, errors)
        for_scores = alrp.cls if scores_by == "aLRP" else ap_loss(scores, targets)
        if boxes_by == "aLRP":
            for_boxes = self_balance.update(alrp.cls, alrp.loc) * alrp.loc
        else:
            for_boxes = weight * errors.mean()
        optimiser.zero_grad()
        (for_scores + for_boxes).backward()
        optimiser.step()
    return to_score.detach(), to_box.detach()


def evaluate(examples: Examples, to_score: Tensor, to_box: Tensor) -> dict[str, float]:
    """`METRICS`. Every example is a detection; a positive is true from an IoU on, all others are false."""
    x, targets, objects = examples
    positive, scores = (targets == 1).numpy(), (x @ to_score).numpy()
    ious = (1 - iou_error(box(x[targets == 1] @ to_box / 2), objects, tau=0.0)).numpy()
    iou_of_each = np.zeros(len(scores))
    iou_of_each[positive] = ious
    best_first = (-scores).argsort(kind="stable")
    rankings = (values.argsort(kind="stable").argsort() for values in (scores[positive], ious))
    top = ious[(-scores[positive]).argsort(kind="stable")[:10]]
    found = {"rho": correlation(*rankings), "mean IoU": ious.mean(), "IoU of top ten": top.mean()}
    for iou in (50, 75, 90):
        found[f"AP{iou}"] = average_precision(iou_of_each[best_first] >= iou / 100, POSITIVES)
    return {name: float(value) for name, value in found.items()}


def run(
    scores_by: str, boxes_by: str, seed: int, *, weight: float = 10, noise: float = 0.8
) -> dict[str, dict[str, float]]:
    """Train one toy; `METRICS` on the examples it has seen, and on new ones.

    Args:
        scores_by: who pushes the scores, "aLRP" or "AP".
        boxes_by: who pulls the boxes, "aLRP" with self-balance, or "alike" with this constant `weight`.
        seed: of the examples; everything else is the same in each run.
        noise: standard deviation of the objects' noise; their sides are 10 long.
    """
    examples = data(seed, noise)
    learned = train(examples["seen"], scores_by, boxes_by, weight)
    return {name: evaluate(some, *learned) for name, some in examples.items()}


def main() -> None:
    torch.set_num_threads(1)
    rows = []
    for noise in NOISES:
        for scores_by in LOSSES:
            for boxes_by, weight in (("aLRP", "self-balance"), *(("alike", weight) for weight in WEIGHTS)):
                for seed in range(SEEDS):
                    constant = {} if boxes_by == "aLRP" else {"weight": weight}
                    for examples, found in run(scores_by, boxes_by, seed, noise=noise, **constant).items():
                        setting = {"noise": noise, "examples": examples, "scores_by": scores_by, "boxes_by": boxes_by}
                        values = {name: f"{value:.4f}" for name, value in found.items()}
                        rows.append(setting | {"weight": weight, "seed": seed} | values)
                print(*rows[-1].values(), flush=True)
    write_table(DATA / "toy.csv", rows)


if __name__ == "__main__":
    main()
