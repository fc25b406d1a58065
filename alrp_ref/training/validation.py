"""Evaluation of a detector on the images of a split, and the files that it writes."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch

from alrp_ref.data import CocoDataset
from alrp_ref.detection.detector import Detector
from alrp_ref.evaluation import Metrics, detect, evaluate
from alrp_ref.machine.files import load_json, refuse_input, write_atomic


def validate(
    model: Detector, data: CocoDataset, out: Path | None, device: torch.device, workers: int | None = None
) -> Metrics:
    """Evaluate a detector on a split; with `out`, write `detections.json` and `metrics.json` there.

    Args: `data`, made with ``keep_empty=True``, so that what is found on images without objects counts, too; `workers`,
        as for `detect`.
    """
    return validate_and_keep(model, data, out, device, workers)[0]


def validate_and_keep(
    model: Detector, data: CocoDataset, out: Path | None, device: torch.device, workers: int | None
) -> tuple[Metrics, list[dict[str, Any]]]:
    """As `validate`; returns the detections, too."""
    detections = detect(model.eval(), data, device, workers=workers)
    metrics = evaluate(data.truth or data.annotation_file, detections)
    if out is not None:
        write_evaluation(out, detections, metrics)
    return metrics, detections


def write_evaluation(out: Path, detections: list[dict[str, Any]], metrics: Metrics) -> None:
    """Write `detections.json` and `metrics.json`."""
    for name, content in (("detections", detections), ("metrics", metrics.to_dict())):
        write_atomic(out / f"{name}.json", json.dumps(content))


def read_result(path: Path) -> Any:
    """Read a JSON file of a run. Raises: DataError, naming the file and the command that writes it."""
    written = "`alrp train` and `alrp eval --out` write it"
    return load_json(path, if_missing=written, if_broken="evaluate again")


def check_out(out: Path, data: CocoDataset, inputs: Iterable[Path]) -> None:
    """Raise ValueError if an evaluation, its report included, would write over what it reads.

    Args: `out`, the folder that is written to; `inputs`, the files that are read beside those of `data`.
    """
    read = [data.annotation_file, *inputs]
    for name in ("detections.json", "metrics.json", "official.pt", "report.html"):
        refuse_input(out / name, read)
    if out.is_dir() and out.samefile(data.root):
        raise ValueError(f"--out {out} is the folder of the images: give another folder for the results")
