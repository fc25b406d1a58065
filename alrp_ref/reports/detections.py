"""The report of detections that any program found: one page with metrics and curves."""

import json
from pathlib import Path

from alrp_ref.evaluation import Metrics, precision_curves, true_pairs
from alrp_ref.machine.files import read_json, refuse_input, write_atomic
from alrp_ref.reports import curves
from alrp_ref.reports.page import page, picture, section, table


def write_detections_report(out: Path, annotations: Path, detections: Path, metrics: Metrics) -> Path:
    """Write `metrics.json`, `report.html` and its pictures, PNG files, to the folder `out`.

    Returns: the path of the page, which is self-contained.
    Raises: ValueError if one of them is a file that is read.
    """
    path = out / "report.html"
    for target in (path, out / "metrics.json"):
        refuse_input(target, [annotations, detections])
    truth, found = read_json(annotations), read_json(detections)
    drawn = {
        "precision_recall": curves.precision_recall({detections.stem: precision_curves(truth, found)}),
        "score_against_iou": curves.score_against_iou(*true_pairs(truth, found)),
    }
    thresholds = [(name, _number(value)) for name, value in metrics.lrp_thresholds.items()]
    sections = [
        section(f"Result on {annotations.name}", table([(name, _number(value)) for name, value in metrics.items()])),
        *(section(name.replace("_", " ").capitalize(), picture(out / f"{name}.png", drawn[name])) for name in drawn),
        section("Classes and their LRP-optimal score thresholds", table(thresholds)),
    ]
    write_atomic(out / "metrics.json", json.dumps(metrics.to_dict()))
    write_atomic(path, page(detections.name, sections))
    return path


def _number(value: float) -> str:
    return "-" if value != value else f"{value:.3f}"
