"""The options of a training run are written once, in `TrainOptions`."""

import subprocess
import sys
from dataclasses import FrozenInstanceError, fields, replace

import pytest

from alrp_ref import cli
from alrp_ref.detection import RECIPES
from alrp_ref.detection.fields import field_docs
from alrp_ref.detection.recipe_losses import ALRP
from alrp_ref.training import TrainOptions


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"accumulate": 0}, "accumulate must be above 0, got 0"),
        ({"workers": -1}, "workers must not be negative, got -1"),
        ({"eval_every": -1}, "eval_every must not be negative, got -1"),
        ({"epochs": float("nan")}, "epochs must be a finite number or None, got nan"),
        ({"steps": 1.5}, "steps must be a whole number or None, got 1.5"),
        ({"precision": "half"}, "precision must be one of bfloat16, float32 or None, got 'half'"),
        ({"init_from": 3}, "init_from must be a word or a path or None, got 3"),
        ({"steps": 1, "epochs": 1}, "give steps or epochs, not both; got 1 steps and 1 epochs"),
        ({"init_from": "a.pt", "pretrained_backbone": True}, "init_from brings the weights of the backbone along"),
        ({"init_from": "a.pt", "backbone_weights": "b.pt"}, "init_from brings the weights of the backbone along"),
    ],
)
def test_a_value_that_cannot_be_used_is_refused(options, message):
    """The error names the option, what it may be, and what it is."""
    with pytest.raises(ValueError) as refused:
        TrainOptions(**options)
    assert str(refused.value).startswith(message)


def test_options_cannot_be_changed():
    """A run has the options that it began with."""
    with pytest.raises(FrozenInstanceError):
        TrainOptions().seed = 1


@pytest.mark.parametrize(
    ("processes", "accumulate", "fits"), [(1, 4, True), (2, 2, True), (1, 3, False), (3, 1, False)]
)
def test_a_batch_is_divided_into_equal_parts(processes, accumulate, fits):
    """Eight images divide among processes and their micro-batches, or a ValueError names both numbers."""
    recipe, options = replace(RECIPES["alrp_tiny"], batch_size=8), TrainOptions(accumulate=accumulate)
    if fits:
        return options.check_batch(recipe, processes)
    parts = f"of 3 \\({processes} processes x {accumulate} micro-batches\\), got 8"
    with pytest.raises(ValueError, match=f"batch_size must be a multiple {parts}"):
        options.check_batch(recipe, processes)


def test_micro_batches_do_not_rank_the_whole_batch():
    """A loss that ranks over all processes is refused with micro-batches, and taken without."""
    recipe = replace(RECIPES["alrp_tiny"], loss=ALRP(rank_scope="global"))
    TrainOptions().check_batch(recipe, 2)
    with pytest.raises(ValueError, match="accumulate ranks each micro-batch by itself"):
        TrainOptions(accumulate=2).check_batch(recipe, 2)


def test_a_checkpoint_keeps_what_identifies_a_run():
    """Under the names that earlier versions wrote."""
    assert TrainOptions(seed=3, workers=5).identity == {"seed": 3, "accumulate": 1, "precision": None}


def test_every_option_is_documented_where_it_stands():
    """`help(TrainOptions)` shows the text, and the first sentence stands alone in the help of the command."""
    docs = field_docs(TrainOptions)
    assert list(docs) == [field.name for field in fields(TrainOptions)]
    assert all(f"{name}: {text}" in TrainOptions.__doc__ and text.endswith(".") for name, text in docs.items())


def test_the_command_line_has_the_options_as_they_are_written(capsys):
    """Every field but two is an option of `alrp train`, with the text and the default of the field; the two are given
    by `--backbone-weights`."""
    with pytest.raises(SystemExit):
        cli.main(["train", "--help"])
    shown = "".join(capsys.readouterr().out.split())  # lines are broken at spaces, and at hyphens
    docs = field_docs(TrainOptions)
    for field in fields(TrainOptions):
        if field.name in ("backbone_weights", "pretrained_backbone"):
            continue
        text = docs[field.name].split(". ")[0].removesuffix(".")
        default = "" if field.default in (None, False) and field.name != "seed" else f" (default {field.default})"
        assert "".join(f"{text[0].lower()}{text[1:]}{default}".split()) in shown, field.name


def test_options_wait_for_no_torch():
    """They are at hand while the command line is read."""
    program = "import sys; from alrp_ref.training import TrainOptions; TrainOptions(); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
