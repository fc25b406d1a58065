"""A released `.pth` file, as a user has it, evaluated by one command."""

import json
import pickle

import pytest
import torch
from detection import official

from alrp_ref import cli
from alrp_ref.detection import build_detector, load_model, load_official_checkpoint

RECIPE = "alrp_retinanet_r50_atss_500"


class Explosive:
    """What an unpickler that trusts its file would run."""

    def __reduce__(self):
        return print, ("the file ran its own code",)


@pytest.fixture(scope="module")
def state() -> dict[str, torch.Tensor]:
    """The tensors of a released model, but for 5 classes, those of the shapes set."""
    shapes = official.expected(RECIPE)["shapes"]
    shapes |= {name: [2 * 5, *shapes[name][1:]] for name in shapes if "retina_cls" in name}
    return {name: value.float() for name, value in official.state_dict(shapes).items()}


def evaluate(file, shapes, *more: str) -> int:
    return cli.main(["eval", "--official-checkpoint", str(file), "--coco", str(shapes), "--device", "cpu", *more])


def test_a_released_file_is_evaluated_and_kept_in_our_format(state, shapes, tmp_path, capsys):
    """In the file format of torch 1.4, with meta and optimiser entries; what is kept detects the same."""
    file, out = tmp_path / "released.pth", tmp_path / "out"
    content = {"meta": {"epoch": 100}, "state_dict": state, "optimizer": {"state": {}, "param_groups": []}}
    torch.save(content, file, _use_new_zipfile_serialization=False)
    assert evaluate(file, shapes, "--recipe", RECIPE, "--out", str(out)) == 0
    assert "official.pt" in capsys.readouterr().out
    assert 0 <= json.loads((out / "metrics.json").read_text())["AP"] < 0.5
    assert (out / "report.html").is_file()
    wanted = build_detector(RECIPE, num_classes=5)
    load_official_checkpoint(wanted, state)
    kept, _ = load_model(out / "official.pt")
    assert kept.class_names == ["circle", "ring", "square", "star", "triangle"]
    image = torch.randn(1, 3, 64, 64)
    (one,), (other,) = wanted.eval()(image), kept(image)
    assert len(one["boxes"]) > 0 and all(one[key].equal(other[key]) for key in one)


def test_what_is_missing_or_left_over_is_listed(state, shapes, tmp_path, capsys):
    """By the name it has in the file, or the one it has here; nothing is evaluated."""
    left = {name: value for name, value in state.items() if name != "neck.fpn_convs.1.conv.bias"}
    torch.save({"state_dict": left | {"mask_head.conv.bias": torch.zeros(1)}}, tmp_path / "other.pth")
    assert evaluate(tmp_path / "other.pth", shapes, "--recipe", RECIPE) == 2
    error = capsys.readouterr().err
    assert "unknown: mask_head.conv.bias" in error and "missing: fpn.layer_blocks.1.0.bias" in error


def test_a_file_cannot_run_code(shapes, tmp_path, capsys):
    """A pickle that would, is refused by its name, and nothing of it runs."""
    file = tmp_path / "trap.pth"
    torch.save({"state_dict": Explosive()}, file)
    with open(tmp_path / "old.pth", "wb") as old:
        pickle.dump({"state_dict": Explosive()}, old, protocol=2)
    for name in ("trap.pth", "old.pth"):
        assert evaluate(tmp_path / name, shapes, "--recipe", RECIPE) == 2
        captured = capsys.readouterr()
        assert name in captured.err and "Traceback" not in captured.err
        assert "ran its own code" not in captured.out


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--official-checkpoint", "a.pth"], "--official-checkpoint needs --recipe"),
        (["--checkpoint", "checkpoint.pt", "--recipe", RECIPE], "knows its own"),
        (["--official-checkpoint", "a.pth", "--recipe", RECIPE], "a.pth is missing: give a .pth file of the release"),
        (["--official-checkpoint", "a.pth", "--recipe", "r50"], "unknown recipe"),
    ],
)
def test_arguments_that_do_not_belong_together(arguments, message, shapes, tmp_path, monkeypatch, capsys):
    """The message says which to give."""
    monkeypatch.chdir(tmp_path)
    assert cli.main(["eval", *arguments, "--coco", str(shapes)]) == 2
    assert message in capsys.readouterr().err
