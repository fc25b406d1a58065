"""`DetectionMetric` in batches is `evaluate` of all of it."""

import math
import subprocess
import sys

import pytest
import torch
from evaluation.test_evaluate import random_set
from processes import in_processes
from torch import distributed

from alrp_ref.evaluation import DetectionMetric, evaluate
from alrp_ref.evaluation.detection_metric import NAMES


def tensors(rows, *keys):
    """Boxes as x, y, width, height, and labels; further keys by their names."""
    boxes = torch.tensor([row["bbox"] for row in rows], dtype=torch.float64).reshape(-1, 4)
    found = {"boxes": boxes, "labels": torch.tensor([row["category_id"] for row in rows], dtype=torch.int64)}
    return found | {name: torch.tensor([row[key] for row in rows], dtype=torch.float64) for name, key in keys}


def of_images(gt, detections):
    """Pairs of predictions and target, image by image."""
    for image in gt["images"]:
        preds = tensors([d for d in detections if d["image_id"] == image["id"]], ("scores", "score"))
        own = [a for a in gt["annotations"] if a["image_id"] == image["id"]]
        yield preds, tensors(own, ("area", "area"), ("iscrowd", "iscrowd"))


@pytest.mark.parametrize("batch", [1, 4])
def test_in_batches_it_is_evaluate_of_all(batch):
    """Every metric, by torchmetrics' names, and those of each class; after `reset` there is nothing."""
    gt, detections = random_set(3, images=10)
    metric, images = DetectionMetric("xywh", class_metrics=True), list(of_images(gt, detections))
    for k in range(0, len(images), batch):
        metric.update(*(list(x) for x in zip(*images[k : k + batch], strict=True)))
    found, expected = metric.compute(), evaluate(gt, detections)
    for name, value in expected.items():
        theirs = {"AR100": "mar_100"} | NAMES
        assert found[theirs.get(name, name.lower())] == pytest.approx(-1 if math.isnan(value) else value, rel=1e-6)
    assert found["classes"].tolist() == [1, 2, 3]
    of_classes = [one["oLRP"] for one in expected.per_class.values()]
    assert found["olrp_per_class"].tolist() == pytest.approx(of_classes, rel=1e-6)
    metric.reset()
    assert metric.compute()["map"] == -1


@pytest.mark.parametrize(
    ("box_format", "box"),
    [("xyxy", [10.0, 10, 30, 20]), ("xywh", [10.0, 10, 20, 10]), ("cxcywh", [20.0, 15, 20, 10])],
)
def test_a_perfect_box_in_each_form_has_ap_1(box_format, box):
    """The area is that of the box, 200 pixels, which is small."""
    metric = DetectionMetric(box_format)
    truth = {"boxes": torch.tensor([box]), "labels": torch.tensor([7])}
    metric.update([truth | {"scores": torch.tensor([0.5])}], [truth])
    found = metric.compute()
    assert found["map"] == found["map_small"] == 1 and found["olrp"] == 0 and found["map_large"] == -1
    assert found["classes"].tolist() == [7] and found["map_per_class"] == -1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"scores": None}, "an image of preds lacks scores"),
        ({"scores": torch.tensor([0.5, 0.5])}, "one for each box, got boxes"),
        ({"scores": torch.tensor([math.nan])}, "must have finite values"),
    ],
)
def test_what_does_not_fit_is_named(change, message):
    """A missing key, another length, and a value that is none."""
    truth = {"boxes": torch.tensor([[10.0, 10, 30, 20]]), "labels": torch.tensor([7])}
    preds = {key: value for key, value in (truth | change).items() if value is not None}
    with pytest.raises(ValueError, match=message):
        DetectionMetric().update([preds], [truth])
    with pytest.raises(ValueError, match="as many images, got 0 and 1"):
        DetectionMetric().update([], [truth])


def one_of_two(rank, folder):
    """Each process has every second image."""
    distributed.init_process_group("gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=2)
    images = list(of_images(*random_set(3, images=10)))
    metric = DetectionMetric("xywh")
    metric.update(*(list(x) for x in zip(*images[rank::2], strict=True)))
    torch.save(metric.compute(), f"{folder}/{rank}.pt")
    distributed.destroy_process_group()


def test_two_processes_have_the_metrics_of_all_images(tmp_path):
    """Those of one process that sees them in the order of the processes, which is the order among equal scores."""
    in_processes(one_of_two, 2, tmp_path)
    metric, images = DetectionMetric("xywh"), list(of_images(*random_set(3, images=10)))
    metric.update(*(list(x) for x in zip(*images[::2], *images[1::2], strict=True)))
    expected = metric.compute()
    for rank in range(2):
        found = torch.load(tmp_path / f"{rank}.pt")
        assert found.keys() == expected.keys()
        assert all(torch.equal(found[name], value) for name, value in expected.items())


def test_without_its_packages_the_evaluation_says_what_to_install():
    """The message names the package and the extra."""
    code = "import sys; sys.modules['hotcoco'] = None\nfrom alrp_ref.evaluation import evaluate"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "hotcoco" in run.stderr.splitlines()[-1]
    assert run.stderr.endswith("the evaluation needs more packages: pip install 'alrp-ref[detection]'\n")
