"""The report of a run."""

import json
import math
import re

import numpy as np
import pytest
import torch
from PIL import Image

from alrp_ref.data import CocoDataset
from alrp_ref.detection.draw_boxes import draw_boxes
from alrp_ref.evaluation import evaluate, true_positives
from alrp_ref.machine.files import DataError
from alrp_ref.reports import write_report
from alrp_ref.reports.curves import block_means, correlation, running_mean
from alrp_ref.training import TrainOptions, train


@pytest.fixture(scope="module")
def truth(shapes):
    """The boxes of val2017, as detections that score 0.9."""
    data = CocoDataset(shapes, "val2017", keep_empty=True)
    annotations = json.loads(data.annotation_file.read_text())["annotations"]
    return data, [{k: a[k] for k in ("image_id", "category_id", "bbox")} | {"score": 0.9} for a in annotations]


def test_each_box_is_found_once(truth):
    """Of two equal detections of a box one is a true positive, at IoU 1."""
    data, detections = truth
    scores, ious = true_positives(data, detections + [d | {"score": 0.5} for d in detections])
    assert len(scores) == len(detections) and (scores == 0.9).all()
    assert ious == pytest.approx(np.ones(len(detections)), abs=1e-6)


def test_a_report_of_perfect_detections(shapes, recipe, truth, tmp_path):
    """The page stands alone, and shows the recipe, AP 1 and every picture."""
    train(recipe, shapes, tmp_path, TrainOptions(steps=1, workers=0, device="cpu"), log=lambda text: None)
    data, detections = truth
    (tmp_path / "detections.json").write_text(json.dumps(detections))
    (tmp_path / "metrics.json").write_text(json.dumps(evaluate(data.annotation_file, detections).to_dict()))
    page = write_report(tmp_path, shapes)
    text = page.read_text()
    assert recipe.name in text and re.search(r"<td>AP *</td><td>1.000 *</td>", text)
    assert text.count("data:image/png;base64,") == 4 and "http" not in text
    for name in ("losses", "precision_recall", "score_against_iou", "examples"):
        with Image.open(tmp_path / f"{name}.png") as picture:
            assert picture.width > 300


def test_a_report_without_an_evaluation_says_what_is_missing(shapes, recipe, tmp_path):
    """The error names the file."""
    train(recipe, shapes, tmp_path, TrainOptions(steps=1, workers=0, device="cpu"), log=lambda text: None)
    (tmp_path / "detections.json").unlink()
    with pytest.raises(DataError, match=r"detections\.json is missing"):
        write_report(tmp_path, shapes)


def test_a_running_mean_is_the_mean_of_the_last_values():
    """Each value is the mean of the last `window`; at the beginning, of those there are."""
    assert running_mean(np.array([3.0, 1.0]), 1).tolist() == [3.0, 1.0]
    assert running_mean(np.arange(100.0), 2)[[0, 1, 99]].tolist() == [0.0, 0.5, 98.5]


def test_block_means_leave_out_what_is_not_finite():
    """Blocks of two; NaN does not count; a block without a finite value is NaN; the rest at the end is left out."""
    values = np.array([1.0, 3.0, np.nan, 5.0, np.nan, np.inf, 7.0])
    assert np.array_equal(block_means(values, 2), [2.0, 5.0, np.nan], equal_nan=True)


def test_correlation_is_undefined_without_variation():
    """It is 1 on a rising line, and NaN for a constant or a single point."""
    x = np.arange(5.0)
    assert correlation(x, 2 * x) == pytest.approx(1.0)
    assert math.isnan(correlation(x, np.ones(5))) and math.isnan(correlation(x[:1], x[:1]))


def test_drawing_leaves_the_picture_itself_alone():
    """A box changes pixels of the copy only; without boxes the copy is equal."""
    image = Image.new("RGB", (60, 40))
    box = torch.tensor([[5.0, 5.0, 50.0, 30.0]])
    found = {"boxes": box, "labels": torch.tensor([0]), "scores": torch.tensor([0.5])}
    assert np.asarray(draw_boxes(image, found, ["dog"])).any() and not np.asarray(image).any()
    nothing = {key: value[:0] for key, value in found.items()}
    assert not np.asarray(draw_boxes(image, nothing, ["dog"])).any()
