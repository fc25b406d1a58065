"""The learning rate of a step, and the weight of the boxes."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from alrp_ref.detection import RECIPES
from alrp_ref.training.options import TrainOptions
from alrp_ref.training.plan import Due, Plan
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
    """Each row of the table in docs/log/paper_runs.md is the rate of that step of the paper's first recipe."""
    recipe = RECIPES["alrp_retinanet_r50_500"]
    plan = Plan.of(recipe, 117_266, TrainOptions())
    text = (Path(__file__).parents[2] / "docs" / "log" / "paper_runs.md").read_text()
    rows = re.findall(r"^\| (\d+) \| ([\d.e-]+) \|", text, re.MULTILINE)
    assert len(rows) == 10
    assert int(rows[-1][0]) == plan.total_steps - 1
    for step, rate in rows:
        assert plan.learning_rate(int(step), recipe.warmup_factor) == pytest.approx(float(rate), rel=1e-9), step


@pytest.mark.parametrize(
    ("done", "due"),
    [
        (0, Due(read=True, save=True, evaluate=False)),
        (1, Due(read=False, save=False, evaluate=False)),
        (2, Due(read=True, save=False, evaluate=False)),
        (5, Due(read=True, save=True, evaluate=False)),  # an epoch
        (10, Due(read=True, save=True, evaluate=True)),  # two
        (20, Due(read=True, save=True, evaluate=True)),
        (24, Due(read=True, save=True, evaluate=False)),  # the end, which has an evaluation of its own
    ],
)
def test_what_is_due_after_a_step(done, due):
    """Read after every second step, save after every epoch of five, evaluate after every second epoch."""
    plan = Plan.of(replace(RECIPES["alrp_tiny"], batch_size=2), 10, TrainOptions(steps=24))
    assert plan.due(done, read_every=2, evaluate_every=2) == due
    for never in (None, 0):
        assert not plan.due(done, evaluate_every=never).evaluate
