"""A checkpoint says what its detector was trained with, and is that detector again."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from detection.small import EVERY_LOSS, SMALL, batch
from torch import nn

from alrp_ref.detection import RECIPES, build_detector, load_model, save_model
from alrp_ref.detection.former_recipes import converted
from alrp_ref.detection.recipe_losses import ALRP, AP, CrossEntropy, Focal, Loss, MeanGIoU, Separate
from alrp_ref.detection.recipes import as_data, from_data
from alrp_ref.detection.saved_model import load_checkpoint, save_checkpoint
from alrp_ref.machine.files import DataError

KEPT = Path(__file__).parents[2] / "notebooks" / "data" / "alrp_tiny.pt"


@pytest.fixture
def path(tmp_path):
    return tmp_path / "checkpoint.pt"


def save(path, model):
    model.class_names = ["red", "green"]
    save_model(path, model, [1, 2])


@pytest.mark.parametrize("loss", [loss for loss in EVERY_LOSS if isinstance(loss, Loss)], ids=repr)
def test_a_checkpoint_gives_its_loss_back(path, loss):
    """The same loss, its criterion with its state, and plain data in the file."""
    recipe = replace(SMALL["alrp_faster" if isinstance(loss, CrossEntropy) else "alrp_tiny"], loss=loss)
    model = build_detector(recipe, num_classes=2, self_balance_period=1)
    if model.self_balance is not None:
        model.self_balance.weight.fill_(7.0)
    save(path, model)
    assert torch.load(path, weights_only=True)["recipe"]["loss"]["name"] == type(loss).__name__
    loaded, content = load_model(path)
    assert loaded.recipe == recipe == from_data(content["recipe"])
    assert type(loaded.criterion) is type(model.criterion) and loaded.custom_criterion is None
    assert model.self_balance is None or loaded.self_balance.weight == 7


class MyCriterion(nn.Module):
    """No self-balance; a weight of its own."""

    def __init__(self):
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(2.0))

    def forward(self, logits, deltas, assigned):
        self.given = assigned
        size = deltas[assigned.positives].abs().mean()
        return {"loss_cls": self.factor * logits.sigmoid().mean(), "loss_loc": self.factor * size}


@pytest.mark.parametrize("name", ["alrp_tiny", "alrp_faster"])
def test_a_criterion_of_your_own_trains_a_detector(path, name):
    """Its losses are the detector's, of two stages the second's. The checkpoint names it, detects the same, and says
    in training what it lacks, until a criterion is set."""
    model = build_detector(SMALL[name], num_classes=2, criterion=MyCriterion())
    assert model.self_balance is None
    images, targets = batch()
    losses = model(images, targets)
    sum(losses.values()).backward()
    assert losses["loss_cls"].grad_fn is not None and model.criterion.factor.grad != 0
    assert ("loss_rpn_cls" in losses) is (name == "alrp_faster")
    save(path, model)
    assert not any(key.startswith("criterion.") for key in torch.load(path, weights_only=True)["model"])
    loaded, content = load_model(path)
    assert content["criterion"] == "MyCriterion"
    model.eval()
    (one, _), (other, _) = (each.detect(images, score_threshold=0.0) for each in (model, loaded))
    assert len(one["boxes"]) > 0 and all(torch.equal(one[key], other[key]) for key in one)
    save(path, loaded)
    again, _ = load_model(path)
    with pytest.raises(ValueError, match="trained with the criterion MyCriterion, which its checkpoint does not hold"):
        again.train()(images, targets)
    again.criterion = MyCriterion()
    assert again(images, targets).keys() == losses.keys()


def test_a_criterion_that_is_not_a_module_is_refused():
    """A class in place of an instance is the likely mistake."""
    with pytest.raises(ValueError, match=r"criterion must be a torch.nn.Module, got <class"):
        build_detector("alrp_tiny", criterion=MyCriterion)


def test_the_committed_checkpoint_of_an_earlier_version_loads():
    """It has the loss as a word and its options as fields beside it."""
    assert torch.load(KEPT, weights_only=True)["recipe"]["loss"] == "alrp"
    model, content = load_model(KEPT)
    assert model.recipe.loss == ALRP() and model.custom_criterion is None
    assert from_data(content["recipe"]) == model.recipe


FORMER = {
    "delta": 1.0,
    "loc_error": "giou",
    "loc_step": "hard",
    "loc_weight": 50.0,
    "self_balance_epochs": 1.0,
    "rank_scope": "process",
    "optimizer": "sgd",
}


def former(recipe: str, **fields) -> dict:
    """A recipe as earlier versions saved it."""
    return {key: value for key, value in as_data(RECIPES[recipe]).items() if key != "loss"} | FORMER | fields


@pytest.mark.parametrize(
    ("recipe", "fields", "loss"),
    [
        (
            "alrp_tiny",
            {"loss": "alrp", "loc_error": "iou", "loc_weight": 5.0, "self_balance_epochs": 0, "delta": 0.5},
            ALRP(loc_error="iou", first_weight=5.0, self_balance_epochs=0, delta=0.5),
        ),
        ("alrp_tiny", {"loss": "alrp", "loc_step": "smoothed"}, ALRP(loc_step="smoothed")),
        ("ap_tiny", {"loss": "ap", "delta": 2.0, "rank_scope": "global"}, AP(delta=2.0, rank_scope="global")),
        ("focal_tiny", {"loss": "focal", "loc_weight": 3.0}, Focal()),
        *(
            (name, {"loss": name.split("_faster")[0].split("_foveabox")[0]}, RECIPES[name].loss)
            for name in RECIPES
            if "faster" in name or "foveabox" in name
        ),
    ],
)
def test_recipes_of_earlier_versions_have_the_loss_that_they_meant(recipe, fields, loss):
    """The options of their word, and the constants that followed from the coder; fields that nothing read are left."""
    read = from_data(converted(former(recipe, **fields)))
    assert read == replace(RECIPES[recipe], loss=loss)


def test_a_recipe_of_this_version_is_not_converted():
    """It stays as it is, with any weights: those of separate criteria, too."""
    data = as_data(replace(RECIPES["alrp_tiny"], loss=Separate(scores=AP(), boxes=ALRP())))
    assert converted(data, ["criterion.boxes.loss.self_balance.weight"]) == data


@pytest.mark.parametrize(
    ("fields", "weights", "complaint"),
    [
        ({"loss": "ap"}, ["criterion.boxes.loss.self_balance.weight"], "separate losses .* its recipe says 'ap'"),
        ({"loss": "alrp"}, ["criterion.scores.loss.self_balance.weight"], "separate losses .* its recipe says 'alrp'"),
        ({"loss": "ap", "loc_weight": 3.0}, [], "separate losses .* its recipe says 'ap'"),
        ({"loss": "alrp", "rank_scope": "image"}, [], "rank_scope='image', which this version no longer has"),
        ({"loss": "hinge"}, [], "no version has the loss 'hinge'"),
    ],
)
def test_a_checkpoint_whose_loss_cannot_be_known_is_refused(path, fields, weights, complaint):
    """The training studies of an earlier version saved another loss than they trained; the file and why are named."""
    content = {"recipe": former("alrp_tiny", **fields), "class_names": ["one"], "category_ids": [1]}
    save_checkpoint(path, content | {"model": {name: torch.zeros(()) for name in weights}})
    with pytest.raises(DataError, match=rf"checkpoint\.pt cannot be read: .*{complaint}"):
        load_checkpoint(path)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"loss": {"name": "Hinge", "margin": 1.0}}, "a loss must be one of ALRP, .*, got 'Hinge'"),
        ({"loss": {"name": "AP", "margin": 1.0}}, "AP has the options delta, beta, rank_scope, got 'margin'"),
        ({"loss": None}, "a loss must be one of ALRP, .*, got None"),
        ({"speed": 1.0}, "a recipe of another version: it has speed"),
    ],
)
def test_a_loss_of_another_version_is_named(path, change, complaint):
    """The error lists the losses and options of this version."""
    save(path, build_detector(SMALL["alrp_tiny"], num_classes=2))
    content = load_checkpoint(path)
    save_checkpoint(path, content | {"recipe": content["recipe"] | change})
    with pytest.raises(DataError, match=rf"checkpoint\.pt does not fit this version: {complaint}"):
        load_model(path)


def test_a_loss_for_boxes_alone_is_refused_where_scores_are_trained():
    """The recipe refuses it, before a detector is built."""
    message = "loss must be one of ALRP, AP, RankSort, Focal, CrossEntropy, Separate, got MeanGIoU"
    with pytest.raises(ValueError, match=message):
        replace(RECIPES["alrp_tiny"], loss=MeanGIoU())
