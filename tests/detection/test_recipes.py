"""The recipes are the release's configurations."""

from dataclasses import fields

import pytest
from detection import official

from alrp_ref.detection import RECIPES, Recipe
from alrp_ref.detection.recipes import RELEASED_AP, field_docs, get_recipe

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
        ("delta", "a recipe is changed by FIELD=VALUE"),
        ("clip_norm=abc", "clip_norm must be a finite number or None, got 'abc'"),
        ("lr=-1", "lr must be above 0, got -1"),
        ("lr=True", "lr must be a finite number, got True"),
        ("levels=0", "levels must be above 0, got 0"),
        ("levels=2.5", "levels must be a whole number, got 2.5"),
        ("ratios=()", r"ratios must hold at least one number, got \(\)"),
        ("lr_steps=('a',)", "lr_steps must be a tuple of whole numbers, got"),
        ("test_size=(1,2,3)", "test_size must be a tuple of 2 whole numbers, got"),
        ("warmup_iters=-3", "warmup_iters must not be negative, got -3"),
        ("assigner=none", "assigner must be one of iou, atss, fovea, rpn, got 'none'"),
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


def test_every_field_is_documented_where_it_stands():
    """Below each field of `Recipe` stands its docstring, and `help(Recipe)` shows it."""
    docs = field_docs()
    assert list(docs) == [field.name for field in fields(Recipe)]
    assert all(f"{name}: {text}" in Recipe.__doc__ for name, text in docs.items())
