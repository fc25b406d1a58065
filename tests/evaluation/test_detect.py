"""Detections come back in the pixels of each image file, whatever the test size and the batch."""

import json
from types import SimpleNamespace

import pytest
import torch
from PIL import Image

from alrp_ref.data import CocoDataset
from alrp_ref.evaluation import detect, evaluate


class FindsTheImage(torch.nn.Module):
    """A detector that answers with one box: the whole of each image, without its padding."""

    def __init__(self, num_classes=3, class_names=None):
        super().__init__()
        self.recipe = SimpleNamespace(test_size=(64, 96))
        self.num_classes, self.class_names = num_classes, class_names
        self.batches = []

    def forward(self, images, image_sizes):
        assert not self.training
        self.batches.append(tuple(images.shape))
        boxes = [torch.tensor([[0.0, 0.0, w, h]]) for h, w in image_sizes]
        return [{"boxes": box, "scores": torch.tensor([0.5]), "labels": torch.tensor([1])} for box in boxes]


@pytest.fixture
def sizes(coco, content):
    """Images of several shapes: id -> (width, height)."""
    sizes = {1: (40, 30), 2: (300, 100), 3: (40, 30), 4: (33, 77), 5: (80, 60)}
    content["images"] = [{"id": i, "file_name": f"{i}.png", "width": w, "height": h} for i, (w, h) in sizes.items()]
    content["annotations"] = []
    (coco / "annotations" / "instances_val2017.json").write_text(json.dumps(content))
    for image_id, size in sizes.items():
        Image.new("RGB", size).save(coco / "val2017" / f"{image_id}.png")
    return sizes


def test_boxes_are_in_the_pixels_of_the_file(coco, sizes):
    """A box round the whole input is, for each image, one round the whole file, with COCO's category id."""
    dataset = CocoDataset(coco, "val2017", keep_empty=True)
    detections = detect(FindsTheImage(), dataset, "cpu", progress=False)
    assert {d["image_id"]: d["bbox"] for d in detections} == {
        i: pytest.approx([0, 0, w, h], abs=1e-3) for i, (w, h) in sizes.items()
    }
    assert {d["category_id"] for d in detections} == {7} and {d["score"] for d in detections} == {0.5}
    assert len(json.dumps(detections)) > 0
    assert evaluate(dataset.annotation_file, detections).keys() >= {"AP", "oLRP"}


def test_only_equally_large_inputs_share_a_batch(coco, sizes):
    """Images of one ratio are detected together, others apart, and each exactly once."""
    model = FindsTheImage()
    detect(model, CocoDataset(coco, "val2017", keep_empty=True), "cpu", progress=False)
    assert sorted(model.batches) == [(1, 3, 32, 96), (1, 3, 96, 64), (3, 3, 64, 96)]


def test_the_model_keeps_its_mode(coco):
    """A model in training mode is so again afterwards."""
    model = FindsTheImage().train()
    detect(model, CocoDataset(coco, "val2017"), "cpu", progress=False)
    assert model.training


@pytest.mark.parametrize("model", [FindsTheImage(80), FindsTheImage(3, ["dog", "cat", "emu"])])
def test_other_classes_are_refused(coco, model):
    """A model with another number of classes, or other names, is a ValueError."""
    with pytest.raises(ValueError, match="use the data set the model was trained on"):
        detect(model, CocoDataset(coco, "val2017"), "cpu", progress=False)
