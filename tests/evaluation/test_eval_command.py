"""`alrp eval --detections`: the metrics of any program's detections, in a terminal of 80 columns."""

import json

import pytest
from evaluation.test_evaluate import TOY_GT, as_detections, random_set

from alrp_ref import cli
from alrp_ref.evaluation import evaluate


@pytest.fixture
def files(tmp_path):
    """Annotations and detections, and the arguments that name them."""
    gt, detections = random_set(3)
    for name, content in (("instances", gt), ("results", detections)):
        (tmp_path / f"{name}.json").write_text(json.dumps(content))
    named = ["--detections", str(tmp_path / "results.json"), "--annotations", str(tmp_path / "instances.json")]
    return gt, detections, ["eval", *named]


def test_it_prints_the_table_and_the_classes_in_80_columns(files, capsys, monkeypatch):
    """Those of `evaluate`, and the best threshold of each class."""
    monkeypatch.setenv("COLUMNS", "80")
    gt, detections, command = files
    assert cli.main(command) == 0
    printed = capsys.readouterr().out
    metrics = evaluate(gt, detections)
    assert printed.startswith(f"{metrics}\n\nclass")
    assert max(map(len, printed.splitlines())) <= 80
    row = next(line.split() for line in printed.splitlines() if line.startswith("class 2"))
    assert row[2] == f"{metrics.per_class['class 2']['AP']:.3f}"
    assert row[-1] == f"{metrics.lrp_thresholds['class 2']:.3f}"


def test_options_and_json_reach_the_evaluation(files, tmp_path, capsys):
    """A limit, a size and a threshold; JSON alone is printed, or goes to a file."""
    gt, detections, command = files
    options = ["--max-detections", "3", "--area", "medium", "--threshold", "0.5"]
    expected = evaluate(gt, detections, max_detections=3, area="medium", threshold=0.5).to_dict()
    assert cli.main([*command, *options, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == expected
    assert cli.main([*command, *options, "--json", str(tmp_path / "found.json")]) == 0
    assert json.loads((tmp_path / "found.json").read_text()) == expected and "LRP FN" in capsys.readouterr().out


def test_a_report_has_curves_and_thresholds(files, tmp_path, capsys):
    """One page; what is read is not written over."""
    gt, detections, command = files
    assert cli.main([*command, "--out", str(tmp_path / "report")]) == 0
    page = (tmp_path / "report" / "report.html").read_text()
    assert page.count("data:image/png") == 2 and "Score against iou" in page and "class 3" in page
    assert json.loads((tmp_path / "report" / "metrics.json").read_text())["AP"] == evaluate(gt, detections)["AP"]
    before = (tmp_path / "results.json").read_text()
    assert cli.main([*command, "--json", str(tmp_path / "results.json")]) == 2
    assert (tmp_path / "results.json").read_text() == before and "which is read" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda rows: [row | {"image_id": 900} for row in rows], "detections[0] has the unknown image_id 900"),
        (lambda rows: [{"image_id": 1, "category_id": 2, "score": 1, "segmentation": {}}], "only boxes are evaluated"),
        (lambda rows: {"annotations": rows}, 'give its list "annotations"'),
    ],
)
def test_what_cannot_be_evaluated_is_named(change, said, tmp_path, capsys):
    """Code 2 and one message."""
    (tmp_path / "gt.json").write_text(json.dumps(TOY_GT))
    (tmp_path / "rows.json").write_text(json.dumps(change(as_detections(TOY_GT))))
    found = ["--detections", str(tmp_path / "rows.json")]
    assert cli.main(["eval", *found, "--annotations", str(tmp_path / "gt.json")]) == 2
    assert said in capsys.readouterr().err
    assert cli.main(["eval", *found]) == 2
    assert "give the data by --coco DIR" in capsys.readouterr().err
