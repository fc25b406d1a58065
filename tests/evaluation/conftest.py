"""The tiny data set that the tests of `data` read, too."""

from data.conftest import coco, content  # noqa: F401 (fixtures)
