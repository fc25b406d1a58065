"""Heads on frozen features: who is trained on what, and that a run resumes."""

import itertools
import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from studies import heads
from studies.features import CHANNELS


@pytest.fixture
def features() -> SimpleNamespace:
    """Of twelve photographs, of which the third is of train2017, random maps, and one object each."""
    levels = [
        torch.rand(12, 2, c, heads.SIDE // s, heads.SIDE // s) for s, c in zip((8, 16, 32), CHANNELS, strict=True)
    ]
    images = [{"id": i, "coco_url": f"http://x/{'train' if i == 3 else 'val'}2017/{i}.jpg"} for i in range(1, 13)]
    objects = [{"id": i, "image_id": i, "category_id": 7, "bbox": [40, 60, 80, 90], "area": 7200} for i in range(1, 13)]
    content = {
        "images": [one | {"width": 208, "height": 208} for one in images],
        "annotations": objects,
        "categories": [{"id": 7, "name": "thing"}],
    }
    split = SimpleNamespace(coco=SimpleNamespace(dataset=content), category_ids=[7], class_names=["thing"])
    target = {"boxes": torch.tensor([[80.0, 120, 240, 300]]), "labels": torch.tensor([0])}
    return SimpleNamespace(
        splits=[split],
        ids=[(0, i) for i in range(1, 13)],
        scales=torch.full((12,), 2.0),
        sizes=[(416, 416)] * 12,
        batch=lambda images, mirrored: ([x[images, mirrored].float() for x in levels], [target] * len(images)),
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
