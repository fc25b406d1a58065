"""A detector as a whole: what all of them promise, on a small one of each kind."""

from dataclasses import FrozenInstanceError, replace
from pathlib import Path

import pytest
import torch
from detection.small import EMPTY, SMALL, batch, confident
from PIL import Image
from torch import Tensor
from torch.testing import assert_close
from torchvision.transforms.v2.functional import pil_to_tensor

from alrp_ref import SelfBalance
from alrp_ref.detection import RECIPES, Recipe, build_detector, load_official_checkpoint
from alrp_ref.detection.detector import Detector, sizes_of
from alrp_ref.detection.preprocess import to_input
from alrp_ref.detection.recipe_losses import ALRP, AP, LOSSES, RankSort

STEPS = {"alrp_faster": 200, "ce_faster": 250, "ce_giou_faster": 250}
"""A second stage that learns from a sample takes longer."""

LEARNING_RATE = {"alrp_fovea": 0.005}
"""Log distances are not divided by a standard deviation, as deltas are: each step takes them ten times as far."""


def small(name: str, num_classes: int = 2, **options) -> Detector:
    return build_detector(SMALL[name], num_classes, **options)


def assert_levels_are_known(recipe: Recipe, height: int, width: int) -> None:
    with torch.device("meta"):
        model = build_detector(recipe, num_classes=2)
        images = torch.empty(1, 3, height, width)
    assert model.level_sizes(images) == sizes_of(model.features(images))


kinds = pytest.mark.parametrize("name", SMALL)
one_of_a_kind = pytest.mark.parametrize("name", ["alrp_tiny", "alrp_fovea", "alrp_faster", "ce_faster"])


@pytest.mark.parametrize("recipe", {(r.backbone, r.detector, r.levels): r for r in RECIPES.values()}.values())
def test_the_sizes_of_the_levels_are_known_before_the_network(recipe: Recipe):
    """Of every backbone and pyramid of the recipes, for sides that strides divide and sides that they do not."""
    for size in ((128, 128), (97, 130), (333, 65)):
        assert_levels_are_known(recipe, *size)


@one_of_a_kind
def test_a_detector_trains_after_it_was_used_in_inference_mode(name: str):
    """What it keeps, anchors and constants, serves both, in whichever mode it was made."""
    model, (images, targets) = small(name).double(), batch(size=70)
    with torch.inference_mode():
        model.eval()(images.double())
    sum(model.train()(images.double(), targets).values()).backward()


@pytest.mark.parametrize("name", [pytest.param(n, marks=[pytest.mark.slow] * (n != "alrp_tiny")) for n in SMALL])
def test_two_images_are_learnt_by_heart(name: str):
    """Each small detector finds all boxes of two images, with their labels."""
    model = small(name, self_balance_period=5)
    images, targets = batch(size=64)
    rate = LEARNING_RATE.get(name, 0.02)
    optimizer = torch.optim.SGD(model.parameters(), lr=rate, momentum=0.9)
    for step in range(STEPS.get(name, 150)):
        optimizer.param_groups[0]["lr"] = rate * min(1, (step + 1) / 10)
        optimizer.zero_grad()
        sum(model(images, targets).values()).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 10.0)
        optimizer.step()
    for found, target in zip(model.eval()(images), targets, strict=True):
        first = found["labels"][:2].argsort()
        assert found["labels"][:2][first].tolist() == [0, 1]
        assert (found["boxes"][:2][first] - target["boxes"]).abs().max() < 6


@kinds
def test_batch_without_boxes_trains_on(name: str):
    """Without a box the ranking losses and all localisation losses are zero, and every loss keeps the graph."""
    model = small(name)
    losses = model(batch()[0], [EMPTY, EMPTY])
    for part, loss in losses.items():
        assert loss.isfinite() and loss.requires_grad
        assert (loss == 0) == (part.endswith("loc") or isinstance(SMALL[name].loss, ALRP | AP | RankSort))
    sum(losses.values()).backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())


@one_of_a_kind
def test_image_without_boxes_beside_one_with_boxes(name: str):
    """All losses stay finite, and the first stage learns. (The second may have no proposal yet that is positive.)"""
    model = small(name)
    images, targets = batch()
    losses = model(images, [targets[0], EMPTY])
    sum(losses.values()).backward()
    assert all(loss.isfinite() for loss in losses.values())
    assert losses["loss_rpn_loc" if name.endswith("faster") else "loss_loc"] > 0


@one_of_a_kind
def test_one_image_is_a_batch(name: str):
    """It trains, and detects what it detects in a batch."""
    model = small(name).double()
    images, targets = batch(1)
    sum(model(images.double(), targets).values()).backward()
    assert len(confident(model)(images.double())[0]["boxes"]) > 0


@one_of_a_kind
@pytest.mark.parametrize("num_classes", [1, 3, 80, 1203])
def test_any_number_of_classes(name: str, num_classes: int):
    """From one class to the 1203 of LVIS a detector trains, its last class too, and detects labels in range."""
    model = small(name, num_classes)
    images, targets = batch(size=64)
    targets[0]["labels"] = torch.tensor([0, num_classes - 1])
    targets[1]["labels"] = torch.tensor([num_classes // 2, num_classes - 1])
    losses = model(images, targets)
    sum(losses.values()).backward()
    assert all(loss.isfinite() for loss in losses.values())
    assert losses["loss_cls"] > 0
    with torch.no_grad():
        for found in confident(model).detect(images, score_threshold=0.5 / num_classes):
            assert 0 < len(found["labels"]) <= 100
            assert found["labels"].min() >= 0 and found["labels"].max() < num_classes


@pytest.mark.parametrize("name", [name for name in SMALL if not name.startswith("ce")])  # which draw at random
def test_padding_is_neither_positive_nor_false_positive(name: str):
    """Whatever a head says in an image's padding, losses and detections stay, and no anchor there is positive."""
    model, sizes = small(name).double(), [(96, 96), (70, 50)]
    images, targets = batch()
    images = images.double()
    targets[1]["boxes"] = torch.tensor([[4.0, 6.0, 30.0, 32.0], [20.0, 40.0, 50.0, 70.0]])  # to the very corner
    head = model.rpn_head if name.endswith("faster") else model.head
    confident(model)
    model.training = True  # with batch norm as in evaluation: it does see the padding
    quiet = model(images, targets, sizes)
    model.training = False
    quiet_found = model(images, image_sizes=sizes)
    head.register_forward_hook(lambda module, levels, outputs: shout_in_padding(model, levels[0], outputs, sizes))
    model.training = True
    loud = model(images, targets, sizes)
    model.training = False
    assert_close(loud, quiet, rtol=0, atol=0)
    assert_close(model(images, image_sizes=sizes), quiet_found, rtol=0, atol=0)
    assert any(not a["boxes"].equal(b["boxes"]) for a, b in zip(model(images), quiet_found, strict=True))


def shout_in_padding(model: Detector, levels: list[Tensor], outputs, sizes):
    """What a head gave, with scores near 1 and large boxes at the locations beyond each image's size."""
    logits, deltas = outputs
    for level, stride, *parts in zip(levels, model.strides, logits, deltas, strict=True):
        y, x = (torch.arange(n)[:, None] * stride for n in level.shape[-2:])
        for i, (height, width) in enumerate(sizes):
            beyond = (y >= height) | (x.T >= width)
            for part, value in zip(parts, (50.0, 1.5), strict=True):
                if part.ndim == 4:  # the first stage's
                    part[i, :, beyond] = value
                else:
                    part[i, beyond.flatten().repeat_interleave(model.num_anchors)] = value
    return logits, deltas


@pytest.mark.parametrize("name", ["alrp_tiny", "ap_tiny", "focal_tiny", "alrp_fovea"])
def test_half_precision_network_has_full_precision_losses(name: str):
    """Under autocast to bfloat16 all losses are float32 and close to those without."""
    model = small(name).eval()  # one state of batch norm for both
    model.training = True
    images, targets = batch()
    full = model(images, targets)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = model(images, targets)
    for part, loss in half.items():
        assert loss.dtype == torch.float32
        assert_close(loss, full[part], rtol=0.05, atol=0.05)


@pytest.mark.parametrize("name", ["alrp_faster", "ce_faster"])
def test_half_precision_two_stages(name: str):
    """Under autocast both stages' losses are float32 and finite; which boxes the first proposes hangs on rounding."""
    model = small(name)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        losses = model(*batch())
        sum(losses.values()).backward()
        assert len(confident(model)(batch()[0])[0]["boxes"]) > 0
    assert all(loss.dtype == torch.float32 and loss.isfinite() for loss in losses.values())


@one_of_a_kind
def test_detections_are_sorted_and_inside_each_image(name: str):
    """Detections come best first, at most 100, with an area, and clipped to each image's size without its padding."""
    model = confident(small(name))
    images, sizes = batch()[0], [(96, 96), (70, 50)]
    for found, (height, width) in zip(model(images, image_sizes=sizes), sizes, strict=True):
        assert 0 < len(found["scores"]) <= 100
        assert (found["scores"].diff() <= 0).all()
        assert (found["boxes"][:, :2] < found["boxes"][:, 2:]).all()
        assert (found["boxes"].amin(dim=0) >= 0).all()
        assert (found["boxes"].amax(dim=0) <= torch.tensor([width, height, width, height])).all()


@one_of_a_kind
def test_images_of_a_batch_do_not_see_each_other(name: str):
    """In evaluation mode an image has the same detections alone and in a batch."""
    model = confident(small(name)).double()
    images = batch()[0].double()
    assert_close(model(images)[1], model(images[1:])[0])


def test_predicted_boxes_are_in_pixels_of_the_raw_image():
    """Boxes found in an image that was shrunk to half its size come back twice as large."""
    model = confident(build_detector(replace(RECIPES["alrp_tiny"], test_size=(40, 80)), num_classes=2))
    raw = torch.randint(0, 256, (3, 80, 160), dtype=torch.uint8)
    pixels, size, scale = to_input(raw, (40, 80))
    assert (size, scale) == ((40, 80), (0.5, 0.5))
    (in_half,), (in_raw,) = model(pixels[None], image_sizes=[size]), model.predict([raw])
    assert_close(in_raw["boxes"], 2 * in_half["boxes"])
    assert_close(in_raw["scores"], in_half["scores"])


def test_images_of_all_kinds_and_sizes_are_predicted_together(tmp_path: Path):
    """A PIL image, its file and its pixels give the same detections, beside an image of another size."""
    model = confident(build_detector("alrp_tiny", num_classes=2))
    picture = Image.fromarray(torch.randint(0, 256, (40, 80, 3), dtype=torch.uint8).numpy())
    picture.save(tmp_path / "picture.png")
    other = picture.crop((0, 0, 30, 40))
    found = model.predict([picture, tmp_path / "picture.png", pil_to_tensor(picture), other])
    assert_close(found[0], found[1])
    assert_close(found[0], found[2])
    assert 30 < found[0]["boxes"].max() <= 80
    assert found[3]["boxes"].amax(dim=0)[2] <= 30


def test_predict_leaves_the_mode_and_obeys_the_threshold():
    """`predict` detects in evaluation mode, restores the mode, and drops scores that do not exceed the threshold."""
    model = confident(build_detector("alrp_tiny", num_classes=2)).train()
    image = torch.randint(0, 256, (3, 64, 64), dtype=torch.uint8)
    (found,) = model.predict([image])
    assert model.training
    assert len(found["scores"]) > 0
    (none,) = model.predict([image], score_threshold=found["scores"].max().item())
    assert len(none["scores"]) == 0
    assert none["boxes"].shape == (0, 4)


def test_frozen_parts_stay_as_they_are():
    """A training step moves neither the frozen layers nor the statistics of frozen batch norm; others it moves."""
    # In float64, since through random layers only a trace of the gradient comes down.
    model = build_detector("alrp_mobilenet_320", num_classes=2).double().train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    images, targets = batch()
    sum(model(images.double(), targets).values()).backward()
    torch.optim.SGD([p for p in model.parameters() if p.grad is not None], lr=0.1).step()
    moved = {name for name, value in model.state_dict().items() if not value.equal(before[name])}
    assert not any("running" in name or "tracked" in name for name in moved)
    assert not any(name.startswith(tuple(f"backbone.body.{i}." for i in range(4))) for name in moved)
    assert {"backbone.body.17.conv.3.weight", "backbone.body.4.conv.0.0.weight"} <= moved


def test_self_balance_belongs_to_alrp():
    """Only an aLRP detector has a self-balance, with the period that was asked for; it counts training steps."""
    model = build_detector("alrp_tiny", num_classes=2, self_balance_period=1)
    assert isinstance(model.self_balance, SelfBalance)
    assert model.self_balance.period == 1
    model(*batch())
    assert model.self_balance.weight != 50
    assert build_detector("ap_tiny", num_classes=2).self_balance is None


def test_prior_probability_of_every_class():
    """Before training every class of every anchor scores about 0.01."""
    model = build_detector("alrp_tiny", num_classes=4).eval()
    logits, _ = model.head(model.features(batch()[0]))
    assert_close(torch.cat(logits, dim=1).sigmoid().mean().item(), 0.01, rtol=0.05, atol=0)


@pytest.mark.parametrize("name", RECIPES)
def test_recipes_are_frozen_printable_and_replaceable(name: str):
    """A recipe prints its fields, refuses assignment, and gives a changed copy by `replace`."""
    recipe = RECIPES[name]
    assert recipe.name == name
    assert repr(recipe).startswith(f"Recipe(name='{name}'")
    assert eval(repr(recipe), {"Recipe": Recipe, **LOSSES}) == recipe
    with pytest.raises(FrozenInstanceError):
        recipe.lr = 1.0
    assert isinstance(replace(recipe, lr=1.0), Recipe)


@pytest.mark.parametrize("loss", ["alrp", "ap", "focal"])
def test_recipes_of_one_size_differ_in_their_loss_only(loss: str):
    """The three losses are compared on one and the same small detector."""
    for size in ("tiny", "mobilenet_320"):
        recipe = RECIPES[f"{loss}_{size}"]
        architecture = replace(recipe, name="", loss=ALRP(), lr=1.0)
        assert architecture == replace(RECIPES[f"alrp_{size}"], name="", lr=1.0)


BOX, LABEL = torch.tensor([[1.0, 1.0, 9.0, 9.0]]), torch.tensor([0])


@pytest.mark.parametrize(
    "target, message",
    [
        ({"boxes": BOX, "labels": torch.tensor([2])}, r'targets\[1\]\["labels"\]\[0\] must be in 0\.\.1, got 2'),
        ({"boxes": BOX, "labels": torch.tensor([-1])}, r"must be in 0\.\.1, got -1"),
        (
            {"boxes": BOX[:, :3], "labels": LABEL},
            r'targets\[1\]\["boxes"\] must be floating point \(n, 4\), got \(1, 3\)',
        ),
        ({"boxes": BOX.int(), "labels": LABEL}, r"got \(1, 4\) torch.int32"),
        ({"boxes": BOX * torch.nan, "labels": LABEL}, r"must be finite.* got \[nan"),
        ({"boxes": BOX[:, [2, 1, 0, 3]], "labels": LABEL}, r"x1 < x2 and y1 < y2, got \[9.0, 1.0, 1.0, 9.0\]"),
        ({"boxes": BOX, "labels": LABEL.float()}, r'targets\[1\]\["labels"\] must be int64 \(1,\).* torch.float32'),
        ({"boxes": BOX, "labels": torch.tensor([0, 1])}, r"one for each box, got \(2,\)"),
        ({"boxes": BOX}, r'targets\[1\]\["labels"\] must be a tensor, got NoneType'),
    ],
)
def test_bad_target_is_named(target: dict[str, Tensor], message: str):
    """A target that cannot be learnt is refused, with its index, its field and what it holds."""
    model = build_detector("alrp_tiny", num_classes=2)
    with pytest.raises(ValueError, match=message):
        model(torch.zeros(2, 3, 64, 64), [{"boxes": BOX, "labels": LABEL}, target])


def test_bad_calls_are_named():
    """Images, numbers of targets and of sizes, names and numbers that do not fit are refused by name."""
    model = build_detector("alrp_tiny", num_classes=2)
    with pytest.raises(ValueError, match=r"images must be floating point \(B, 3, H, W\), got \(3, 64, 64\)"):
        model(torch.zeros(3, 64, 64), [])
    with pytest.raises(ValueError, match=r"needs targets: call model.eval\(\)"):
        model(torch.zeros(1, 3, 64, 64))
    with pytest.raises(ValueError, match="one target for each of the 2 images, got 1"):
        model(torch.zeros(2, 3, 64, 64), [{"boxes": BOX, "labels": LABEL}])
    with pytest.raises(ValueError, match="one size for each of the 2 images, got 1"):
        model.eval()(torch.zeros(2, 3, 64, 64), image_sizes=[(64, 64)])
    with pytest.raises(ValueError, match="images must be a list of images, got str"):
        model.predict("photo.jpg")
    with pytest.raises(ValueError, match=r"unknown recipe: 'nonesuch'\.\nThe recipes are\n  alrp_retinanet_r50_500, "):
        build_detector("nonesuch")
    with pytest.raises(ValueError, match="num_classes must be a whole number, 1 or more, got 0"):
        build_detector("alrp_tiny", num_classes=0)
    with pytest.raises(ValueError, match="trained from scratch"):
        build_detector("alrp_tiny", pretrained_backbone=True)
    with pytest.raises(ValueError, match=r"image_sizes\[1\] must be within the batch's \(64, 64\), got \(65, 64\)"):
        model.eval()(torch.zeros(2, 3, 64, 64), image_sizes=[(64, 64), (65, 64)])


def test_shared_backbone_weights_fit(shared: Path):
    """The ImageNet-trained MobileNetV2 loads into the recipes that ask for it."""
    weights = shared / "weights" / "mobilenet_v2_features.pth"
    model = build_detector("alrp_mobilenet_320", backbone_weights=weights)
    stem = torch.load(weights, weights_only=True)["0.0.weight"]
    assert model.backbone.body[0][0].weight.equal(stem)


def test_checkpoint_that_does_not_fit_is_explained():
    """Unknown and missing names and differing shapes are all listed, and the model stays as it was."""
    model = build_detector("alrp_retinanet_r50_500", num_classes=2)
    before = model.head.box_deltas.weight.clone()
    state = {
        "bbox_head.retina_reg.weight": torch.zeros_like(before),
        "bbox_head.retina_cls.bias": torch.zeros(480),
        "mask_head.conv.weight": torch.zeros(1),
    }
    with pytest.raises(ValueError) as error:
        load_official_checkpoint(model, state)
    lines = str(error.value).splitlines()
    assert lines[0] == "the checkpoint does not fit alrp_retinanet_r50_500 with 2 classes:"
    assert "  unknown: mask_head.conv.weight" in lines
    assert "  shape: bbox_head.retina_cls.bias is (480,), head.cls_logits.bias needs (12,)" in lines
    assert "  missing: fpn.extra_blocks.p7.weight" in lines
    assert model.head.box_deltas.weight.equal(before)
