"""Assigners, against their definitions as loops."""

import math

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torchvision.ops import box_iou

from alrp_ref.detection import assigners
from alrp_ref.detection.anchors import pyramid_anchors
from alrp_ref.detection.assigners import (
    ASSIGNERS,
    FOVEA_SCALES,
    IGNORED,
    NEGATIVE,
    atss_assign,
    fovea_assign,
    iou_assign,
    sampled,
)

STRIDES, SIZES = (8, 16, 32), [(12, 16), (6, 8), (3, 4)]


def anchors(scales: int, ratios: tuple[float, ...]) -> list[Tensor]:
    return pyramid_anchors(SIZES, STRIDES, 4.0, scales, ratios)


def random_boxes(n: int, smallest: float = 5.0) -> Tensor:
    corner = torch.rand(n, 2, dtype=torch.float64) * torch.tensor([90.0, 60.0])
    return torch.cat([corner, corner + smallest + torch.rand(n, 2, dtype=torch.float64) * 60], dim=1)


def slow_iou_assign(levels: list[Tensor], boxes: Tensor) -> list[int]:
    iou = box_iou(boxes, torch.cat(levels))
    matched = []
    for column in iou.T:
        best = column.max()
        matched.append(int(column.argmax()) if best >= 0.5 else NEGATIVE if best < 0.4 else IGNORED)
    for g, row in enumerate(iou):
        for a, value in enumerate(row):
            if value == row.max() and value > 0:
                matched[a] = g
    return matched


def cells() -> list[Tensor]:
    """FoveaBox's anchors: one square around the centre of each cell."""
    return pyramid_anchors(SIZES, STRIDES, 4.0, 1, (1.0,), offset=0.5)


def slow_fovea_assign(boxes: Tensor) -> list[int]:
    """As the release counts: whole cells, the larger boxes painted first."""
    matched = []
    for (rows, columns), stride, (least, most) in zip(SIZES, STRIDES, FOVEA_SCALES, strict=False):
        level = [[NEGATIVE] * columns for _ in range(rows)]
        areas = [float((x2 - x1) * (y2 - y1)) for x1, y1, x2, y2 in boxes]
        for g in sorted(range(len(boxes)), key=lambda g: -areas[g]):
            if not least <= math.sqrt(areas[g]) <= most:
                continue
            x1, y1, x2, y2 = (float(side) / stride for side in boxes[g])
            spans = []
            for low, high, last in ((x1, x2, columns - 1), (y1, y2, rows - 1)):
                first = math.ceil(low + 0.3 * (high - low) - 0.5)
                until = math.floor(high - 0.3 * (high - low) - 0.5)
                spans.append(range(min(max(first, 0), last), min(max(until, 0), last) + 1))
            for y in spans[1]:
                for x in spans[0]:
                    level[y][x] = g
        matched += [owner for row in level for owner in row]
    return matched


def test_fovea_paints_cells_as_the_release_counts_them():
    """By centres inside the inner part, as by whole cells, on every level; the smallest of several boxes wins."""
    for seed in range(20):
        torch.manual_seed(seed)
        boxes = random_boxes(8, smallest=2.0).clamp(max=96)
        assert fovea_assign(cells(), boxes).tolist() == slow_fovea_assign(boxes)


def test_fovea_gives_a_box_beyond_the_last_centre_the_last_cell():
    """A small box at the border, whose inner part holds no centre, is not lost."""
    box = torch.tensor([[125.0, 93.0, 128.0, 96.0]], dtype=torch.float64)
    matched = fovea_assign(cells(), box)
    assert (matched >= 0).nonzero().flatten().tolist() == [12 * 16 - 1]


def slow_atss_assign(levels: list[Tensor], boxes: Tensor) -> list[int]:
    all_anchors = torch.cat(levels)
    matched, best = [NEGATIVE] * len(all_anchors), [0.0] * len(all_anchors)
    for g, box in enumerate(boxes):
        candidates, start = [], 0
        for level in levels:
            centre = (level[:, :2] + level[:, 2:]) / 2
            distance = (centre - (box[:2] + box[2:]) / 2).norm(dim=1)
            candidates += [start + int(a) for a in distance.argsort()[:9]]
            start += len(level)
        iou = box_iou(box[None], all_anchors[candidates])[0]
        for a, value in zip(candidates, iou.tolist(), strict=True):
            x, y = ((all_anchors[a, :2] + all_anchors[a, 2:]) / 2).tolist()
            inside = min(x - box[0], y - box[1], box[2] - x, box[3] - y) > 0.01
            if inside and value >= iou.mean() + iou.std() and value > best[a]:
                matched[a], best[a] = g, value
    return matched


@pytest.mark.parametrize("n", [1, 3, 20])
def test_iou_assigner_is_its_definition(n: int):
    """The vectorised IoU assigner gives what the loop over anchors and boxes gives."""
    levels, boxes = anchors(2, (0.5, 1.0, 2.0)), random_boxes(n)
    matched = iou_assign(levels, boxes)
    assert matched.tolist() == slow_iou_assign(levels, boxes)
    assert {IGNORED, NEGATIVE, 0} <= set(matched.tolist())


@pytest.mark.parametrize("n", [1, 3, 20])
def test_atss_assigner_is_its_definition(n: int):
    """The vectorised ATSS assigner gives what the loop over boxes, levels and candidates gives."""
    levels, boxes = anchors(1, (1.0,)), random_boxes(n)
    matched = atss_assign(levels, boxes)
    assert matched.tolist() == slow_atss_assign(levels, boxes)
    assert matched.max() >= 0
    assert IGNORED not in matched


def test_every_box_gets_an_anchor_by_iou():
    """Even a box of one pixel has a positive anchor: the one it overlaps most."""
    boxes = torch.tensor([[50.0, 50.0, 51.0, 51.0], [10.0, 10.0, 80.0, 70.0]], dtype=torch.float64)
    assert set(iou_assign(anchors(2, (1.0,)), boxes).tolist()) >= {0, 1}


def test_later_box_takes_a_shared_best_anchor():
    """Of two equal boxes the second takes the anchors that tie for their best IoU."""
    box = torch.tensor([[20.0, 20.0, 60.0, 55.0]], dtype=torch.float64)
    levels = anchors(2, (1.0,))
    best = box_iou(box, torch.cat(levels))[0].argmax()
    assert iou_assign(levels, box.repeat(2, 1))[best] == 1


def test_box_that_meets_no_anchor_gets_none():
    """A box outside the picture takes no anchor, rather than all those with IoU 0."""
    boxes = torch.tensor([[5000.0, 5000.0, 5010.0, 5010.0]], dtype=torch.float64)
    assert (iou_assign(anchors(1, (1.0,)), boxes) == NEGATIVE).all()


@pytest.mark.parametrize("assigner", ASSIGNERS.values(), ids=ASSIGNERS)
def test_without_boxes_every_anchor_is_negative(assigner):
    """An image without boxes has negatives only."""
    matched = assigner(anchors(1, (1.0,)), torch.zeros(0, 4, dtype=torch.float64))
    assert (matched == NEGATIVE).all()
    assert matched.dtype == torch.int64


@pytest.mark.parametrize("assigner", ASSIGNERS.values(), ids=ASSIGNERS)
def test_a_batch_is_assigned_image_by_image(assigner):
    """All images at once get what each gets alone, with the boxes counted through; some have none."""
    levels, counts = anchors(2, (1.0,)), [3, 0, 1, 7, 0]
    boxes = random_boxes(sum(counts))
    matched = assigner(levels, boxes, counts)
    assert matched.shape == (5, sum(map(len, levels)))
    for i, (of_image, mine) in enumerate(zip(matched, boxes.split(counts), strict=True)):
        alone, before = assigner(levels, mine), sum(counts[:i])
        assert torch.equal(of_image, torch.where(alone >= 0, alone + before, alone))


@pytest.mark.parametrize("assigner", ASSIGNERS.values(), ids=ASSIGNERS)
def test_positives_overlap_their_box(assigner):
    """Every positive anchor meets the box it was given."""
    levels, boxes = anchors(2, (1.0,)), random_boxes(10)
    matched = assigner(levels, boxes)
    positive = matched >= 0
    iou = box_iou(boxes, torch.cat(levels))[matched[positive], positive.nonzero()[:, 0]]
    assert positive.any()
    assert (iou > 0).all()


def test_the_first_stage_rescues_only_what_it_half_meets():
    """In the first stage a box takes its best anchor if their IoU is at least 0.3."""
    anchor = torch.tensor([[0.0, 0.0, 100.0, 100.0]])
    for width, expected in ((20.0, NEGATIVE), (35.0, 0), (80.0, 0)):
        assert ASSIGNERS["rpn"]([anchor], torch.tensor([[0.0, 0.0, width, 100.0]])).tolist() == [expected]


@pytest.mark.parametrize(
    "number, fraction, expected", [(40, 0.5, (20, 20)), (40, 1.0, (25, 15)), (80, 0.5, (25, 55)), (999, 0.5, (25, 100))]
)
def test_sampling_keeps_a_number_and_a_share_of_positives(number: int, fraction: float, expected: tuple[int, int]):
    """Of 25 positives and 100 negatives it keeps no more positives than their share, fills up with negatives, and
    changes no label; what it drops is ignored."""
    whole = torch.tensor([3] * 25 + [NEGATIVE] * 100 + [IGNORED] * 10)[torch.randperm(135)]
    kept = sampled(lambda anchors, boxes, counts: whole, number, fraction)([], torch.zeros(0, 4))
    assert ((kept >= 0).sum(), (kept == NEGATIVE).sum()) == expected
    assert kept[kept != IGNORED].equal(whole[kept != IGNORED])
    other = sampled(lambda anchors, boxes, counts: whole, number, fraction)([], torch.zeros(0, 4))
    assert kept.equal(other) == (sum(expected) == 125)


@pytest.mark.parametrize("name", ASSIGNERS)
@pytest.mark.parametrize("pairs", [1, 3000])
def test_boxes_may_be_compared_in_pieces(monkeypatch, name, pairs):
    """The result is that of all boxes at once, to the last tie: with boxes that are there twice, and images without."""
    levels = cells() if name == "fovea" else anchors(2, (0.5, 1.0, 2.0))
    boxes, counts = random_boxes(15), [5, 0, 7, 3]
    boxes[2] = boxes[1]
    whole = ASSIGNERS[name](levels, boxes, counts)
    monkeypatch.setattr(assigners, "PAIRS", pairs)
    assert torch.equal(ASSIGNERS[name](levels, boxes, counts), whole) and (whole >= 0).any()


@pytest.mark.parametrize("name", ASSIGNERS)
def test_the_memory_does_not_grow_with_the_boxes(monkeypatch, name):
    """No tensor that is made has more pairs of a box and an anchor than are compared at once, by far."""
    monkeypatch.setattr(assigners, "PAIRS", 20_000)
    largest = []

    class Watch(TorchDispatchMode):
        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            result = function(*args, **(kwargs or {}))
            largest.extend(one.numel() for one in tree_leaves(result) if isinstance(one, Tensor))
            return result

    levels = cells() if name == "fovea" else anchors(2, (0.5, 1.0, 2.0))
    with Watch():
        ASSIGNERS[name](levels, random_boxes(2000), [1000, 1000])
    assert max(largest) <= 4 * 20_000 < 2000 * sum(map(len, levels)) / 5
