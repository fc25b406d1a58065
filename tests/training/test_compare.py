"""A comparison is fair, survives interruption, and is shared by processes that are given the same command."""

import json
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from alrp_ref import cli
from alrp_ref.data import CocoDataset, Layout, hold_out, make_shapes
from alrp_ref.detection.recipe_losses import Focal
from alrp_ref.detection.recipes import as_data
from alrp_ref.evaluation import evaluate
from alrp_ref.machine.files import DataError, read_table
from alrp_ref.reports import write_comparison
from alrp_ref.training import TrainingStopped, TrainOptions, compare
from alrp_ref.training.compare_recipes import MAX_HALF_DECADES, SWEEP_SHARE, Comparison, best_of, next_rates
from alrp_ref.training.experiment import Experiment


def quietly(recipes, coco, out, *, seeds=3, log=lambda text: None, **options) -> Comparison:
    """`compare` on a CPU, without a word."""
    return compare(recipes, coco, out, TrainOptions(workers=0, device="cpu", **options), seeds=seeds, log=log)


@pytest.fixture(scope="session")
def many(tmp_path_factory) -> Path:
    """Twenty training images, of which two are held out, and three validation images."""
    return make_shapes(tmp_path_factory.mktemp("many"), train_images=20, val_images=3, size=64)


@pytest.fixture
def recipes(recipe):
    """Two losses of the same small detector."""
    return [replace(recipe, name="ranked"), replace(recipe, name="focal", loss=Focal())]


def results(folder: Path) -> dict[str, dict]:
    """All results in a comparison's folder, without the time it took."""
    found = {}
    for path in sorted(folder.rglob("result.json")):
        found[str(path.relative_to(folder))] = json.loads(path.read_text())
        del found[str(path.relative_to(folder))]["minutes"]
    return found


def test_every_tenth_training_image_is_held_out(many, tmp_path):
    """The new set's training and validation images are the old set's training images, none twice; val2017 is not
    among them, so that it cannot choose anything."""
    held = hold_out(many, tmp_path / "held", 10)
    old = CocoDataset(many, "train2017", keep_empty=True)
    parts = [CocoDataset(held, split, keep_empty=True) for split in ("train2017", "val2017")]
    assert parts[1].ids == sorted(old.ids)[9::10]
    assert sorted(parts[0].ids + parts[1].ids) == sorted(old.ids)
    assert all(part.read_image(i).tobytes() == old.read_image(i).tobytes() for part in parts for i in part.ids)


def test_a_sweep_ends_with_a_worse_learning_rate_on_each_side():
    """It walks uphill by half decades, from the recipe's own rate, and no farther than three."""
    assert next_rates({}) == [0, 1, -1]
    assert next_rates({0: 0.2, 1: 0.1, -1: 0.1}) == []
    assert next_rates({0: 0.2, 1: 0.3, -1: 0.1}) == [2]
    assert next_rates({-1: 0.3, 0: 0.2, 1: 0.1}) == [-2]
    assert next_rates({k: float(k) for k in range(-1, MAX_HALF_DECADES + 1)}) == []
    assert best_of({0: 0.0, 1: 0.0, -1: 0.0}) == 0


def test_learning_rates_are_chosen_on_training_images_held_out(many, recipes, tmp_path, monkeypatch):
    """The sweep never sees the validation images, and the runs take the rate that was best in it."""
    best = {"ranked": recipes[0].lr * 10**0.5, "focal": recipes[1].lr / 10}
    trained = []

    def pretend(run: Experiment, log) -> None:
        trained.append(run)
        distance = abs(run.recipe.lr / best[run.recipe.name] - 1)
        (run.folder / "result.json").write_text(json.dumps(run._identity() | {"AP": 1 / (1 + distance)}))

    monkeypatch.setattr(Experiment, "train", pretend)
    compared = quietly(recipes, many, tmp_path, steps=9, seeds=2)
    assert len(trained) == len(compared.sweep) + len(compared.runs)
    assert {run.coco for run in compared.sweep} == {tmp_path / "held_out"} and {
        r.options.steps for r in compared.sweep
    } == {3}
    assert {run.coco for run in compared.runs} == {Layout.of(many)} and {
        run.options.steps for run in compared.runs
    } == {9}
    for run in compared.runs:
        assert run.recipe.lr == pytest.approx(best[run.recipe.name], rel=0.01)


def test_the_tables_hold_what_the_runs_reached(many, recipe, tmp_path):
    """Of a run that finds everything and one that finds half: AP, its curves, its bounds, and losses without weight."""
    truth = CocoDataset(many, "val2017").coco.dataset
    found = [
        {name: a[name] for name in ("image_id", "category_id", "bbox")} | {"score": 0.9} for a in truth["annotations"]
    ]
    runs = []
    for seed, detections in enumerate((found, found[::2])):
        folder = tmp_path / "runs" / "ranked" / f"seed_{seed}"
        folder.mkdir(parents=True)
        run = Experiment(recipe=recipe, coco=many, folder=folder, options=TrainOptions(steps=2, seed=seed))
        metrics = evaluate(truth, detections).to_dict()
        for name, content in {
            "detections": detections,
            "metrics": metrics,
            "result": run._identity() | metrics | {"rho": None, "minutes": 1.0},
        }.items():
            (folder / f"{name}.json").write_text(json.dumps(content))
        log = "step,epoch,loss_cls,loss_loc,weight,images_per_s\n0,0,0.9,5.0,50,1\n1,0,0.7,4.0,20,1\n"
        (folder / "metrics.csv").write_text(log)
        runs.append(run)
    write_comparison(Comparison(runs, []), tmp_path)

    ap50 = [float(row["AP50"]) for row in read_table(tmp_path / "comparison.csv")]
    assert ap50[0] == 1 and 0.3 < ap50[1] < 0.8
    curve = [float(r["precision"]) for r in read_table(tmp_path / "precision_recall.csv") if r["IoU"] == "0.5"]
    assert sum(curve) / len(curve) == pytest.approx(sum(ap50) / 2, abs=1e-3)
    bounds = read_table(tmp_path / "bounds.csv")
    assert [float(row["AP"]) for row in bounds] == pytest.approx(3 * [ap50[0]] + 3 * [ap50[1]], abs=1e-3)
    losses = read_table(tmp_path / "losses.csv")
    assert [(row["loss_cls"], row["loss_loc"], row["weight"]) for row in losses] == [
        ("0.9", "0.1", "50"),
        ("0.7", "0.2", "20"),
    ]
    classes = read_table(tmp_path / "classes.csv")
    assert all(row["AP50"] == "1" for row in classes if row["seed"] == "0")


def test_a_comparison_from_the_command_line(many, tmp_path, capsys):
    """A short one: the table, the page, which needs no other file, and every table as CSV; the same command trains
    nothing anew."""
    small = "alrp_tiny:train_size=64:test_size=(64, 64):batch_size=4"
    names = [small, f"{small}:loss.delta=0.5"]
    command = ["compare", "--recipes", *names, "--coco", str(many), "--out", str(tmp_path), "--budget", "3"]
    command += ["--seeds", "2", "--workers", "0", "--device", "cpu"]
    assert cli.main(command) == 0
    said = capsys.readouterr().out
    assert "3 steps of 4" in said and "AP50 " in said
    page = (tmp_path / "comparison.html").read_text()
    assert page.count("data:image/png;base64,") == 3 and "http" not in page
    assert all(re.search(rf"<th>{re.escape(name)} *</th>", page) for name in names)
    rows = read_table(tmp_path / "comparison.csv")
    assert [(row["recipe"], row["seed"]) for row in rows] == [(name, seed) for seed in "01" for name in names]
    for name, columns in {
        "sweep": "recipe,lr,steps,seed,AP",
        "classes": "recipe,lr,steps,seed,class,objects,AP,AP50,AP75,oLRP",
        "bounds": "recipe,lr,steps,seed,order,AP,AP50,AP75,AP90",
        "precision_recall": "recipe,IoU,recall,precision",
        "losses": "recipe,step,loss_cls,loss_loc,weight",
    }.items():
        assert (tmp_path / f"{name}.csv").read_text().splitlines()[0] == columns

    rates = {row["recipe"]: row["lr"] for row in rows}
    assert rates[names[1]] == rates[small]  # one thing differs
    assert {row["recipe"] for row in read_table(tmp_path / "sweep.csv")} == {"alrp_tiny"}
    before = results(tmp_path)
    assert cli.main(command) == 0
    assert "steps of" not in capsys.readouterr().out and results(tmp_path) == before


@pytest.mark.slow
def test_a_comparison_goes_on_where_it_was_stopped(many, recipes, tmp_path):
    """Interrupted in the middle, and given again, it reaches to the digit what one that was not reaches."""
    options = {"steps": SWEEP_SHARE, "seeds": 1}
    quietly(recipes, many, tmp_path / "whole", **options)
    seen = []

    def stop(text: str) -> None:
        seen.append(text)
        if len(seen) == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        quietly(recipes, many, tmp_path / "stopped", log=stop, **options)
    assert 0 < len(results(tmp_path / "stopped")) < len(results(tmp_path / "whole"))
    quietly(recipes, many, tmp_path / "stopped", **options)
    assert results(tmp_path / "stopped") == results(tmp_path / "whole")


@pytest.mark.slow
def test_processes_with_the_same_command_share_the_runs(many, tmp_path):
    """Each run is trained by one of them, and both end with the whole comparison."""
    command = [sys.executable, "-m", "alrp_ref.cli", "compare", "--recipes", "focal_tiny", "ap_tiny"]
    command += ["--coco", str(many), "--out", str(tmp_path), "--budget", "3", "--seeds", "2", "--workers", "0"]
    both = [subprocess.Popen([*command, "--device", "cpu"], stdout=subprocess.PIPE, text=True) for _ in range(2)]
    said = [process.communicate(timeout=300)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert sum(text.count("steps of 16") for text in said) == len(results(tmp_path))
    assert all("comparison.html" in text for text in said)


def test_a_run_that_diverges_is_a_result(many, recipes, tmp_path):
    """A learning rate at which the loss is no longer finite reaches AP 0 in the sweep; where all do, the page says at
    which step and why."""
    wild = replace(recipes[1], lr=1e30, warmup_iters=0, clip_norm=None)
    compared = quietly([wild], many, tmp_path, steps=9, seeds=1)
    assert {run.result["AP"] for run in compared.sweep} == {0.0}
    assert "training stopped at step" in compared.runs[0].result["stopped"]
    assert "training stopped at step" in write_comparison(compared, tmp_path).read_text()


def test_a_run_that_was_stopped_otherwise_is_no_result(many, recipes, tmp_path, monkeypatch):
    """A killed data worker says nothing of a recipe: the comparison ends, and can be gone on with."""

    def killed(*args, **options):
        raise TrainingStopped("a process that reads images was killed")

    monkeypatch.setattr(sys.modules[Experiment.__module__], "train", killed)
    with pytest.raises(TrainingStopped, match="killed"):
        quietly(recipes, many, tmp_path, steps=3)
    assert not results(tmp_path)


def test_another_budget_in_the_same_folder_is_refused(many, recipes, tmp_path):
    """The error says what differs: results of different lengths are never mixed."""
    quietly(recipes[1:], many, tmp_path, steps=3, seeds=1)
    with pytest.raises(DataError, match=r"(?s)result\.json is from another run.*steps: 1 there, 2 now"):
        quietly(recipes[1:], many, tmp_path, steps=6, seeds=1)


@pytest.mark.parametrize(
    "change, complaint",
    [
        ({"name": "focal"}, "names of their own, got focal, focal"),
        ({"batch_size": 4}, "same batch_size .* ranked 4, focal 2"),
    ],
)
def test_an_unfair_comparison_is_refused(many, recipes, tmp_path, change, complaint):
    """Recipes that see a different amount of data, or cannot be told apart."""
    with pytest.raises(ValueError, match=complaint):
        quietly([replace(recipes[0], **change), recipes[1]], many, tmp_path, steps=3)


@pytest.mark.parametrize(
    "names, change, complaint",
    [
        (["alrp_tiny:loss.loc_step=soft"], {}, "loc_step must be one of hard, smoothed, got 'soft'"),
        (["alrp_tiny:loss.delta=-1"], {}, "delta must be above 0, got -1"),
        (["alrp_tiny", "alrp_tiny:lr=0.5"], {}, "leave lr out of alrp_tiny:lr=0.5"),
        (["alrp_tiny"], {"steps": 0}, "at least 1 step and 1 seed, got 0 and 3"),
        (["alrp_tiny"], {"seeds": 0}, "at least 1 step and 1 seed, got 9 and 0"),
    ],
)
def test_what_cannot_be_compared_is_said_before_anything_is_trained(many, tmp_path, names, change, complaint):
    """A mistyped option is an error, and does not count as a run that diverged."""
    with pytest.raises(ValueError, match=complaint):
        quietly(names, many, tmp_path, **{"steps": 9} | change)
    assert not list(tmp_path.iterdir())


def test_the_data_of_a_comparison_are_looked_at_first(many, recipes, tmp_path):
    """Without validation images, or with too few to hold one out, no run begins; a file is no folder for it."""
    few = make_shapes(tmp_path / "few", train_images=9, val_images=1, size=64)
    with pytest.raises(DataError, match="has 9 images: 10 are needed to hold one out"):
        quietly(recipes, few, tmp_path / "out", steps=3)
    (few / "annotations" / "instances_val2017.json").unlink()
    with pytest.raises(DataError, match=r"instances_val2017\.json is missing"):
        quietly(recipes, few, tmp_path / "out", steps=3)
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="file is a file; give the name of a folder"):
        quietly(recipes, many, tmp_path / "file", steps=3)


def test_a_result_of_an_earlier_version_counts_if_its_loss_is_known(many, recipe, tmp_path):
    """The loss was a word, with its options beside it. A result of AP Loss with another weight than 50 came from a
    study that trained something else, and is refused."""
    run = Experiment(recipe=recipe, coco=many, folder=tmp_path / "run", options=TrainOptions(steps=3, seed=0))
    fields = {key: value for key, value in as_data(run.recipe).items() if key != "loss"}
    identity = run._identity() | {"AP": 0.5}
    run.folder.mkdir(parents=True)
    former = {"delta": 1.0, "loc_error": "giou", "loc_step": "hard", "self_balance_epochs": 1.0}
    for loss, weight in (("alrp", 50.0), ("ap", 3.0)):
        recipe = fields | former | {"loss": loss, "loc_weight": weight}
        (run.folder / "result.json").write_text(json.dumps(identity | {"recipe": recipe}))
        if loss == "alrp":
            assert run.result["AP"] == 0.5
        else:
            with pytest.raises(DataError, match=r"result\.json cannot be read: it was trained with separate losses"):
                assert run.result


@pytest.mark.parametrize("content", ["", "[]", '{"AP"', '{"seed": 0}'])
def test_a_damaged_result_is_named(many, recipe, tmp_path, content):
    """The error names the file, and no run is trained over it."""
    run = Experiment(recipe=recipe, coco=many, folder=tmp_path, options=TrainOptions(steps=3, seed=0))
    (tmp_path / "result.json").write_text(content)
    with pytest.raises(DataError, match=r"result\.json is no"):
        _ = run.result


def test_results_on_other_data_are_refused(many, recipes, tmp_path):
    """The same command with another data set, or other weights to begin with, never shows what is there."""
    quietly(recipes[1:], many, tmp_path / "out", steps=3, seeds=1)
    other = make_shapes(tmp_path / "other", train_images=20, val_images=4, size=64)
    with pytest.raises(DataError, match=r"(?s)result\.json is from another run.*data\.val2017\.images"):
        quietly(recipes[1:], other, tmp_path / "out", steps=3, seeds=1)
    with pytest.raises(DataError, match=r"(?s)result\.json is from another run.*backbone: 'none' there, 'w\.pth' now"):
        quietly(recipes[1:], many, tmp_path / "out", steps=3, seeds=1, backbone_weights="w.pth")


def test_results_on_labels_that_were_repaired_are_refused(many, recipes, tmp_path):
    """Also where the annotation file has as many bytes as before: in the runs, and in the sweep on held-out images."""
    data = shutil.copytree(many, tmp_path / "data")
    file = data / "annotations" / "instances_train2017.json"
    content = json.loads(file.read_text())
    before = file.stat().st_size
    quietly(recipes[1:], data, tmp_path / "out", steps=3, seeds=1)
    for annotation in content["annotations"]:
        annotation["category_id"] = 1 + annotation["category_id"] % 5
    file.write_text(json.dumps(content, separators=(",", ":")) + "\n")
    assert file.stat().st_size == before
    with pytest.raises(DataError, match=r"(?s)result\.json is from another run.*data\.train2017\.classes of the boxes"):
        quietly(recipes[1:], data, tmp_path / "out", steps=3, seeds=1)
