"""The batch-shaped door: what `flatten_batch` makes of a detector's batch is what one would write by hand."""

import warnings
from functools import partial

import pytest
import torch
from lists import assert_close

from alrp_ref import ALRPLoss, alrp_loss, ap_loss, checks, flatten_batch, giou_error, iou_error, pairwise

B, N, C = 3, 40, 5


def batch(positives: int = 4, ignored: int = 7):
    """Logits, labels and both boxes of every anchor, in float64; the first image has no positive."""
    labels = torch.full((B, N), -1)
    for image in range(B):
        order = torch.randperm(N)
        if image > 0:
            labels[image, order[:positives]] = torch.randint(C, (positives,))
        labels[image, order[-ignored:]] = -2
    corner = 100 * torch.rand(B, N, 2, dtype=torch.float64)
    target_boxes = torch.cat([corner, corner + 20 + 10 * torch.rand(B, N, 2, dtype=torch.float64)], dim=-1)
    boxes = (target_boxes + torch.randn(B, N, 4, dtype=torch.float64)).requires_grad_()
    return torch.randn(B, N, C, dtype=torch.float64, requires_grad=True), labels, boxes, target_boxes


def by_hand(logits, labels, boxes, target_boxes, loc_error=giou_error):
    """The flat list, entry by entry."""
    scores, targets, errors = [], [], []
    for b in range(B):
        for n in range(N):
            for c in range(C):
                scores.append(logits[b, n, c])
                is_positive = labels[b, n] == c
                targets.append(-1 if labels[b, n] == -2 else int(is_positive))
                if is_positive:
                    errors.append(loc_error(boxes[b, n][None], target_boxes[b, n][None]))
    return torch.stack(scores), torch.tensor(targets), torch.cat(errors)


def centre_size(boxes):
    return torch.cat([(boxes[..., :2] + boxes[..., 2:]) / 2, boxes[..., 2:] - boxes[..., :2]], dim=-1)


@pytest.mark.parametrize("form", ["of anchors", "of positives", "decoded", "centre and size"])
@pytest.mark.parametrize("loc_error", [giou_error, iou_error, partial(iou_error, tau=0.6)])
def test_losses_and_gradients_are_those_of_the_list_made_by_hand(form, loc_error):
    """With boxes in each of their forms, to 1e-12, for the fast loss and for pairwise."""
    logits, labels, boxes, target_boxes = batch()
    is_positive, options = labels >= 0, {"loc_error": loc_error}
    given = {
        "of anchors": (boxes, target_boxes),
        "of positives": (boxes[is_positive], target_boxes[is_positive]),
        "decoded": (lambda mask: boxes[mask], lambda mask: target_boxes[mask]),
        "centre and size": (centre_size(boxes), centre_size(target_boxes)),
    }[form]
    if form == "centre and size":
        options["box_format"] = "cxcywh"
    found = flatten_batch(logits, labels, *given, **options)
    wanted = by_hand(logits, labels, boxes, target_boxes, loc_error)
    assert torch.equal(found.targets.long(), wanted[1]) and found.targets.dtype == torch.int8
    for loss in (alrp_loss, pairwise.alrp_loss):
        results = []
        for flat in (found, wanted):
            out = loss(*flat)
            gradients = torch.autograd.grad(out.cls + 7 * out.loc, (logits, boxes), retain_graph=True)
            results.append((out.cls, out.loc, *gradients))
        for of_batch, of_list in zip(*results, strict=True):
            assert_close(of_batch, of_list, 1e-12)


def test_one_call_trains():
    """Its result unpacks into ALRPLoss and, without the errors, into AP Loss."""
    logits, labels, boxes, target_boxes = batch()
    flat = flatten_batch(logits, labels, boxes, target_boxes)
    (ALRPLoss(period=None)(*flat).total + ap_loss(*flat[:2])).backward()
    assert logits.grad.abs().sum() > 0 and boxes.grad[labels < 0].abs().sum() == 0
    assert (boxes.grad[labels >= 0].abs().sum(dim=-1) > 0).all()


@pytest.mark.parametrize("positives", [0, 4])
@pytest.mark.parametrize("asynchronous", [False, True], ids=["cpu", "as on a GPU"])
def test_padding_is_masked_with_minus_infinity(positives, asynchronous, monkeypatch):
    """-inf on ignored anchors changes no loss and no gradient, and leaves 0 there; with no positives too."""
    monkeypatch.setattr(checks, "is_asynchronous", lambda tensor: asynchronous)
    logits, labels, boxes, target_boxes = batch(positives)
    results = []
    for padded in (False, True):
        masked = logits.masked_fill((labels == -2)[..., None], -torch.inf) if padded else logits
        masked = masked.detach().requires_grad_()
        flat = flatten_batch(masked, labels, boxes, target_boxes)
        out = alrp_loss(*flat)
        (out.cls + out.loc + ap_loss(*flat[:2])).backward()
        results.append((out.cls, out.loc, masked.grad))
    assert all(torch.equal(with_padding, without) for without, with_padding in zip(*results, strict=True))
    assert (results[1][2][labels == -2] == 0).all()


@pytest.mark.parametrize("label", [-1, 2])
@pytest.mark.parametrize("value", [torch.inf, torch.nan, -torch.inf])
def test_elsewhere_logits_are_finite(label, value):
    """A -inf that is ranked, and any inf or NaN, is an error as before."""
    logits, labels, boxes, target_boxes = batch()
    labels[0, 0] = label
    logits.data[0, 0, 0] = value
    with pytest.raises(ValueError, match="logits must be finite"):
        alrp_loss(*flatten_batch(logits, labels, boxes, target_boxes))


@pytest.mark.parametrize("value", [torch.inf, torch.nan])
def test_only_minus_infinity_is_padding(value):
    """inf and NaN are errors where the label is ignored, too."""
    logits, labels, boxes, target_boxes = batch()
    logits.data[labels == -2] = value
    with pytest.raises(ValueError, match="logits must be finite"):
        alrp_loss(*flatten_batch(logits, labels, boxes, target_boxes))


WRONG = {
    "flat logits": (lambda x: x | {"logits": x["logits"].flatten()}, "logits must be floating point"),
    "classes first": (lambda x: x | {"logits": x["logits"].mT}, "labels must have the B, N of logits"),
    "background column": (lambda x: x | {"labels": x["labels"].where(x["labels"] >= 0, C)}, "labels must be 0 to 4"),
    "one-hot labels": (lambda x: x | {"labels": x["labels"] == 0}, "labels must be signed integers"),
    "too few boxes": (lambda x: x | {"boxes": x["boxes"][:, :-1]}, "boxes must be"),
    "boxes of one image": (lambda x: x | {"target_boxes": x["target_boxes"][0]}, "shape of pred"),
    "no boxes": (lambda x: x | {"boxes": None}, "boxes must be a torch.Tensor"),
    "format": (lambda x: x | {"box_format": "xywh"}, "box_format must be"),
    "centre and size": (lambda x: x | {"target_boxes": centre_size(x["target_boxes"])}, "sides of 0 or more"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_what_does_not_fit_is_named(wrong):
    """Shapes, labels, formats and boxes that are wrong raise a ValueError that says which and what they should be."""
    change, message = WRONG[wrong]
    good = dict(zip(("logits", "labels", "boxes", "target_boxes"), batch(), strict=True))
    with pytest.raises(ValueError, match=message):
        flatten_batch(**change(good))


def test_probabilities_do_not_pass_in_silence():
    """Scores that all lie in [0, 1], far apart, are taken for probabilities, by the batch and by both losses."""
    probabilities, labels = torch.linspace(0.01, 0.9, 80).view(2, 20, 2), torch.full((2, 20), -1)
    labels[0, :3] = 1
    boxes = torch.tensor([0.0, 0.0, 1.0, 1.0]).expand(3, 4)
    targets = (torch.arange(80) < 5).long()
    for call in (
        lambda: flatten_batch(probabilities, labels, boxes, boxes),
        lambda: alrp_loss(probabilities.flatten(), targets, torch.rand(5)),
        lambda: ap_loss(probabilities.flatten(), targets),
    ):
        with pytest.warns(UserWarning, match="before the sigmoid") as found:
            call()
        assert {warning.filename for warning in found} == {__file__}  # the line of the user


@pytest.mark.parametrize("least, greatest", [(0.07, 0.17), (-0.1, 0.9), (0.2, 1.4)])
def test_small_logits_are_not_taken_for_probabilities(least, greatest):
    """The first logits of a new head may all lie between 0 and 1, close together."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ap_loss(torch.linspace(least, greatest, 80), (torch.arange(80) < 5).long())


def test_a_background_class_of_0_does_not_pass_in_silence():
    """Where every anchor is positive, 0 was the background; that a few are is no reason."""
    logits, boxes = torch.randn(2, 20, 3), torch.tensor([0.0, 0.0, 1.0, 1.0]).expand(40, 4)
    with pytest.warns(UserWarning, match="every anchor is positive.*labels - 1"):
        flatten_batch(logits, torch.randint(0, 3, (2, 20)), boxes, boxes)
    labels = torch.randint(0, 3, (2, 20)) - 1
    flatten_batch(logits, labels, boxes[: (labels >= 0).sum()], boxes[: (labels >= 0).sum()])


def test_a_background_class_of_0_beside_padding_does_not_pass_in_silence():
    """Ignored anchors are no negatives; where all are ignored there is nothing to ask."""
    logits, labels = torch.randn(1, 40, 4), torch.zeros(1, 40, dtype=torch.int64)
    labels[0, 20:] = -2
    boxes = torch.tensor([[0.0, 0, 1, 1]]).expand(20, 4)
    with pytest.warns(UserWarning, match="every anchor is positive or ignored.*labels - 1"):
        flatten_batch(logits, labels, boxes, boxes)
    with warnings.catch_warnings(action="error"):
        flatten_batch(logits, torch.full_like(labels, -2), boxes[:0], boxes[:0])


def test_a_list_of_levels_is_told_how_to_become_a_tensor():
    """As detectors have their outputs level by level."""
    with pytest.raises(
        ValueError, match=r"logits must be a torch\.Tensor, got list: alrp_ref\.batch\.flatten_levels makes one"
    ):
        flatten_batch([torch.randn(2, 4, 3)], *batch()[1:])


@pytest.mark.parametrize("wrong", ["background column", "centre and size"])
def test_on_a_gpu_wrong_values_make_the_loss_nan(wrong, monkeypatch):
    """Nothing waits there for a label or a box; what is wrong shows in the loss."""
    monkeypatch.setattr(checks, "is_asynchronous", lambda tensor: True)
    good = dict(zip(("logits", "labels", "boxes", "target_boxes"), batch(), strict=True))
    out = alrp_loss(*flatten_batch(**WRONG[wrong][0](good)))
    assert out.cls.isnan() and out.loc.isnan()


def test_boxes_of_positives_compile_to_one_graph():
    """With boxes of the positives, the batch and the loss are one graph: their number is known."""
    logits, labels, boxes, target_boxes = batch()
    boxes, target_boxes = boxes.detach()[labels >= 0], target_boxes[labels >= 0]

    def step(logits):
        return alrp_loss(*flatten_batch(2 * logits, labels, boxes, target_boxes)).cls

    compiled = torch.compile(step, fullgraph=True, backend="aot_eager")
    assert_close(compiled(logits), step(logits), 1e-12)
