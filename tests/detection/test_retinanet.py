"""The detector as a whole, on the small recipes."""

from dataclasses import FrozenInstanceError, replace
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import Tensor
from torch.testing import assert_close
from torchvision.models import mobilenet_v2
from torchvision.transforms.v2.functional import pil_to_tensor

from alrp_ref import SelfBalance
from alrp_ref.detection import RECIPES, Recipe, build_detector, load_official_checkpoint
from alrp_ref.detection.assigners import IGNORED, NEGATIVE
from alrp_ref.detection.criteria import ranking_targets
from alrp_ref.detection.preprocess import to_input
from alrp_ref.detection.retinanet import RetinaNet

LOSSES = ("alrp", "ap", "focal")
TINY = ("alrp_tiny", "ap_tiny", "focal_tiny")


def batch(n: int = 2, size: int = 96) -> tuple[Tensor, list[dict[str, Tensor]]]:
    """Images of noise with bright squares, one class for red ones and one for green ones."""
    images, targets = 0.1 * torch.randn(n, 3, size, size), []
    for i in range(n):
        boxes = torch.tensor([[4.0 + 4 * i, 6.0, 30.0, 32.0], [28.0, 34.0, 60.0, 60.0 - 4 * i]])
        for label, (x1, y1, x2, y2) in enumerate(boxes.int().tolist()):
            images[i, label, y1:y2, x1:x2] += 2
        targets.append({"boxes": boxes, "labels": torch.tensor([0, 1])})
    return images, targets


def confident(model: RetinaNet) -> RetinaNet:
    """The same model, with scores high enough to detect something before any training."""
    torch.nn.init.constant_(model.head.cls_logits.bias, 2.0)
    return model.eval()


@pytest.mark.parametrize("recipe", TINY)
def test_tiny_learns_two_images_by_heart(recipe: str):
    """In 150 steps each loss makes the tiny detector find all boxes of two images, with their labels."""
    model = build_detector(recipe, num_classes=2, self_balance_period=5)
    images, targets = batch(size=64)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.02, momentum=0.9)
    for step in range(150):
        optimizer.param_groups[0]["lr"] = 0.02 * min(1, (step + 1) / 10)
        optimizer.zero_grad()
        sum(model(images, targets).values()).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 10.0)
        optimizer.step()
    for found, target in zip(model.eval()(images), targets, strict=True):
        first = found["labels"][:2].argsort()
        assert found["labels"][:2][first].tolist() == [0, 1]
        assert (found["boxes"][:2][first] - target["boxes"]).abs().max() < 6


@pytest.mark.parametrize("recipe", TINY)
def test_batch_without_boxes_trains_on(recipe: str):
    """Without a box the ranking losses and all localisation losses are zero, and every loss keeps the graph."""
    model = build_detector(recipe, num_classes=3)
    empty = {"boxes": torch.zeros(0, 4), "labels": torch.zeros(0, dtype=torch.int64)}
    losses = model(batch()[0], [empty, empty])
    assert losses["loss_loc"] == 0
    assert (losses["loss_cls"] == 0) == (recipe != "focal_tiny")
    sum(losses.values()).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.head.parameters())


@pytest.mark.parametrize("recipe", TINY)
def test_half_precision_network_has_full_precision_losses(recipe: str):
    """Under autocast to bfloat16 both losses are float32 and close to those without."""
    model = build_detector(recipe, num_classes=2).eval()  # one state of batch norm for both
    model.training = True
    images, targets = batch()
    full = model(images, targets)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = model(images, targets)
    for name, loss in half.items():
        assert loss.dtype == torch.float32
        assert_close(loss, full[name], rtol=0.05, atol=0.05)


def test_ranking_targets_by_hand():
    """A positive anchor is 1 for its class and 0 for the others, an ignored one is -1 for all."""
    targets = ranking_targets(torch.tensor([[2, NEGATIVE, IGNORED]]), 3)
    assert targets.tolist() == [[[0, 0, 1], [0, 0, 0], [-1, -1, -1]]]


def test_detections_are_sorted_and_inside_each_image():
    """Detections come best first, at most 100, with boxes clipped to each image's size without its padding."""
    model = confident(build_detector("alrp_tiny", num_classes=2))
    images, sizes = batch()[0], [(96, 96), (70, 50)]
    for found, (height, width) in zip(model(images, image_sizes=sizes), sizes, strict=True):
        assert 0 < len(found["scores"]) <= 100
        assert (found["scores"].diff() <= 0).all()
        assert (found["boxes"].amin(dim=0) >= 0).all()
        assert (found["boxes"].amax(dim=0) <= torch.tensor([width, height, width, height])).all()


def test_images_of_a_batch_do_not_see_each_other():
    """In evaluation mode an image has the same detections alone and in a batch."""
    model = confident(build_detector("alrp_tiny", num_classes=2)).double()
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
    assert eval(repr(recipe)) == recipe
    with pytest.raises(FrozenInstanceError):
        recipe.lr = 1.0
    assert isinstance(replace(recipe, lr=1.0), Recipe)


@pytest.mark.parametrize("loss", LOSSES)
def test_recipes_of_one_size_differ_in_their_loss_only(loss: str):
    """The three losses are compared on one and the same small detector."""
    for size in ("tiny", "mobilenet_320"):
        recipe = RECIPES[f"{loss}_{size}"]
        architecture = replace(recipe, name="", loss="alrp", lr=0.0)
        assert architecture == replace(RECIPES[f"alrp_{size}"], name="", lr=0.0)


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
    with pytest.raises(ValueError, match=r"recipe must be one of alrp_retinanet_r50_500, .*, got 'nonesuch'"):
        build_detector("nonesuch")
    with pytest.raises(ValueError, match="num_classes must be a whole number, 1 or more, got 0"):
        build_detector("alrp_tiny", num_classes=0)
    with pytest.raises(ValueError, match="trained from scratch"):
        build_detector("alrp_tiny", pretrained_backbone=True)
    for field in ("backbone", "loss", "assigner"):
        with pytest.raises(ValueError, match=f"{field} must be one of .*, got 'nonesuch'"):
            build_detector(replace(RECIPES["alrp_tiny"], **{field: "nonesuch"}))


def test_backbone_weights_come_from_a_file(tmp_path: Path):
    """A file with torchvision's names gives the backbone its weights; a missing or another file is named."""
    donor = build_detector("alrp_mobilenet_320", num_classes=2).backbone.body
    with pytest.raises(FileNotFoundError, match=r"nowhere\.pth"):
        build_detector("alrp_mobilenet_320", backbone_weights=tmp_path / "nowhere.pth")
    torch.save({"weight": torch.zeros(1)}, tmp_path / "other.pth")
    with pytest.raises(ValueError, match=r"other\.pth does not hold weights of this backbone"):
        build_detector("alrp_mobilenet_320", backbone_weights=tmp_path / "other.pth")
    network = mobilenet_v2()
    network.features[:18].load_state_dict(donor.state_dict())
    torch.save(network.state_dict(), tmp_path / "mobilenet.pth")
    whole = build_detector("alrp_mobilenet_320", num_classes=2, backbone_weights=tmp_path / "mobilenet.pth")
    assert_close(whole.backbone.body.state_dict(), donor.state_dict(), rtol=0, atol=0)


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
