"""The recipes are the release's configurations."""

import json
from dataclasses import fields, replace

import pytest
from detection import official
from detection.small import EVERY_LOSS

from alrp_ref.detection import RECIPES, Recipe, recipe_losses
from alrp_ref.detection.fields import field_docs
from alrp_ref.detection.recipe_losses import ALRP, AP, LOSSES, Focal, MeanGIoU, Separate, SmoothL1, read_value
from alrp_ref.detection.recipes import RELEASED_AP, get_recipe

CONFIGURATIONS = official.expected("configurations")


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_official_configuration(name: str):
    """Learning rate, schedule, batch, sizes, anchors, assigner and depth are those of the release."""
    recipe, wanted = RECIPES[name], CONFIGURATIONS[name]
    for field in ("lr", "momentum", "weight_decay", "epochs"):
        assert getattr(recipe, field) == wanted[field], field
    assert recipe.clip_norm == wanted["grad_clip"]
    assert list(recipe.lr_steps) == wanted["lr_steps"]
    assert recipe.batch_size == wanted["images_per_gpu"] * wanted["gpus"]
    assert [recipe.train_size] * 2 == wanted["train_size"]
    assert sorted(recipe.test_size) == sorted(wanted["test_size"])
    assert recipe.backbone.startswith({"ResNet": "resnet", "ResNeXt": "resnext"}[wanted["backbone"]])
    assert str(wanted["depth"]) in recipe.backbone
    if wanted["ratios"] is not None:  # RetinaNet
        assert recipe.scales_per_octave == wanted["scales_per_octave"]
        assert list(recipe.ratios) == wanted["ratios"]
        assert recipe.assigner == {"ATSSAssigner": "atss", "MaxIoUAssigner": "iou"}[wanted["assigner"]]


def test_the_released_models_are_fourteen():
    """Each has its configuration and the AP that the release gives for it."""
    assert len(CONFIGURATIONS) == 14
    assert RELEASED_AP.keys() == CONFIGURATIONS.keys() <= RECIPES.keys()


@pytest.mark.parametrize(
    "change, message",
    [
        ("__doc__=x", "a recipe is changed by FIELD=VALUE"),
        ("speed=3", "a recipe is changed by FIELD=VALUE"),
        ("lr", "a recipe is changed by FIELD=VALUE"),
        ("clip_norm=abc", "clip_norm must be a finite number or None, got 'abc'"),
        ("lr=-1", "lr must be above 0, got -1"),
        ("lr=True", "lr must be a finite number, got True"),
        ("levels=0", "levels must be above 0, got 0"),
        ("levels=2.5", "levels must be a whole number, got 2.5"),
        ("ratios=()", r"ratios must hold at least one number, got \(\)"),
        ("lr_steps=('a',)", "lr_steps must be a tuple of whole numbers, got"),
        ("test_size=(1,2,3)", "test_size must be a tuple of 2 whole numbers, got"),
        ("warmup_iters=-3", "warmup_iters must not be negative, got -3"),
        ("lr.steps=3", "a recipe is changed by FIELD=VALUE"),
        ("loss.=3", "ALRP has the options delta, loc_error, loc_step, first_weight, .*, got ''"),
        ("loss.delta=-1", "delta must be above 0, got -1"),
        ("loss.delta=wide", "delta must be a finite number, got 'wide'"),
        ("loss.loc_error=l1", "loc_error must be one of giou, iou, got 'l1'"),
        ("loss.epsilon=1", "ALRP has the options delta, .*, got 'epsilon'"),
        ("loss.delta.x=1", "delta of ALRP has no options, got 'delta.x'"),
        ("loss=AP:loss.loc_step=hard", "AP has the options delta, beta, rank_scope, got 'loc_step'"),
        ("loss=hinge", "loss must be one of ALRP, AP, RankSort, Focal, CrossEntropy, Separate, got 'hinge'"),
        ("loss=Hinge()", "a loss must be one of ALRP, AP, .*, MeanGIoU, ScoredGIoU, got 'Hinge'"),
        ("loss=SmoothL1()", "loss must be one of ALRP, .*, Separate, got SmoothL1"),
        ("loss=Focal(alpha=2)", "alpha must be 0 to 1 or None, got 2"),
        ("loss=Focal(count_images=1)", "count_images must be True or False, got 1"),
        ("loss=AP(0.5)", r"options of a loss are given as NAME\(OPTION=VALUE, ...\), got 'AP\(0.5\)'"),
        ("loss=AP(**{})", r"options of a loss are given as NAME\(OPTION=VALUE"),
        ("loss=Separate(scores=AP())", r"Separate needs boxes, as in Separate\(scores=AP\(\), boxes=MeanGIoU\(\)\)"),
        ("loss=Separate(scores=MeanGIoU(), boxes=AP())", "scores must be one of ALRP, .*, got MeanGIoU"),
        ("loss=Separate(scores=AP(), boxes=MeanGIoU(beta=1))", "MeanGIoU has no options, got 'beta'"),
        ("loss=Separate(scores=CrossEntropy(), boxes=AP())", "CrossEntropy.* is for faster_rcnn, and Separate is not"),
        ("loss=__import__('os')", "the options of a loss are given as"),
        ("loss=open(x=1)", "a loss must be one of ALRP, .*, got 'open'"),
        ("loss=CrossEntropy()", "CrossEntropy.* is for faster_rcnn, got the detector retinanet"),
        ("detector=faster_rcnn:loss=AP()", "AP.* is for retinanet, got the detector faster_rcnn"),
        ("assigner=none", "assigner must be one of iou, atss, fovea, rpn, got 'none'"),
        ("detector=yolo", "detector must be one of retinanet, faster_rcnn, got 'yolo'"),
        ("backbone=vgg", "backbone must be one of resnet50, .*, tiny, got 'vgg'"),
        ("augmentation=mosaic", "augmentation must be one of ssd, light, none, got 'mosaic'"),
    ],
)
def test_a_change_that_makes_no_sense_is_named(change, message):
    """The message names the field, what it may be and what it got."""
    with pytest.raises(ValueError, match=message):
        get_recipe(f"alrp_tiny:{change}")


def test_a_recipe_is_changed_by_name_and_value():
    """Numbers, words, tuples and None are read as Python reads them; an int is a float, too."""
    recipe = get_recipe("alrp_tiny:lr=1:assigner=iou:ratios=(0.5, 1.0):clip_norm=None:lr_steps=()")
    assert (recipe.lr, recipe.assigner, recipe.ratios) == (1, "iou", (0.5, 1.0))
    assert recipe.clip_norm is None and recipe.lr_steps == ()


@pytest.mark.parametrize(
    "changes, loss",
    [
        ("loss=AP", AP()),
        ("loss=AP()", AP()),
        ("loss.first_weight=5", ALRP(first_weight=5)),
        ("loss.loc_error=iou:loss.self_balance_epochs=0", ALRP(loc_error="iou", self_balance_epochs=0)),
        ("loss=AP:loss.delta=2", AP(delta=2)),
        ("loss=ALRP(loc_error=iou, loc_step='smoothed')", ALRP(loc_error="iou", loc_step="smoothed")),
        ("loss=Separate(scores=AP(), boxes=MeanGIoU(), weight=3)", Separate(scores=AP(), boxes=MeanGIoU(), weight=3)),
        ("loss=Separate(scores=AP, boxes=SmoothL1):loss.boxes.beta=2", Separate(scores=AP(), boxes=SmoothL1(beta=2))),
        ("loss=Focal(alpha=None, gamma=-0.0)", Focal(alpha=None, gamma=0)),
    ],
)
def test_a_loss_is_changed_by_name_and_option(changes, loss):
    """Another loss, or another option of the one there is, one change after the other; all else stays."""
    name = f"alrp_tiny:{changes}"
    assert get_recipe(name) == replace(RECIPES["alrp_tiny"], name=name, loss=loss)


@pytest.mark.parametrize("loss", EVERY_LOSS, ids=repr)
def test_a_loss_is_what_it_prints(loss):
    """Its text, typed on the command line, is the same loss; so are its plain data, after JSON, too."""
    assert read_value(repr(loss)) == loss
    assert recipe_losses.from_data(json.loads(json.dumps(recipe_losses.as_data(loss)))) == loss


def test_every_loss_has_a_test_of_its_own_options():
    """`EVERY_LOSS` has one of each, with other options than its defaults, if it has any."""
    assert {type(loss) for loss in EVERY_LOSS} == set(LOSSES.values())
    for loss in EVERY_LOSS:
        for option in fields(loss):
            assert getattr(loss, option.name) != option.default


def test_every_field_is_documented_where_it_stands():
    """Below each field of `Recipe` stands its docstring, and `help(Recipe)` shows it."""
    docs = field_docs(Recipe)
    assert list(docs) == [field.name for field in fields(Recipe)]
    assert all(f"{name}: {text}" in Recipe.__doc__ for name, text in docs.items())
