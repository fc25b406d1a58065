"""The shapes and the small detector that the tests of `training` have, too."""

from training.conftest import recipe, shapes  # noqa: F401 (fixtures)
