"""setuptools for a source folder that may be read-only, as Kaggle mounts what one uploads: then from a copy of it."""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator

from setuptools import build_meta
from setuptools.build_meta import *  # noqa: F403 (the hooks of an editable install write beside the source)


@contextlib.contextmanager
def _writable_source() -> Iterator[None]:
    """Be in a folder that holds the source and can be written to: setuptools builds beside the source."""
    source = os.getcwd()
    try:
        with tempfile.TemporaryFile(dir=source):
            pass
    except OSError:
        with tempfile.TemporaryDirectory() as folder:
            copy = os.path.join(folder, "source")
            ours = shutil.ignore_patterns(".git", ".venv", "runs", "build", "dist", "*.egg-info", "__pycache__")
            shutil.copytree(source, copy, ignore=ours, copy_function=shutil.copyfile)
            os.chmod(copy, 0o755)  # what was copied of it, too
            os.chdir(copy)
            try:
                yield
            finally:
                os.chdir(source)
    else:
        yield


def _from_writable_source(hook: Callable) -> Callable:
    def run(*args, **options):
        with _writable_source():
            return hook(*args, **options)

    return run


get_requires_for_build_wheel = _from_writable_source(build_meta.get_requires_for_build_wheel)
prepare_metadata_for_build_wheel = _from_writable_source(build_meta.prepare_metadata_for_build_wheel)
build_wheel = _from_writable_source(build_meta.build_wheel)
