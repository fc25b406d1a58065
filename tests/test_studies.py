"""The studies: their recipes, and how results of several runs come together."""

import re
from pathlib import Path

import pytest
import torch

from alrp_ref.detection import Recipe, build_detector
from alrp_ref.detection.boxes import CODERS
from alrp_ref.detection.recipes import get_recipe
from alrp_ref.machine.files import read_table
from figures import claim
from studies import recipes, runs
from studies.keep import RESULTS, keep_results
from studies.positives import Positives, pull_of


def test_results_of_runs_that_lie_elsewhere_are_kept(tmp_path):
    """`keep_results` replaces the rows of the runs in its folder, adds new ones, and keeps all others, in one order."""
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
        keep_results(tmp_path / folder, results)
    rows = [(row["recipe"], row["seed"], row["AP"]) for row in read_table(results)]
    assert rows == [("alrp", "0", "0.1250"), ("alrp", "1", "0.2500"), ("ap", "0", "0.7500")]


@pytest.fixture
def trained(tmp_path, monkeypatch) -> dict[str, Recipe]:
    """The recipe of each run of each study, by its name."""
    monkeypatch.setattr(runs, "make_shapes", lambda folder, **sizes: folder)
    monkeypatch.setattr(runs, "hold_out", lambda coco, folder, every: folder)
    monkeypatch.setattr(runs, "images_of", lambda coco: 1843)
    studies, found = runs.Studies(tmp_path, coco=tmp_path / "coco"), {}
    for study in runs.STUDIES:
        # Figure 4 has runs of the same names with other lengths, and the same recipes.
        for run in getattr(studies, study)():
            assert found.setdefault(run.recipe.name, run.recipe) == run.recipe
    return found


def test_every_row_of_the_claim_has_its_recipe():
    """In its list: each run of the four tables, as `alrp train` takes it."""
    _, *rows = claim.to_train()
    shown = {name for _, name, _ in claim.ON_SHAPES} | {name for *_, name in claim.SWITCHES + claim.LADDER}
    assert {recipe.strip("`") for _, recipe in rows} == {
        *(recipes.ON_SHAPES[name] for name in shown),
        *recipes.PHOTOGRAPHS.values(),
    }


def test_every_result_is_of_a_recipe_that_can_be_built(trained):
    """Each run of the studies has a loss that its detector takes, and each row of the results is one of these runs."""
    assert {row["recipe"] for row in read_table(RESULTS)} <= set(trained)
    for recipe in trained.values():
        assert recipe.loss.build(CODERS[recipe.coder], 10) is not None


@pytest.mark.parametrize("name", recipes.LOSSES)
def test_each_loss_has_the_best_learning_rate_of_its_sweep(name):
    """After 2,500 steps, on training pictures held out, no other rate that was tried has more AP."""
    tried = [row for row in read_table(RESULTS) if row["recipe"].startswith(f"rate_{name}_")]
    best = max((row for row in tried if row["steps"] == row["total_steps"]), key=lambda row: float(row["AP"]))
    assert best["recipe"] == f"rate_{name}_{get_recipe(recipes.LOSSES[name]).lr:g}"


def test_a_pull_at_all_boxes_alike_is_found_from_the_recipe():
    """`positives.pull_of` asks the loss of the boxes: shares are equal with a mean, and unequal with aLRP Loss."""
    logits, targets, errors = torch.tensor([2.0, -2.0, 0.0]), torch.tensor([1, 1, 0]), torch.tensor([0.5, 0.5])
    image = Positives(*[torch.zeros(2)] * 5, errors, logits, targets)
    for name, is_alike in (("ap_alike_3", True), ("alrp_alike_3", True), ("ap_ordered", False)):
        model = build_detector(recipes.ON_SHAPES[name], num_classes=1)
        first, second = pull_of(model, [image])
        assert bool(first == second) is is_alike


@pytest.mark.parametrize("folder", ["alrp_ref", "studies", "figures", "benchmarks", "examples", "notebooks", "docs"])
def test_nothing_is_patched_outside_the_tests(folder):
    """No file imports `mock`: what a study needs is an option of the package."""
    files = [*(Path(__file__).parents[1] / folder).rglob("*.py")]
    assert files
    assert not [file for file in files if re.search(r"\bmock\b", file.read_text(encoding="utf-8"))]
