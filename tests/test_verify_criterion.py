"""`verify_criterion` tells a right call of the loss from the wrong calls of public ports, and names what is wrong."""

import re
from pathlib import Path

import pytest
import torch

from alrp_ref import ALRPLoss, alrp_loss, flatten_batch, iou_error, verify_criterion
from alrp_ref.batch import flatten_levels
from alrp_ref.verification.criterion import CHANGES


class Criterion:
    """A right one; `of` says which lists it makes, and what is done before and after."""

    def __init__(self, period=None, lists=None, **options):
        self.loss, self.lists, self.options = ALRPLoss(period), lists, options

    def __call__(self, logits, labels, boxes, target_boxes):
        batches = [(logits, labels, boxes, target_boxes)]
        if self.lists == "image":
            batches = list(zip(*(x.split(1) for x in batches[0]), strict=True))
        if self.lists == "level":
            batches = list(zip(logits, labels, boxes, target_boxes, strict=True))
        outs = [self.loss(*flatten_batch(*one, **self.options)) for one in batches]
        return {
            "loss_cls": sum(out.cls for out in outs) / len(outs),
            "loss_bbox": sum(out.loc_weight * out.loc for out in outs) / len(outs),
        }


def text_of(found):
    return " ".join(line.strip() for line in found.explanation)


@pytest.mark.parametrize("period", [None, 1, 2, 5])
def test_a_right_criterion_passes(period):
    """Whatever its period."""
    found = verify_criterion(Criterion(period), period=period)
    assert found.passed and not found.explanation, str(found)
    assert len(found.cases) == 3 + (period is not None)


def test_levels_that_are_joined_first_pass():
    """A criterion that is given lists of levels and joins them."""

    def joined(*given):
        return Criterion()(*(torch.cat(x, dim=1) for x in given))

    assert verify_criterion(joined, levels=True).passed


def flat(change):
    """A criterion that changes the list."""

    def criterion(logits, labels, boxes, target_boxes):
        out = alrp_loss(*change(flatten_batch(logits, labels, boxes, target_boxes), logits, labels))
        return out.cls, 50 * out.loc

    return criterion


def only_positives(one, logits, labels):
    own = (labels >= 0)[..., None].expand(logits.shape).flatten()
    return one.logits[own], one.targets[own], one.loc_errors


def soft(one, logits, labels):
    return one.logits, (one.targets * 0.9).long(), one.loc_errors[:0]


def encoded(boxes):
    """Read as corners, another box."""
    return torch.cat([boxes[..., :2], boxes[..., :2] + boxes[..., 2:]], dim=-1)


def by_level(one, logits, labels):
    order = torch.tensor([0, 1, 3, 4, 2, 5, 6])  # the third positive of the first image is on the second level
    return one._replace(loc_errors=one.loc_errors[order])


@pytest.mark.parametrize(
    ("criterion", "options", "words"),
    [
        (Criterion(lists="image"), {}, "each image had a list of its own"),
        (Criterion(lists="level"), {"levels": True}, "each level had a list of its own"),
        (flat(only_positives), {}, "only the logits of positive anchors were ranked"),
        (flat(soft), {}, "there is no positive in the list (are the targets soft?)"),
        (flat(by_level), {}, "the errors were in the order of level, image and anchor"),
        (flat(lambda one, *_: one._replace(targets=one.targets.clamp(min=0))), {}, "ignored anchors were negatives"),
        (flat(lambda one, *_: one._replace(logits=one.logits.sigmoid())), {}, "the scores were probabilities"),
        (flat(lambda one, *_: one._replace(loc_errors=one.loc_errors.detach())), {}, "The boxes get no gradient"),
        (Criterion(box_format="cxcywh"), {}, "boxes were read as centre and size"),
        (Criterion(loc_error=iou_error), {}, "the errors were (1 - IoU) / (1 - .5)"),
        (
            Criterion(),
            {"encode": encoded},
            "of the encoded boxes: decode both",
        ),
        (lambda *one: [2 * x for x in Criterion()(*one).values()], {}, "2 times what they should be"),
    ],
)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_wrong_call_is_named(criterion, options, words):
    """In a sentence, in 80 columns."""
    found = verify_criterion(criterion, **options)
    assert not found.passed and words in text_of(found), str(found)
    assert max(map(len, found.explanation)) <= 80


@pytest.mark.parametrize("change", CHANGES)
def test_each_change_of_the_list_is_told_from_the_others(change):
    """The sentence is its own."""
    found = verify_criterion(flat(lambda one, logits, labels: CHANGES[change](one, batch_of(logits, labels))))
    assert change in text_of(found), str(found)


def batch_of(logits, labels):
    from alrp_ref.verification.criterion import Batch

    return Batch(logits, labels, logits, logits)


@pytest.mark.parametrize(("calls", "told"), [(1, "in call 5"), (0, "never")])
def test_a_self_balance_that_counts_other_steps_is_named(calls, told):
    """One that counts each image as a step, or none."""
    criterion = Criterion(8 if calls else None)

    def counted(*one):
        result = criterion(*one)
        for _ in range(calls):
            criterion(*one)
        return result

    found = verify_criterion(counted, period=8)
    assert not found.passed and f"is renewed {told} " in text_of(found) and "should be in call 8" in text_of(found)


def test_a_result_without_two_parts_is_refused():
    """The message says what is expected."""
    with pytest.raises(ValueError, match="must return the two parts of its loss"):
        verify_criterion(lambda *one: torch.tensor(1.0))


def test_levels_of_a_head_become_anchors():
    """Each value goes where the release's permutation puts it, for two anchors at each place."""
    levels = [torch.randn(2, 6, 3, 4), torch.randn(2, 6, 1, 2)]
    joined = flatten_levels(levels, 3)
    assert joined.shape == (2, 2 * (12 + 2), 3)
    for image, level, row, column, anchor in ((0, 0, 2, 1, 1), (1, 0, 0, 3, 0), (1, 1, 0, 1, 1)):
        before, width = 24 * level, (4, 2)[level]
        place = before + 2 * (row * width + column) + anchor
        assert torch.equal(joined[image, place], levels[level][image, 3 * anchor : 3 * anchor + 3, row, column])
    with pytest.raises(ValueError, match=r"level 1 must be \(B, A \* 4, H, W\), got \(2, 6, 1, 2\)"):
        flatten_levels([torch.randn(2, 8, 3, 4), levels[1]], 4)


def test_the_example_of_the_page_prints_what_stands_below_it(capsys):
    """The code of docs/own_detector.md runs, and ends with the sentence that the page shows."""
    page = (Path(__file__).parents[1] / "docs" / "own_detector.md").read_text(encoding="utf-8")
    code, printed = re.search(r"```python\n(.*?)```\n\n```\n(.*?)```", page, re.DOTALL).groups()
    exec(compile(code, "own_detector.md", "exec"), {})
    assert capsys.readouterr().out.endswith(printed)
