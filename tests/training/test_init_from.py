"""A run begins from a detector's weights: what fits is loaded, what does not is listed."""

from dataclasses import replace

import pytest
import torch
from detection import official
from torch.testing import assert_close

from alrp_ref import cli
from alrp_ref.detection import build_detector, load_official_checkpoint, save_model
from alrp_ref.detection.initial_weights import load_initial_weights
from alrp_ref.machine.files import DataError
from alrp_ref.training import TrainOptions, train

CLASSES = ["circle", "ring", "square", "star", "triangle"]
CLASS_LAYER = ["head.cls_logits.weight", "head.cls_logits.bias"]


@pytest.fixture
def donor(recipe):
    """A detector of the shapes' five classes."""
    torch.manual_seed(1)
    model = build_detector(recipe, num_classes=5)
    model.class_names = CLASSES
    return model


def weights(model) -> dict[str, torch.Tensor]:
    """Without the self-balance, which belongs to the training."""
    return {name: value.clone() for name, value in model.state_dict().items() if "criterion." not in name}


@pytest.mark.parametrize(
    "classes, is_same",
    [(CLASSES, True), (CLASSES[::-1], False), (["dog", *CLASSES[1:]], False), (CLASSES[:2], False)],
    ids=["the same", "in another order", "one is another", "fewer"],
)
def test_what_fits_is_loaded_and_what_does_not_is_listed(donor, recipe, tmp_path, classes, is_same):
    """Other classes leave the layer that has an output for each class as it was; every other tensor is the donor's."""
    save_model(tmp_path / "donor.pt", donor, list(range(5)))
    model = build_detector(recipe, num_classes=len(classes))
    before = weights(model)
    said = load_initial_weights(model, tmp_path / "donor.pt", classes)
    wanted = weights(donor) | ({} if is_same else {name: before[name] for name in CLASS_LAYER})
    assert_close(weights(model), wanted, rtol=0, atol=0)
    assert f"{len(wanted) - 2 * (not is_same)} of {len(wanted)} tensors" in said
    assert (f"not loaded, since the classes are others: {', '.join(CLASS_LAYER)}" in said) is not is_same


def test_a_recipe_with_other_parts_lists_them(donor, recipe, tmp_path):
    """By their names and the reason; what only the file has is listed, too."""
    torch.save({"model": donor.state_dict() | {"mask.weight": torch.ones(1)}}, tmp_path / "donor.pt")
    model = build_detector(replace(recipe, head_channels=8), num_classes=5)
    said = load_initial_weights(model, tmp_path / "donor.pt", CLASSES)
    assert "not loaded, of another shape: head.cls_tower.1.weight, " in said
    assert "not loaded, unknown here: mask.weight" in said
    assert_close(model.fpn.state_dict(), donor.fpn.state_dict(), rtol=0, atol=0)


def test_a_model_of_the_release_is_a_beginning(tmp_path):
    """For other classes, too: its names are translated, with the prefix of many GPUs or without."""
    name = "alrp_retinanet_r50_atss_500"
    state = {key: value.float() for key, value in official.state_dict(official.expected(name)["shapes"]).items()}
    content = {"meta": {"CLASSES": ("person", "bicycle")}, "state_dict": {"module." + k: v for k, v in state.items()}}
    torch.save(content, tmp_path / "released.pth", _use_new_zipfile_serialization=False)
    model, reference = build_detector(name, num_classes=3), build_detector(name, num_classes=80)
    said = load_initial_weights(model, tmp_path / "released.pth", ["a", "b", "c"])
    load_official_checkpoint(reference, state)
    wanted = weights(reference) | {key: weights(model)[key] for key in CLASS_LAYER}
    assert_close(weights(model), wanted, rtol=0, atol=0)
    assert said.count("not loaded") == 1 and f"since the classes are others: {', '.join(CLASS_LAYER)}" in said


def test_another_backbone_is_refused(donor, tmp_path):
    """Its layers would stay random, some of them for ever; the file and the names are said."""
    save_model(tmp_path / "donor.pt", donor, list(range(5)))
    model = build_detector("alrp_mobilenet_320", num_classes=5)
    before = weights(model)
    with pytest.raises(DataError, match=r"donor\.pt does not fit the recipe: .*backbone\.body\.0\.0\.weight"):
        load_initial_weights(model, tmp_path / "donor.pt", CLASSES)
    assert_close(weights(model), before, rtol=0, atol=0)


def test_a_run_begins_from_a_checkpoint_and_resumes_without_it(donor, recipe, shapes, tmp_path, monkeypatch):
    """With a learning rate of almost zero, the weights after a step are those of the file; it is read once."""
    file, messages = tmp_path / "donor.pt", []
    save_model(file, donor, list(range(5)))
    options = TrainOptions(steps=1, workers=0, device="cpu", init_from=file)
    model, _ = train(replace(recipe, lr=1e-30), shapes, tmp_path / "run", options, log=messages.append)
    parameters = dict(donor.named_parameters())
    assert_close({n: p for n, p in model.named_parameters()}, parameters, rtol=0, atol=1e-12)
    assert any(text.startswith(f"begins from {file}: ") for text in messages)
    file.unlink()
    train(replace(recipe, lr=1e-30), shapes, tmp_path / "run", options, log=messages.append)
    with pytest.raises(ValueError, match="init_from brings the weights of the backbone along"):
        replace(options, pretrained_backbone=True)


def test_the_command_begins_from_a_file_and_names_one_that_is_no_detector(shapes, tmp_path, capsys):
    """A file that is missing or another thing is named before the first step."""
    (tmp_path / "page.pth").write_text("<html>")
    for name, message in (("none.pt", "none.pt is missing: give a checkpoint.pt"), ("page.pth", "is a web page")):
        arguments = ["--init-from", str(tmp_path / name), "--out", str(tmp_path / "run"), "--workers", "0"]
        assert cli.main(["train", "--recipe", "alrp_tiny", "--coco", str(shapes), "--batch-size", "2", *arguments]) == 2
        assert message in capsys.readouterr().err
    with pytest.raises(SystemExit):
        cli.main(["train", "--recipe", "alrp_tiny", "--coco", ".", "--init-from", "x", "--backbone-weights", "y"])
