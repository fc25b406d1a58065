"""A shapes set of a few small pictures, and a detector small enough to train on it in a test."""

from dataclasses import replace

import pytest

from alrp_ref.data import make_shapes
from alrp_ref.detection import RECIPES


@pytest.fixture(scope="session")
def shapes(tmp_path_factory):
    """Six training images and two to evaluate on, 64 pixels wide."""
    return make_shapes(tmp_path_factory.mktemp("shapes"), train_images=6, val_images=2, size=64)


@pytest.fixture
def recipe():
    """`alrp_tiny`, smaller, with the augmentation of the paper: two images a step, three steps in an epoch."""
    return replace(
        RECIPES["alrp_tiny"],
        fpn_channels=16,
        head_channels=16,
        train_size=64,
        test_size=(64, 64),
        augmentation="ssd",
        batch_size=2,
    )
