"""The precision of the network is an option of a training run."""

import pytest
import torch
from detection.small import SMALL

from alrp_ref import cli
from alrp_ref.detection import build_detector
from alrp_ref.detection.saved_model import load_checkpoint, save_checkpoint
from alrp_ref.machine.files import DataError
from alrp_ref.training import TrainOptions, prepare, train
from alrp_ref.training.log import read_metrics


def run(recipe, shapes, out, **options) -> list[str]:
    """Train quietly on a CPU; what was said."""
    said = []
    train(recipe, shapes, out, TrainOptions(workers=0, device="cpu", **{"steps": 2} | options), log=said.append)
    return said


def test_bfloat16_rounds_the_network_and_not_the_loss(shapes, recipe, tmp_path):
    """The start-up summary names the precision; the losses differ by the rounding, and the weights stay float32. On a
    CPU without instructions for bfloat16, which `any_processor` is, None is float32, to the last bit."""
    for precision, name in ((None, "float32"), ("float32", "float32"), ("bfloat16", "bfloat16")):
        said = run(recipe, shapes, tmp_path / str(precision), precision=precision)
        assert any(f"on 1 x cpu, in {name}" in text for text in said)
    losses = {
        name: [row["loss_cls"] for row in read_metrics(tmp_path / name / "metrics.csv")]
        for name in ("None", "float32", "bfloat16")
    }
    assert losses["None"] == losses["float32"] != losses["bfloat16"]
    assert losses["bfloat16"] == pytest.approx(losses["float32"], rel=0.02)
    model = load_checkpoint(tmp_path / "bfloat16" / "checkpoint.pt")["model"]
    assert {value.dtype for value in model.values() if value.is_floating_point()} == {torch.float32}


@pytest.mark.parametrize("native", [True, False])
def test_a_gpu_has_bfloat16_if_it_has_instructions_for_it(monkeypatch, native):
    """Not if it would emulate them."""
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: native or including_emulation)
    assert prepare.has_bfloat16(torch.device("cuda")) is native


@pytest.mark.parametrize(
    ("known", "native"),
    [
        ({"avx512_bf16": True, "amx_bf16": False}, True),
        ({"avx512_bf16": False, "amx_bf16": True}, True),
        ({"avx512_f": True, "avx512_bf16": False}, False),
        ({"architecture": "aarch64", "bf16": True}, False),
        (None, False),
    ],
)
def test_a_processor_has_bfloat16_if_it_has_instructions_for_it(monkeypatch, known, native):
    """By what PyTorch says; None stands for a PyTorch that does not say."""
    if known is None:
        monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    else:
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: known, raising=False)
    assert prepare.has_bfloat16(torch.device("cpu")) is native


def test_a_run_on_a_processor_with_bfloat16_is_in_it_and_says_so(shapes, recipe, tmp_path, monkeypatch):
    """Its losses are those of `precision="bfloat16"`, and its first line names the other precision."""
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": True}, raising=False)
    said = {str(p): "\n".join(run(recipe, shapes, tmp_path / str(p), precision=p)) for p in (None, "bfloat16")}
    assert "in bfloat16, for which this cpu has instructions; --precision float32" in said["None"]
    assert "--precision" not in said["bfloat16"]
    rows = [[row["loss_cls"] for row in read_metrics(tmp_path / name / "metrics.csv")] for name in said]
    assert rows[0] == rows[1]


def test_the_fused_step_of_a_gpu_is_the_step_within_rounding():
    """Five steps of the optimiser, with momentum and weight decay, end within 1e-6 of those of a CPU's, whose steps are
    not fused."""
    models = [build_detector(SMALL["alrp_tiny"], num_classes=3) for _ in range(2)]
    models[1].load_state_dict(models[0].state_dict())
    optimisers = [prepare.make_optimiser(m, 0.1, torch.device(d)) for m, d in zip(models, ("cpu", "cuda"), strict=True)]
    assert [optimiser.defaults["fused"] for optimiser in optimisers] == [None, True]
    for _ in range(5):
        for pair in zip(*(model.parameters() for model in models), strict=True):
            pair[0].grad = torch.randn_like(pair[0])
            pair[1].grad = pair[0].grad.clone()
        for optimiser in optimisers:
            optimiser.step()
    for one, other in zip(*(model.parameters() for model in models), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-6)


def test_another_precision_is_another_run(shapes, recipe, tmp_path):
    """A run is resumed with the option it was begun with. A checkpoint of an earlier version has none, and is resumed
    with any."""
    run(recipe, shapes, tmp_path, precision="float32")
    with pytest.raises(DataError, match="precision: 'float32' there, 'bfloat16' now"):
        run(recipe, shapes, tmp_path, precision="bfloat16")
    saved = load_checkpoint(tmp_path / "checkpoint.pt")
    del saved["precision"]
    save_checkpoint(tmp_path / "checkpoint.pt", saved)
    assert any("resuming from step 2" in text for text in run(recipe, shapes, tmp_path, precision="bfloat16"))


def test_a_precision_that_there_is_not_is_refused(shapes, recipe, tmp_path, capsys):
    """From Python and from the command line, before anything is written; both list what there is."""
    with pytest.raises(ValueError, match="precision must be one of bfloat16, float32 or None, got 'half'"):
        run(recipe, shapes, tmp_path / "run", precision="half")
    assert not (tmp_path / "run").exists()
    command = ["train", "--recipe", "alrp_tiny", "--coco", str(shapes), "--precision", "half"]
    with pytest.raises(SystemExit):
        cli.main(command)
    assert "bfloat16" in capsys.readouterr().err


def test_the_command_line_takes_a_precision_and_a_loss(shapes, tmp_path, capsys):
    """`--precision` and `--set loss=...` are in the checkpoint, as they were typed; the report names the loss."""
    loss = "loss=Separate(scores=AP(), boxes=MeanGIoU(), weight=3)"
    command = ["train", "--recipe", "alrp_tiny", "--coco", str(shapes), "--out", str(tmp_path), "--steps", "1"]
    command += ["--set", loss, "--set", "train_size=64", "--batch-size", "2", "--set", "loss.scores.delta=0.5"]
    command += ["--precision", "bfloat16", "--workers", "0", "--device", "cpu", "--backbone-weights", "none"]
    assert cli.main(command) == 0
    assert "in bfloat16" in capsys.readouterr().out
    saved = load_checkpoint(tmp_path / "checkpoint.pt")
    assert saved["precision"] == "bfloat16"
    scores = {"name": "AP", "delta": 0.5, "beta": 1.0, "rank_scope": "process"}
    assert saved["recipe"]["loss"] == {"name": "Separate", "scores": scores, "boxes": {"name": "MeanGIoU"}, "weight": 3}
    page = (tmp_path / "report.html").read_text()
    assert "loss.boxes" in page and "MeanGIoU" in page and "may rise" not in page
