"""What all tests share: where the material lies, and how hypothesis and torch behave while they run."""

import os
from pathlib import Path

import hypothesis
import pytest
import torch

from alrp_ref import verification

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items):
    """Tests marked `gpu` are skipped where there is none."""
    if not torch.cuda.is_available():
        for item in items:
            if item.get_closest_marker("gpu"):
                item.add_marker(pytest.mark.skip(reason="needs an NVIDIA GPU"))


# "fast" draws the same examples each time and writes nothing; HYPOTHESIS_PROFILE=thorough looks for new ones.
hypothesis.settings.register_profile("fast", max_examples=50, deadline=None, derandomize=True, database=None)
hypothesis.settings.register_profile("thorough", max_examples=2000, deadline=None, database=None)
hypothesis.settings.register_profile("long", max_examples=10_000, deadline=None, database=None)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "fast"))


@pytest.fixture(autouse=True)
def seed():
    """Every test starts from the same random state, whichever ran before it."""
    torch.manual_seed(0)


@pytest.fixture(autouse=True)
def any_processor(monkeypatch):
    """A test trains in float32 where no precision is named, on processors that have instructions for bfloat16, too."""
    monkeypatch.setattr(torch.cpu, "get_capabilities", dict, raising=False)


@pytest.fixture(autouse=True)
def one_thread(request):
    """The paper's files and the solutions of the notebooks rank short lists: threads would only wait for each other."""
    threads = torch.get_num_threads()
    if request.path.parent == HERE / "paper" or request.path.name == "test_notebooks.py":
        torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The material beside the repository (photographs, weights, official numbers). It may be absent."""
    path = HERE.parents[1] / "shared"
    if not path.is_dir():
        pytest.skip("needs the folder ../shared beside the repository, which is not there")
    return path


@pytest.fixture(scope="session")
def official(shared: Path) -> Path:
    """The numbers of the official release, all of them; what most tests need is copied into tests/numbers/."""
    return shared / "official"


@pytest.fixture(scope="session")
def official_cases() -> list[dict[str, torch.Tensor]]:
    """The 33 lists that the official release was run on, and what it gave, in float64."""
    return [{name: torch.from_numpy(x) for name, x in case.items()} for case in verification.official.official_cases()]
