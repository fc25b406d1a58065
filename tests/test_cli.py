"""The command line says what is wrong in one message, and answers at once."""

import subprocess
import sys

import pytest

from alrp_ref import cli


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--help"], ("train", "eval", "predict", "demo", "verify")),
        (["recipes"], ("alrp_tiny", "alrp_foveabox_r50_500")),
    ],
)
def test_help_and_recipes_wait_for_nothing(arguments, said):
    """They import neither torch and NumPy nor any other package."""
    program = (
        "import sys\nfrom alrp_ref import cli\n"
        f"try:\n    cli.main({arguments})\nexcept SystemExit:\n    pass\n"
        "print([name for name in ('torch', 'numpy', 'torchvision', 'matplotlib') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
    assert all(word in done.stdout for word in said)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "--recipe", "none", "--coco", "nowhere"], "unknown recipe"),
        (["train", "--recipe", "alrp_tiny", "--coco", "nowhere"], "nowhere"),
        (["train", "--recipe", "alrp_tiny", "--coco", "nowhere", "--set", "colour=1"], "FIELD=VALUE"),
        (["train", "--recipe", "alrp_tiny", "--coco", "nowhere", "--set", "levels=many"], "levels"),
        (["train", "--recipe", "alrp_tiny", "--coco", "nowhere", "--set", "loss=APP()"], "ALRP, AP, RankSort"),
        (["train", "--recipe", "alrp_tiny", "--coco", "nowhere", "--set", "loss.step=1"], "delta, loc_error, loc_step"),
        (["eval", "--checkpoint", "nowhere.pt", "--coco", "nowhere"], "nowhere.pt"),
        (["predict", "--checkpoint", "nowhere.pt", "."], "holds no picture file"),
        (["predict", "--checkpoint", "nowhere.pt", "picture*.jpg"], "no image at picture*.jpg"),
        (["eval", "--checkpoint", "nowhere.pt", "--coco", "nowhere", "--device", "gpu"], "device must be cpu"),
    ],
)
def test_what_cannot_be_used_ends_with_code_2_and_a_message(arguments, message, tmp_path, monkeypatch, capsys):
    """One message on stderr names it; there is no traceback."""
    monkeypatch.chdir(tmp_path)
    assert cli.main(arguments) == 2
    error = capsys.readouterr().err
    assert message in error and "Traceback" not in error


@pytest.mark.parametrize("reading", ["--workers=0", "--workers=1", "--cache"])
def test_a_broken_image_is_named_without_a_traceback(reading, tmp_path, capsys):
    """Training on a set with an image that cannot be decoded ends with code 2 and the name of the file."""
    from alrp_ref.data import make_shapes

    root = make_shapes(tmp_path / "shapes", train_images=2, val_images=1, size=64)
    for image in (root / "train2017").iterdir():
        image.write_bytes(b"not a picture")
    options = ["--steps", "1", "--batch-size", "2", reading, "--device", "cpu"]
    arguments = ["train", "--recipe", "alrp_tiny", "--coco", str(root), "--out", str(tmp_path / "run"), *options]
    assert cli.main(arguments) == 2
    error = capsys.readouterr().err
    assert "train2017" in error and "cannot be decoded" in error and "Traceback" not in error


def test_recipes_are_a_table_that_fits_the_terminal(monkeypatch, capsys):
    """Every recipe with what defines it; in 80 columns the table goes on below, in 160 it is one."""
    from alrp_ref.detection import RECIPES

    tables = {}
    for width in (80, 160):
        monkeypatch.setenv("COLUMNS", str(width))
        assert cli.main(["recipes"]) == 0
        tables[width] = capsys.readouterr().out.splitlines()
        assert max(map(len, tables[width])) <= width
    wide = [line.split() for line in tables[160]]
    assert wide[0] == ["recipe", "backbone", "assigner", "loss", "px", "batch", "lr", "epochs", "AP"]
    assert ["alrp_faster_rcnn_r50_500", *"resnet50 rpn ALRP 512 32 0.012 100 40.7".split()] in wide
    assert [row[0] for row in wide[1 : 1 + len(RECIPES)]] == list(RECIPES)
    assert [line.split()[0] for line in tables[80] if line].count("alrp_faster_rcnn_r50_500") > 1


def test_a_recipe_is_printed_field_by_field(capsys):
    """One line a field and one for each option of the loss, by the name that `--set` takes, in 80 columns."""
    name = "alrp_tiny:loss=Separate(scores=AP(), boxes=SmoothL1(), weight=3.0)"
    assert cli.main(["recipes", name]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines[1:])) <= 80 and lines[0].split(maxsplit=1) == ["name", name]
    shown = dict(line.split(maxsplit=1) for line in lines)
    assert shown["head_channels"] == "64"
    assert [shown[key] for key in ("loss", "loss.scores", "loss.scores.delta")] == ["Separate", "AP", "1.0"]
    assert [shown[key] for key in ("loss.boxes", "loss.boxes.beta", "loss.weight")] == ["SmoothL1", "1.0", "3.0"]


@pytest.mark.parametrize(
    ("name", "meant"), [("alrp_tinny", "alrp_tiny"), ("focal_mobilnet_320", "focal_mobilenet_320"), ("resnet", None)]
)
def test_a_misspelt_recipe_is_guessed(name, meant, capsys):
    """The first line says which recipe was probably meant, if one is close; all names follow, in 80 columns."""
    from alrp_ref.detection import RECIPES

    assert cli.main(["recipes", name]) == 2
    first, *lines = capsys.readouterr().err.splitlines()
    assert first == f"alrp: unknown recipe: '{name}'." + (f" Did you mean {meant}?" if meant else "")
    assert max(map(len, lines)) <= 80 and lines[0] == "The recipes are"
    assert " ".join(lines[1:]).replace(",", "").split() == list(RECIPES)


def test_every_command_has_a_file_of_its_own(capsys):
    """`alrp --help` lists each, and each has a help."""
    from pathlib import Path

    files = {path.stem for path in Path(cli.__file__).parent.joinpath("commands").glob("*.py")}
    named = {command.__name__.rpartition(".")[2] for command in cli.COMMANDS}
    assert named == files - {"__init__", "arguments", "columns", "data"} and len(named) == len(cli.COMMANDS)
    for name in named:
        with pytest.raises(SystemExit) as ended:
            cli.main(["eval" if name == "evaluate" else name.replace("_", "-"), "--help"])
        assert ended.value.code == 0 and "usage: alrp" in capsys.readouterr().out
