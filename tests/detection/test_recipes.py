"""The recipes are the release's configurations."""

import pytest
from detection import official

from alrp_ref.detection import RECIPES
from alrp_ref.detection.recipes import RELEASED_AP

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
