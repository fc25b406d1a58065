"""The training studies of the figures: their recipes, and how results of several runs come together."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from alrp_ref.detection import Recipe, build_detector
from alrp_ref.detection.boxes import CODERS
from alrp_ref.detection.recipes import get_recipe
from figures import claim, runs, train
from figures.positives import Positives, pull_of
from figures.train import collect


def test_results_of_runs_that_lie_elsewhere_are_kept(tmp_path):
    """`collect` replaces the rows of the runs in its folder, adds new ones, and keeps all others, in one order."""
    columns = ("AP", "AP50", "AP75", "AP90", "oLRP", "oLRP_loc", "oLRP_fp", "oLRP_fn", "rho")

    def results_of(folder, ap):
        (tmp_path / folder).mkdir(parents=True)
        row = ",".join(["10", str(ap), *["0.5"] * (len(columns) - 1)])
        (tmp_path / folder / "evaluations.csv").write_text(f"step,{','.join(columns)}\n{row}\n")

    results = tmp_path / "results.csv"
    results_of("here/alrp_10_1", 0.25)
    results_of("there/alrp_10_0", 0.125)
    results_of("there/ap_10_0", 0.75)
    for folder in ("here", "there", "here"):
        collect(tmp_path / folder, results)
    rows = [(row["recipe"], row["seed"], row["AP"]) for row in runs.read_table(results)]
    assert rows == [("alrp", "0", "0.1250"), ("alrp", "1", "0.2500"), ("ap", "0", "0.7500")]


@pytest.fixture
def trained(tmp_path, monkeypatch) -> dict[str, Recipe]:
    """The recipe of each run of each study, by its name, with the learning rate that the sweep chose."""
    monkeypatch.setattr(train, "make_shapes", lambda folder, **sizes: folder)
    monkeypatch.setattr(train, "hold_out", lambda coco, folder, every: folder)
    monkeypatch.setattr(train, "images_of", lambda coco: 1843)
    studies = train.Studies(tmp_path, coco=tmp_path / "coco")
    found = {}
    for study in train.STUDIES:
        # Figure 4 has runs of the same names with other lengths, and the same recipes.
        for run in getattr(studies, study)():
            assert found.setdefault(run.recipe.name, run.recipe) == run.recipe or study == "figure4"
    return found


@pytest.mark.parametrize("name", claim.RECIPES)
def test_a_row_of_the_claim_is_one_command(trained, name):
    """The text in its list is the recipe that `figures.train` trains under the name of the row."""
    assert replace(get_recipe(claim.RECIPES[name]), name=name) == trained[name]


def test_every_row_of_the_claim_has_its_recipe():
    """In the list, and there alone: each run of the three tables, and no other."""
    runs_shown = {name for _, name, _ in claim.ON_SHAPES} | {name for *_, name in claim.SWITCHES}
    runs_shown |= {f"photographs_{loss}" for loss in claim.LOSSES}
    assert set(claim.RECIPES) == runs_shown
    page = claim.draw()
    assert all(f" `{recipe}` |" in page for recipe in claim.RECIPES.values())


def test_every_recipe_of_the_studies_can_be_built(trained):
    """Each has a loss that its detector takes, and a name that the table of results knows it by."""
    assert {row["recipe"] for row in runs.read_table(train.RESULTS)} <= set(trained)
    for recipe in trained.values():
        assert get_recipe(recipe).loss.build(CODERS[recipe.coder], 10) is not None


def test_a_pull_at_all_boxes_alike_is_found_from_the_recipe():
    """`positives.pull_of` asks the loss of the boxes: shares are equal with a mean, and unequal with aLRP Loss."""
    logits, targets, errors = torch.tensor([2.0, -2.0, 0.0]), torch.tensor([1, 1, 0]), torch.tensor([0.5, 0.5])
    image = Positives(*[torch.zeros(2)] * 5, errors, logits, targets)
    for name, is_alike in (("ap_alike_3", True), ("alrp_alike_3", True), ("ap_ordered", False)):
        model = build_detector((train.ALIKE | train.TWO_BY_TWO)[name], num_classes=1)
        first, second = pull_of(model, [image])
        assert bool(first == second) is is_alike


@pytest.mark.parametrize("folder", ["alrp_ref", "figures", "benchmarks", "examples", "notebooks", "docs"])
def test_nothing_is_patched_outside_the_tests(folder):
    """No file imports `mock`: what a study needs is an option of the package."""
    files = [*(Path(__file__).parents[1] / folder).rglob("*.py")]
    assert files
    assert not [file for file in files if re.search(r"\bmock\b", file.read_text(encoding="utf-8"))]
