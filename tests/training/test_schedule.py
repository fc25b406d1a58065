"""The learning rate of a step."""

import pytest

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
