"""Training resumes exactly, and stops where it should."""

import gc
import json
import os
import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from alrp_ref import checks, cli
from alrp_ref.detection import load_model
from alrp_ref.detection.recipe_losses import ALRP, AP, Focal
from alrp_ref.detection.saved_model import load_checkpoint, save_checkpoint
from alrp_ref.machine.files import DataError
from alrp_ref.reports.curves import loss_curves
from alrp_ref.training import TrainingStopped, TrainOptions, loop, plan, prepare, train
from alrp_ref.training import step as training_step
from alrp_ref.training.errors import NothingToLearn
from alrp_ref.training.log import PARTS, RPN_PARTS, RunLog, read_metrics
from alrp_ref.training.measurements import Measurements


def quietly(recipe, coco, out, log=lambda text: None, **options):
    return train(recipe, coco, out, TrainOptions(**{"workers": 0, "device": "cpu"} | options), log=log)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_run_that_goes_on_is_the_run_that_never_stopped(shapes, recipe, tmp_path, monkeypatch, workers):
    """On a CPU, weights, momentum, self-balance and logged losses are equal bit for bit."""
    quietly(recipe, shapes, tmp_path / "whole", steps=6, workers=workers)

    log_step = RunLog.step

    def interrupted(self, row):
        log_step(self, row)
        if row["step"] == 4:  # the checkpoint is that of the epoch's end, after step 2
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(RunLog, "step", interrupted)
        with pytest.raises(KeyboardInterrupt):
            quietly(recipe, shapes, tmp_path / "cut", steps=6, workers=workers)
    assert load_checkpoint(tmp_path / "cut" / "checkpoint.pt")["step"] == 3
    quietly(recipe, shapes, tmp_path / "cut", steps=6, workers=workers)

    whole, cut = (load_checkpoint(tmp_path / name / "checkpoint.pt") for name in ("whole", "cut"))
    assert whole["step"] == cut["step"] == 6
    for name, value in whole["model"].items():
        assert torch.equal(value, cut["model"][name]), name
    for number, state in whole["optimiser"]["state"].items():
        assert torch.equal(state["momentum_buffer"], cut["optimiser"]["state"][number]["momentum_buffer"])
    losses = [
        [(row["step"], row["lr"], row["loss_cls"], row["loss_loc"], row["weight"]) for row in rows]
        for rows in (read_metrics(tmp_path / name / "metrics.csv") for name in ("whole", "cut"))
    ]
    assert losses[0] == losses[1] and len(losses[0]) == 6


def test_a_checkpoint_of_another_recipe_is_refused(shapes, recipe, tmp_path):
    """The error names the setting that differs."""
    quietly(recipe, shapes, tmp_path, steps=1)
    with pytest.raises(DataError, match=r"recipe\.momentum: 0\.9 there, 0\.5 now"):
        quietly(replace(recipe, momentum=0.5), shapes, tmp_path, steps=1)
    with pytest.raises(DataError, match=r"another run.*:\n  recipe\.loss\.delta: 1\.0 there, 0\.5 now$"):
        quietly(replace(recipe, loss=ALRP(delta=0.5)), shapes, tmp_path, steps=1)
    with pytest.raises(DataError, match=r"\n  recipe\.loss: {'name': 'ALRP', .* there, {'name': 'Focal', "):
        quietly(replace(recipe, loss=Focal()), shapes, tmp_path, steps=1)


@pytest.mark.parametrize(("loss", "word"), [(ALRP(first_weight=5.0), "alrp"), (AP(), "ap")])
def test_a_run_of_an_earlier_version_is_resumed(shapes, recipe, tmp_path, loss, word):
    """Its checkpoint has the loss as a word, options beside it, a period in its plan, and no precision."""
    recipe = replace(recipe, loss=loss)
    quietly(recipe, shapes, tmp_path, steps=2)
    saved = load_checkpoint(tmp_path / "checkpoint.pt")
    for name in ("precision", "criterion"):
        del saved[name]
    fields = {"loss": word, "loc_weight": getattr(loss, "first_weight", 50.0), "self_balance_epochs": 1.0, "delta": 1.0}
    saved["recipe"] |= fields | {"optimizer": "sgd"}
    saved["plan"]["self_balance_period"] = 3
    save_checkpoint(tmp_path / "checkpoint.pt", saved)
    said = []
    quietly(recipe, shapes, tmp_path, said.append, steps=2)
    assert any("resuming from step 2" in text for text in said)


def test_a_loss_that_is_not_finite_stops_the_run(shapes, recipe, tmp_path):
    """The error names the step and the images, and the weights are not saved."""
    absurd = replace(recipe, lr=1e30, warmup_iters=0, clip_norm=None)
    with pytest.raises(TrainingStopped, match=r"step [12], images \[\d, \d\]"):
        quietly(absurd, shapes, tmp_path, steps=5)
    assert not (tmp_path / "checkpoint.pt").exists()


def numbers(out: Path) -> list[dict[str, float]]:
    return [{key: row[key] for key in row if key != "images_per_s"} for row in read_metrics(out / "metrics.csv")]


def test_the_log_does_not_depend_on_when_it_is_read(shapes, recipe, tmp_path, monkeypatch):
    """Read after every fourth step, and where an epoch or the run ends, it holds the same as read after each."""
    quietly(recipe, shapes, tmp_path / "each", steps=8)
    monkeypatch.setitem(loop.STEPS_BETWEEN_READS, "cpu", 4)
    read, lengths = Measurements.read, []
    monkeypatch.setattr(Measurements, "read", lambda self, saved: lengths.append(len(self._steps)) or read(self, saved))
    quietly(recipe, shapes, tmp_path / "fourth", steps=8)
    assert lengths == [3, 1, 2, 2]  # three steps are an epoch
    assert numbers(tmp_path / "fourth") == numbers(tmp_path / "each")


@pytest.mark.parametrize(("step", "saved"), [(1, 0), (4, 4)])
def test_a_loss_that_is_read_later_is_named_by_its_own_step(shapes, recipe, tmp_path, monkeypatch, step, saved):
    """The error names the first step without a finite loss, its images and the checkpoint before it. Neither that step
    nor a later one is saved or logged."""
    monkeypatch.setitem(loop.STEPS_BETWEEN_READS, "cpu", 4)
    monkeypatch.setattr(loop, "SECONDS_BETWEEN_CHECKPOINTS", 0)
    monkeypatch.setattr(checks, "is_asynchronous", lambda tensor: True)  # as on a GPU, where a loss may be NaN
    images, forward = [], training_step.forward

    def spoiled(learner, model, batch):
        images.append([target["image_id"] for target in batch[1]])
        factor = float("nan") if len(images) == step + 1 else 1.0
        return {name: loss * factor for name, loss in forward(learner, model, batch).items()}

    monkeypatch.setattr(training_step, "forward", spoiled)
    with pytest.raises(TrainingStopped) as stopped:
        quietly(recipe, shapes, tmp_path, steps=9)
    message = f"training stopped at step {step}, images {images[step]}: loss_cls is nan, loss_loc is nan; "
    kept = f"the checkpoint holds the state after {saved} steps" if saved else "there is no checkpoint yet"
    assert str(stopped.value).startswith(message + kept) and len(images) > step + 1
    assert len(read_metrics(tmp_path / "metrics.csv")) == saved
    if saved:
        checkpoint = load_checkpoint(tmp_path / "checkpoint.pt")
        assert checkpoint["step"] == saved and all(x.isfinite().all() for x in checkpoint["model"].values())
    else:
        assert not (tmp_path / "checkpoint.pt").exists()


def without_positives(shapes, root: Path) -> Path:
    """The shapes, with boxes of half a pixel: no anchor is matched with them."""
    shutil.copytree(shapes, root)
    for file in (root / "annotations").iterdir():
        content = json.loads(file.read_text())
        for annotation in content["annotations"]:
            annotation["bbox"][2:] = [0.5, 0.5]
        file.write_text(json.dumps(content))
    return root


@pytest.mark.parametrize("loss", [ALRP(), Focal()])
def test_a_run_without_a_positive_stops_and_says_so(shapes, recipe, tmp_path, monkeypatch, loss):
    """After so many steps, or at the end of a shorter run; after an interruption, too; with the likely cause."""
    data, recipe = without_positives(shapes, tmp_path / "data"), replace(recipe, loss=loss)
    monkeypatch.setattr(prepare, "STEPS_WITHOUT_POSITIVE", 5)
    with pytest.raises(NothingToLearn, match=r"in its first 5 steps no anchor was matched .* fractions of the image"):
        quietly(recipe, data, tmp_path / "long", steps=20)
    assert load_checkpoint(tmp_path / "long" / "checkpoint.pt")["step"] == 3  # the end of the first epoch
    with pytest.raises(NothingToLearn, match="first 5 steps"):
        quietly(recipe, data, tmp_path / "long", steps=20)
    with pytest.raises(NothingToLearn, match="first 4 steps"):
        quietly(recipe, data, tmp_path / "short", steps=4)


def test_what_may_be_a_mistake_is_logged_before_the_first_step(shapes, recipe, tmp_path):
    """A line for each kind, with the number and the first of it."""
    said = []
    with pytest.raises(NothingToLearn):
        quietly(recipe, without_positives(shapes, tmp_path / "data"), tmp_path / "run", steps=1, log=said.append)
    assert any(
        re.search(r"instances_train2017\.json: may be a mistake: boxes below a pixel: \d+ \(", line) for line in said
    )


def test_a_trained_model_can_be_loaded(shapes, recipe, tmp_path):
    """It has the names of the classes and the very weights, and in one memory layout detects the same."""
    trained, _ = quietly(recipe, shapes, tmp_path, steps=2)
    loaded, _ = load_model(tmp_path / "checkpoint.pt")
    assert loaded.class_names == ["circle", "ring", "square", "star", "triangle"] and not loaded.training
    weights, others = ([*model.named_parameters(), *model.named_buffers()] for model in (trained, loaded))
    assert all(torch.equal(value, other) for (_, value), (_, other) in zip(weights, others, strict=True))
    images = torch.randn(1, 3, 64, 64)
    loaded.to(memory_format=torch.channels_last)  # as in training; another layout rounds differently
    (one,), (other,) = (model.detect(images, score_threshold=0.0) for model in (trained, loaded))
    assert len(one["scores"]) > 0 and all(torch.equal(one[key], other[key]) for key in one)


def test_both_stages_are_logged_and_drawn(shapes, recipe, tmp_path):
    """A two-stage detector trains, and its log and report hold the parts and the weight of each stage."""
    two = replace(recipe, detector="faster_rcnn", assigner="rpn", scales_per_octave=1, levels=5, lr=0.01, clip_norm=1.0)
    quietly(two, shapes, tmp_path, steps=4)
    rows = read_metrics(tmp_path / "metrics.csv")
    assert [row["step"] for row in rows] == [0, 1, 2, 3]
    assert all(row[name] >= 0 for row in rows for name in (*PARTS, *RPN_PARTS))
    assert rows[0]["rpn_weight"] == rows[0]["weight"] == 50 != rows[3]["rpn_weight"]
    above = loss_curves(rows).axes[:2]
    assert [axes.get_legend().get_texts()[0].get_text() for axes in above] == ["loss_rpn_cls", "loss_cls"]
    assert load_model(tmp_path / "checkpoint.pt")[0].recipe == two


@pytest.mark.parametrize("content", [b"", b"no checkpoint at all"])
def test_a_file_that_is_no_checkpoint_is_named(tmp_path, content):
    """The error names the file."""
    path = tmp_path / "checkpoint.pt"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"checkpoint\.pt"):
        load_model(path)


@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="Linux tells what a process holds")
def test_workers_go_on_sharing_the_memory_of_the_run(shapes, recipe, tmp_path, monkeypatch):
    """A collection in a process that is forked amid a run copies less than a third of what it does outside."""

    def copied() -> int:
        """Kilobytes that a forked process has for itself after a collection."""
        reading, writing = os.pipe()
        if os.fork() == 0:
            gc.collect()
            lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
            private = sum(int(line.split()[1]) for line in lines if line.startswith("Private"))
            os.write(writing, str(private).encode())
            os._exit(0)
        os.wait()
        return int(os.read(reading, 100))

    inside = []
    monkeypatch.setattr(plan, "learning_rate", lambda step, lr, **schedule: inside.append(copied()) or 0.01)
    quietly(recipe, shapes, tmp_path, steps=1)
    assert inside[0] < copied() / 3


def test_images_without_objects_are_left_out_or_are_background(shapes, recipe, tmp_path):
    """The summary says how many are left out; with the field of the recipe they are trained on, as negatives."""
    data = shutil.copytree(shapes, tmp_path / "data")
    file = data / "annotations" / "instances_train2017.json"
    content = json.loads(file.read_text())
    content["annotations"] = [a for a in content["annotations"] if a["image_id"] > 2]
    file.write_text(json.dumps(content))
    said = []
    quietly(recipe, data, tmp_path / "without", said.append, steps=2)
    assert any("4 images (2 without objects left out), 2 steps" in line for line in said)
    quietly(replace(recipe, background_images=True), data, tmp_path / "with", said.append, steps=3)
    assert any("6 images, 3 steps" in line for line in said) and len(numbers(tmp_path / "with")) == 3
    file.write_text(json.dumps(content | {"annotations": []}))
    with pytest.raises(DataError, match=r"instances_train2017\.json has no box to learn from"):
        quietly(replace(recipe, background_images=True), data, tmp_path / "nothing", steps=3)


@pytest.mark.parametrize("metric, best", [("AP", 6), ("oLRP", 3)])
def test_the_best_evaluation_keeps_its_weights(shapes, recipe, tmp_path, monkeypatch, metric, best):
    """Of three evaluations, by a metric that is high or low; the report says which. Both files can be loaded."""
    values = iter([0.1, 0.3, 0.2])

    def validate(model, val, out, *rest):
        found = dict.fromkeys(("AP", "AP50", "AP75", "oLRP"), next(values))
        return found, []

    monkeypatch.setattr(loop, "validate_and_keep", validate)
    quietly(recipe, shapes, tmp_path, steps=9, eval_every=1, keep_best=metric)
    content = load_model(tmp_path / "best.pt")[1]
    assert content["best"] == {"metric": metric, "value": 0.3 if metric == "AP" else 0.1, "step": best}
    last = load_model(tmp_path / "checkpoint.pt")[1]
    assert any(not torch.equal(last["model"][name], value) for name, value in content["model"].items())
    with pytest.raises(ValueError, match="keep_best compares evaluations: give eval_every"):
        TrainOptions(keep_best="AP")


def test_an_evaluation_has_the_classes_of_the_checkpoint(shapes, recipe, tmp_path):
    """Of validation images alone, which lack one of its classes, have another only as a heading, and number them
    anew: the report draws them, and the metrics are those of the file with the classes of the training images."""
    quietly(recipe, shapes, tmp_path / "run", steps=3)
    file = shapes / "annotations" / "instances_val2017.json"
    content = json.loads(file.read_text())
    used = {a["category_id"] for a in content["annotations"]}
    unused = [c for c in content["categories"] if c["id"] not in used]
    heading, *_ = unused or content["categories"]
    kept = [c for c in content["categories"] if c["id"] in used or c is heading]
    content["annotations"] = [a for a in content["annotations"] if a["category_id"] != heading["id"]]
    for category in kept:
        category["supercategory"] = heading["name"] if category is not heading else "none"
    content["categories"] = kept
    alone = tmp_path / "val.json"
    alone.write_text(json.dumps(content))
    command = ["eval", "--checkpoint", str(tmp_path / "run" / "checkpoint.pt"), "--out", str(tmp_path / "out")]
    command += ["--val-annotations", str(alone), "--val-images", str(shapes / "val2017"), "--device", "cpu"]
    assert cli.main(command) == 0 and (tmp_path / "out" / "report.html").exists()
    found = json.loads((tmp_path / "out" / "detections.json").read_text())
    assert {d["category_id"] for d in found} <= {c["id"] for c in kept}


def test_boxes_that_are_too_small_to_be_seen_are_said_before_the_first_step(shapes, recipe, tmp_path):
    """By their number and the size that images are trained at; not where few are."""
    said = []
    quietly(recipe, shapes, tmp_path / "seen", said.append, steps=1)
    assert not any("pixels wide or high" in line for line in said)
    quietly(replace(recipe, train_size=16), shapes, tmp_path / "tiny", said.append, steps=1)
    (line,) = (line for line in said if "pixels wide or high" in line)
    assert re.match(r"\d+ of \d+ boxes are less than 4 pixels wide or high at train_size 16", line)
