"""The README's animation: one list sorts itself under cross entropy, AP Loss and aLRP Loss.

Four positives and six negatives, thirty steps of gradient descent on their scores; the list and the rates of the
interactive picture `race.js`. The first step of each loss moves the scores by the same total. Each step raises the
IoUs by the same total, too, less what would pass 1: cross entropy and AP Loss raise all alike, aLRP Loss by its
gradients of the boxes.
"""

from itertools import pairwise
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from alrp_ref import alrp_loss, ap_loss
from alrp_ref.palette import GREY, INK, LIGHT, NEGATIVE, POSITIVE
from figures.style import LOOKS, Svg

S_POS, S_NEG = (-1.4, 0.2, -2.2, -0.4), (1.6, 0.9, -0.1, 0.5, -0.8, -1.8)
IOUS = (0.55, 0.60, 0.65, 0.70)
TARGETS = torch.tensor([1] * len(S_POS) + [0] * len(S_NEG))
STEPS, FIRST, BOX = 30, 1.6, 0.035
"""Steps; by how much the first moves all scores together, and each step all IoUs."""


class State(NamedTuple):
    """Scores of all ten, positives first (10,), and the IoUs of the positives (4,)."""

    scores: Tensor
    ious: Tensor

    def ranking(self) -> list[int]:
        """The examples, best score first."""
        return self.scores.argsort(descending=True, stable=True).tolist()

    def average_precision(self, *ious: float) -> float:
        """Sum of the interpolated precisions of the true positives over the number of objects, mean over the IoUs."""
        return sum(map(self._average_precision, ious)) / len(ious)

    def _average_precision(self, iou: float) -> float:
        true = torch.tensor([k < len(S_POS) and float(self.ious[k]) >= iou for k in self.ranking()]).double()
        precision = true.cumsum(0) / torch.arange(1, len(true) + 1)
        return float((precision.flip(0).cummax(0).values.flip(0) * true).sum() / len(S_POS))


def gradients(loss: str, state: State) -> tuple[Tensor, Tensor]:
    """With respect to the scores, and the share of each box in what a step raises."""
    scores, errors = state.scores.clone().requires_grad_(), (2 * (1 - state.ious)).requires_grad_()
    boxes = torch.ones_like(errors)
    if loss == "aLRP Loss":
        out = alrp_loss(scores, TARGETS, errors)
        (out.cls + out.loc).backward()
        boxes = errors.grad
    elif loss == "AP Loss":
        ap_loss(scores, TARGETS, interpolated=False).backward()
    else:
        F.binary_cross_entropy_with_logits(scores, TARGETS.double()).backward()
    return scores.grad, boxes / boxes.sum()


def states(loss: str) -> list[State]:
    """The list at the start and after each step."""
    state = State(*(torch.tensor(x, dtype=torch.float64) for x in (S_POS + S_NEG, IOUS)))
    rate = FIRST / float(gradients(loss, state)[0].abs().sum())
    found = [state]
    for _ in range(STEPS):
        slope, share = gradients(loss, found[-1])
        found.append(State(found[-1].scores - rate * slope, (found[-1].ious + BOX * share).clamp(max=1)))
    return found


METRICS = {"AP": tuple(k / 100 for k in range(50, 100, 5)), "AP50": (0.5,), "AP75": (0.75,), "AP90": (0.9,)}
"""Their names and IoUs."""
COLUMN, ROW, TOP, WIDE = 230, 30, 44, 206
SECONDS, HELD = 15, (0.06, 0.2)
"""How long it takes; which parts of it show the first and the last list."""


def draw() -> Svg:
    """Moved by CSS alone. Who wants no motion, and a viewer that shows none, sees the last list."""
    styles, body = [], []
    for column, loss in enumerate(("cross entropy", "AP Loss", "aLRP Loss")):
        x, of_loss = 20 + COLUMN * column, states(loss)
        places = torch.tensor([state.ranking() for state in of_loss]).argsort(1)
        body.append(_text(x + WIDE / 2, 28, loss, fill=LOOKS[loss].colour, weight=600, size=17, anchor="middle"))
        for k in range(len(TARGETS)):
            name, positive = f"{'abc'[column]}{k}", k < len(S_POS)
            steps = [f"translateY({TOP + ROW * place}px)" for place in places[:, k].tolist()]
            styles.append(_keyframes(name, "transform", steps))
            bar = f'<rect x="{x}" width="{WIDE}" height="26" rx="4" fill="{LIGHT if positive else NEGATIVE}"/>'
            if positive:
                widths = [f"scaleX({float(state.ious[k]):.3f})" for state in of_loss]
                styles.append(_keyframes(f"{name}w", "transform", widths, smooth=True))
                bar += f'<rect id="{name}w" x="{x}" width="{WIDE}" height="26" rx="4" fill="{POSITIVE}"/>'
                styles.append(f"#{name}w {{ transform-origin: {x}px 0 }}")
            label = _text(x + 10, 18, "positive" if positive else "negative", fill="white")
            body.append(f'<g id="{name}">{bar}{label}</g>')
        below = TOP + ROW * len(TARGETS) + 22
        for line, (metric, ious) in enumerate(METRICS.items()):
            values = [f"{state.average_precision(*ious):.2f}" for state in of_loss]
            body.append(_text(x, below + 22 * line, metric, fill=GREY))
            for n, value in enumerate(dict.fromkeys(values)):
                name = f"{'abc'[column]}{line}v{n}"
                styles.append(_keyframes(name, "opacity", ["1" if v == value else "0" for v in values], jump=True))
                body.append(_text(x + WIDE, below + 22 * line, value, fill=INK, anchor="end", name=name))
    height = below + 22 * (len(METRICS) - 1) + 36
    note = "Each loss moves the same ten scores. Blue: the IoU of a positive with its object."
    body.append(_text(20, height - 14, note, fill=GREY, size=13))
    style = "\n".join(styles)
    return Svg(
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {3 * COLUMN + 16} {height}" width="{3 * COLUMN + 16}" '
        f'font-family="system-ui, sans-serif" font-size="14">\n<title>A list of ten examples sorts itself</title>\n'
        f"<style>\ng, rect, text {{ animation: {SECONDS}s linear infinite }}\n{style}\n"
        "@media (prefers-reduced-motion: reduce) { g, rect, text { animation: none !important } }\n</style>\n"
        f'<rect width="100%" height="100%" fill="white"/>\n{chr(10).join(body)}\n</svg>\n'
    )


def _keyframes(name: str, what: str, values: list[str], smooth: bool = False, jump: bool = False) -> str:
    """The values of one property, a step each: held and then changed quickly, changed evenly, or changed at once."""
    first, last = (100 * part for part in HELD)
    each = (100 - first - last) / (len(values) - 1)
    frames = [(0.0, values[0])]
    for k, (old, new) in enumerate(pairwise(values)):
        if new != old or smooth:
            change = each if smooth else 0.01 if jump else 0.7 * each
            frames += [(first + (k + 1) * each - change, old), (first + (k + 1) * each, new)]
    frames = list(dict.fromkeys((f"{at:.2f}%", value) for at, value in [*frames, (100.0, values[-1])]))
    steps = " ".join(f"{at} {{ {what}: {value} }}" for at, value in frames)
    return f"#{name} {{ {what}: {values[-1]}; animation-name: {name} }}\n@keyframes {name} {{ {steps} }}"


def _text(x: float, y: float, text: str, fill: str, size: int = 14, weight: int = 400, anchor="start", name="") -> str:
    named = f' id="{name}"' if name else ""
    look = f'fill="{fill}" font-size="{size}" font-weight="{weight}" text-anchor="{anchor}"'
    return f'<text{named} x="{x:g}" y="{y:g}" {look}>{text}</text>'
