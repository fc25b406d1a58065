"""The learning rate of a step, and the weight of the boxes."""

import re
from pathlib import Path

import pytest

from alrp_ref.detection import RECIPES
from alrp_ref.training.plan import Plan
from alrp_ref.training.schedule import learning_rate


@pytest.mark.parametrize(
    ("step", "lr"), [(0, 0.002), (5, 0.011), (10, 0.02), (59, 0.02), (60, 0.002), (79, 0.002), (80, 0.0002)]
)
def test_the_rate_at_the_knots(step, lr):
    """It rises linearly from a tenth over 10 steps, and falls to a tenth at steps 60 and 80."""
    rate = learning_rate(step, 0.02, warmup_steps=10, warmup_factor=0.1, milestones=(60, 80))
    assert rate == pytest.approx(lr, rel=1e-12)


def test_without_warm_up_the_first_step_has_the_full_rate():
    """No warm-up, no milestone: the rate is constant."""
    assert [learning_rate(step, 0.3) for step in (0, 1, 1000)] == [0.3] * 3


def test_the_schedule_in_the_docs_is_the_one_that_runs():
    """Each row of the table in docs/paper_runs.md is the rate of that step of the paper's first recipe."""
    recipe = RECIPES["alrp_retinanet_r50_500"]
    plan = Plan.of(recipe, 117_266, steps=None, epochs=None)
    text = (Path(__file__).parents[2] / "docs" / "paper_runs.md").read_text()
    rows = re.findall(r"^\| (\d+) \| ([\d.e-]+) \|", text, re.MULTILINE)
    assert len(rows) == 10
    assert int(rows[-1][0]) == plan.total_steps - 1
    for step, rate in rows:
        rate_here = learning_rate(
            int(step),
            plan.lr,
            warmup_steps=plan.warmup_steps,
            warmup_factor=recipe.warmup_factor,
            milestones=plan.milestones,
        )
        assert rate_here == pytest.approx(float(rate), rel=1e-9), step
