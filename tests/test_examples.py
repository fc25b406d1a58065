"""The examples run as their docstrings say; what they put into a detector is aLRP Loss, and it trains all of it."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torchvision_retinanet
from shapes import SIZE

EXAMPLES = Path(__file__).parents[1] / "examples"


@pytest.mark.parametrize(
    "command, package",
    [
        ("torchvision_retinanet.py", "torchvision"),
        pytest.param("torchvision_retinanet.py --model fcos", "torchvision", marks=pytest.mark.slow),
        ("ultralytics_yolo.py", "ultralytics"),
        ("transformers_rt_detr.py", "transformers"),
        ("lightning_retinanet.py", "lightning"),
    ],
)
def test_an_example_trains_and_prints_its_ap(command, package, tmp_path):
    """Each example, run by itself, prints the AP before its first and after its last step."""
    file, *options = command.split()
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"needs {package}: pip install '.[examples]'")
    options += ["--steps", "2", "--images", "16", "--val-images", "4", "--data", str(tmp_path / "shapes")]
    # Ultralytics writes its settings at its first import, and asks whether there is a newer version.
    env = os.environ | {"YOLO_CONFIG_DIR": str(tmp_path), "YOLO_OFFLINE": "true"}
    run = subprocess.run(
        [sys.executable, EXAMPLES / file, *options], capture_output=True, text=True, timeout=300, env=env, cwd=tmp_path
    )
    assert run.returncode == 0, run.stderr
    assert "step 0: AP 0." in run.stdout and "step 2: AP 0." in run.stdout, run.stdout


def two_images() -> tuple[list[torch.Tensor], list[dict[str, torch.Tensor]]]:
    images = list(torch.rand(2, 3, SIZE, SIZE))
    return images, [
        {"boxes": torch.tensor([[10.0, 10, 40, 40], [50, 30, 90, 80]]), "labels": torch.tensor([0, 1])},
        {"boxes": torch.tensor([[20.0, 50, 60, 90]]), "labels": torch.tensor([2])},
    ]


def alrp_model(name: str, period: int | None = None) -> torchvision_retinanet.RetinaNet:
    model = torchvision_retinanet.small_model(name, num_classes=3)
    torchvision_retinanet.use_alrp(model, period)
    return model


@pytest.mark.parametrize("name, lr", [("retinanet", 0.05), ("fcos", 0.01)])
def test_torchvisions_detectors_learn_two_images(name, lr):
    """All parts of the detector get a gradient at first, and 30 steps lower the ranking loss and the boxes' errors."""
    model, errors, losses = alrp_model(name), [], []
    model.head.criterion.register_forward_pre_hook(lambda _, args: errors.append(args[2].mean().item()))
    parameters = {n: p for n, p in model.named_parameters() if p.requires_grad}
    optimiser = torch.optim.SGD(parameters.values(), lr=lr, momentum=0.9)
    images, targets = two_images()
    for _ in range(30):
        optimiser.zero_grad()
        sum(model(images, targets).values()).backward()
        assert losses or not [n for n, p in parameters.items() if not p.grad.any()]
        torch.nn.utils.clip_grad_norm_(parameters.values(), 4.0)
        optimiser.step()
        losses.append(model.head.out.cls.item())
    assert losses[-1] < 0.8 * losses[0]
    assert min(errors) < 0.95 * errors[0]


def test_the_list_of_torchvisions_head_by_hand():
    """Targets and errors of three anchors in an image with two objects, and of three in an image without any."""
    model, lists = alrp_model("retinanet"), []
    model.head.criterion.register_forward_pre_hook(lambda _, args: lists.append(args))
    objects = torch.tensor([[0.0, 0, 10, 10], [10, 0, 20, 10]])
    anchors = torch.cat([objects, objects[:1] + 100])
    targets = [
        {"boxes": objects, "labels": torch.tensor([0, 2])},
        {"boxes": objects[:0], "labels": torch.zeros(0).long()},
    ]
    outputs = {"cls_logits": torch.randn(2, 3, 3), "bbox_regression": torch.zeros(2, 3, 4)}  # the boxes are the anchors
    matched = [torch.tensor([1, 1, -1]), torch.tensor([-1, -2, -1])]
    model.head.compute_loss(targets, outputs, [anchors, anchors], matched)
    positive, negative, ignored = [0, 0, 1], [0] * 3, [-1] * 3
    logits, found, errors = lists[0]
    assert torch.equal(logits, outputs["cls_logits"].flatten())
    assert found.tolist() == [*positive, *positive, *negative, *negative, *ignored, *negative]
    assert errors.tolist() == [1.0, 0.0]  # of two boxes side by side, and of two equal ones


def test_fcos_keeps_the_order_of_its_class_scores():
    """The centre-ness is 1 for every point, before and after training, so that it multiplies all scores alike."""
    model = alrp_model("fcos")
    optimiser = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1, weight_decay=0.1)
    images, targets = two_images()
    for _ in range(2):
        features = list(model.backbone(torch.stack(images)).values())
        assert (model.head(features)["bbox_ctrness"].sigmoid() == 1).all()
        sum(model(images, targets).values()).backward()
        optimiser.step()


def test_the_criterion_is_a_part_of_the_detector():
    """Its weight is saved with the detector, renewed by training steps, and left alone in evaluation."""
    model, (images, targets) = alrp_model("retinanet", period=1), two_images()
    saved = alrp_model("retinanet", period=1)
    model(images, targets)
    weight = model.head.criterion.self_balance.weight.item()
    assert weight != 50
    saved.load_state_dict(model.state_dict())
    assert saved.head.criterion.self_balance.weight.item() == weight
    with torch.no_grad():
        model(images, targets)
    model.eval()(images)
    assert model.head.criterion.self_balance.weight.item() == weight
