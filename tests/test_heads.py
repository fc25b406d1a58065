"""Heads on frozen features: who is trained on what, and that a run resumes."""

import itertools
import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from alrp_ref.machine.files import read_table
from studies import heads
from studies.features import CHANNELS


@pytest.fixture
def features() -> SimpleNamespace:
    """Of twelve photographs, of which the third is of train2017, random maps, and one object each."""
    levels = [
        torch.rand(12, 2, c, heads.SIDE // s, heads.SIDE // s) for s, c in zip((8, 16, 32), CHANNELS, strict=True)
    ]
    images = [{"id": i, "coco_url": f"http://x/{'train' if i == 3 else 'val'}2017/{i}.jpg"} for i in range(1, 13)]
    one = {"bbox": [40, 60, 80, 90], "area": 7200}
    objects = [one | {"id": i, "image_id": i, "category_id": 7 + 2 * (i % 2)} for i in range(1, 13)]
    content = {
        "images": [one | {"width": 208, "height": 208} for one in images],
        "annotations": objects,
        "categories": [{"id": 7, "name": "person"}, {"id": 9, "name": "cat"}],
    }
    split = SimpleNamespace(coco=SimpleNamespace(dataset=content), category_ids=[7, 9], class_names=["person", "cat"])
    box = torch.tensor([[80.0, 120, 240, 300]])
    targets = [{"boxes": box, "labels": torch.tensor([i % 2])} for i in range(1, 13)]
    return SimpleNamespace(
        splits=[split],
        ids=[(0, i) for i in range(1, 13)],
        scales=torch.full((12,), 2.0),
        sizes=[(416, 416)] * 12,
        targets=targets,
        batch=lambda images, mirrored: ([x[images, mirrored].float() for x in levels], [targets[i] for i in images]),
    )


def test_each_photograph_is_tested_by_one_head_that_was_not_trained_on_it(features, tmp_path):
    """In five folds, but for those that the frozen network was trained on: they are in the training of all."""
    every = [*heads.folds(features, tmp_path, "alrp", 0.05, 4)]
    tested = np.concatenate([run.test for run in every])
    assert sorted(tested) == [i for i in range(12) if i != 2] and len(every) == 5
    for run in every:
        assert sorted([*run.train, *run.test]) == list(range(12)) and 2 in run.train
    for run in heads.sweep(features, tmp_path, "alrp"):
        assert {*run.train, *run.test} == {*every[0].train} and not {*run.train} & {*run.test}


def test_a_stopped_head_ends_as_one_that_was_not(features, tmp_path, monkeypatch):
    """Resumed at its last epoch it has the same detections; they are in the pixels of the files."""
    monkeypatch.setattr(heads, "HEAD", replace(heads.HEAD, batch_size=4, fpn_channels=8, head_channels=8))
    run = next(heads.folds(features, tmp_path, "ap_alike_3", 0.05, 6))
    run = replace(run, train=run.train[:8])
    once, again = (replace(run, folder=tmp_path / name) for name in ("once", "again"))
    for one in (once, again):
        one.folder.mkdir()
    heads.train(once, features, precision="float32", device="cpu")
    calls, batch = itertools.count(1), features.batch

    def stopped(*args):
        if next(calls) == 4:
            raise KeyboardInterrupt
        return batch(*args)

    features.batch = stopped
    with pytest.raises(KeyboardInterrupt):
        heads.train(again, features, precision="float32", device="cpu")
    features.batch = batch
    assert again.result is None and (again.folder / "head.pt").exists()
    heads.train(again, features, precision="float32", device="cpu")
    assert again.result == once.result and once.result["row"] == "ap_alike_3"
    found = json.loads((once.folder / "detections.json").read_text())
    assert found and max(d["bbox"][0] + d["bbox"][2] for d in found) <= 208


def test_the_table_has_all_photographs_of_the_folds_that_are_done(features, tmp_path):
    """Together, not fold by fold: a row with two folds in order has two, whatever was done out of order."""
    for run in heads.folds(features, tmp_path, "alrp", 0.05, 6):
        box = {"category_id": 7, "bbox": [40, 60, 80, 90], "score": 0.5}  # right in three of five photographs
        if run.seed != 2:
            run.folder.mkdir()
            (run.folder / "detections.json").write_text(json.dumps([box | {"image_id": int(i) + 1} for i in run.test]))
            (run.folder / "result.json").write_text(json.dumps({"lr": 0.05}))
    heads.summarise(features, tmp_path, 6, tmp_path / "kept")
    rows = {row["class"]: row for row in read_table(tmp_path / "kept" / "results.csv")}
    assert {(row["folds"], row["photographs"]) for row in rows.values()} == {("2", "5")}
    assert [rows[name]["AP50"] for name in ("all", "person", "others")] == ["0.3000", "0.6000", "0.0000"]
    samples = np.load(tmp_path / "kept" / "resampled.npz")
    assert [*samples] == ["alrp_2"] and samples["alrp_2"].shape == (200, 10)
