"""The report of a run: one page with its curves, its numbers and examples of what it detects."""

import base64
import html
import io
import json
import math
import os
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from hotcoco import COCO, COCOeval
from matplotlib.figure import Figure
from torchvision.ops import box_convert, box_iou

from alrp_ref.coco import CocoDataset, DataError
from alrp_ref.training import curves
from alrp_ref.training.checkpoint import load_checkpoint
from alrp_ref.training.log import read_metrics
from alrp_ref.training.pictures import draw_boxes

EXAMPLES = 8
MATCH_IOU = 0.5
METRICS = ("AP", "AP50", "AP75", "AP90", "oLRP", "oLRP_loc", "oLRP_fp", "oLRP_fn")

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #222; }
h1, h2 { font-weight: 600; } h2 { margin-top: 2.5rem; border-bottom: 1px solid #ddd; }
table { border-collapse: collapse; } td, th { padding: .2rem 1rem .2rem 0; text-align: left; vertical-align: top; }
td { font-variant-numeric: tabular-nums; } img { max-width: 100%; } p { max-width: 44rem; }
"""


def write_report(run: str | os.PathLike, coco: str | os.PathLike, checkpoint: str | os.PathLike | None = None) -> Path:
    """Write `report.html`, and its pictures as PNG files beside it.

    Args:
        run: folder with `detections.json` and `metrics.json` (and `metrics.csv`, if training left one).
        coco: the data set that was evaluated, for its val2017.
        checkpoint: of the detector; default: `checkpoint.pt` in `run`.

    Returns: the path of the page, which needs no other file.
    Raises: DataError for a file that is missing or broken.
    """
    run = Path(run)
    settings = load_checkpoint(checkpoint or run / "checkpoint.pt")
    detections, metrics = (_read_json(run / name) for name in ("detections.json", "metrics.json"))
    data, rows = CocoDataset(coco, "val2017", keep_empty=True), read_metrics(run / "metrics.csv")
    figures = {}
    if rows:
        figures["losses"] = curves.loss_curves(rows)
    figures["precision_recall"] = curves.precision_recall(_precision(data, detections))
    figures["score_against_iou"] = curves.score_against_iou(*true_positives(data, detections))
    figures["examples"] = curves.side_by_side(_examples(data, detections, metrics["lrp_thresholds"]))
    images = {name: _picture(run / f"{name}.png", figure) for name, figure in figures.items()}
    page = run / "report.html"
    page.write_text(_page(settings, metrics, rows, images), encoding="utf-8")
    return page


def true_positives(data: CocoDataset, detections: list[dict[str, Any]]) -> tuple[np.ndarray, np.ndarray]:
    """Scores and IoUs of the detections that find a box: image by image and class by class, the best score first,
    each takes the box it overlaps most of those still free, from IoU 0.5 on."""
    pairs = []
    for image_id, found in _by_image(detections).items():
        target = data._load_target(image_id)
        for label, category in enumerate(data.category_ids):
            truth = target["boxes"][target["labels"] == label]
            mine = [d for d in found if d["category_id"] == category]
            if len(truth) and mine:
                iou = box_iou(_xyxy(mine), torch.as_tensor(truth, dtype=torch.float64)).numpy()
                for row, detection in zip(iou, mine, strict=True):
                    box = row.argmax()
                    if row[box] >= MATCH_IOU:
                        pairs.append((detection["score"], row[box]))
                        iou[:, box] = -1.0  # taken
    scores, ious = np.array(pairs, dtype=np.float64).reshape(-1, 2).T
    return scores, ious


def rank_correlation(data: CocoDataset, detections: list[dict[str, Any]]) -> float:
    """Spearman's correlation of score and IoU over the true positives of a class, mean over the classes that have one.

    The paper's rho; how it treats ties and classes is not known: here equal scores rank in the order of `detections`.
    """
    of_class = []
    for category in data.category_ids:
        scores, ious = true_positives(data, [d for d in detections if d["category_id"] == category])
        of_class.append(curves.correlation(*(x.argsort(kind="stable").argsort() for x in (scores, ious))))
    known = [rho for rho in of_class if not math.isnan(rho)]
    return sum(known) / len(known) if known else math.nan


def _by_image(detections: list[dict[str, Any]]) -> dict[int, list[dict[str, Any]]]:
    """Detections of each image, best first."""
    found = defaultdict(list)
    for detection in sorted(detections, key=lambda d: -d["score"]):
        found[detection["image_id"]].append(detection)
    return found


def _xyxy(detections: list[dict[str, Any]]) -> torch.Tensor:
    boxes = torch.tensor([d["bbox"] for d in detections], dtype=torch.float64).reshape(-1, 4)
    return box_convert(boxes, "xywh", "xyxy")


def _precision(data: CocoDataset, detections: list[dict[str, Any]]) -> np.ndarray:
    """COCO's precision (IoU, recall, class), for all areas and 100 detections an image."""
    truth = COCO(str(data.annotation_file))
    evaluator = COCOeval(truth, truth.load_res(detections), "bbox")
    evaluator.evaluate()
    evaluator.accumulate()
    return np.asarray(evaluator.eval["precision"])[..., 0, 2]


def _examples(data: CocoDataset, detections: list[dict[str, Any]], thresholds: dict[str, float | None]) -> list:
    """The first images that hold objects: truth, and detections above the LRP-optimal threshold of their class."""
    found, pairs = _by_image(detections), []
    label_of = {category: label for label, category in enumerate(data.category_ids)}
    least = [thresholds.get(name) for name in data.class_names]
    for image_id in data.ids:
        truth = data._load_target(image_id)
        if not len(truth["boxes"]):
            continue
        image = data.read_image(image_id)
        kept = [d for d in found[image_id] if (t := least[label_of[d["category_id"]]]) is not None and d["score"] >= t]
        drawn = {
            "boxes": _xyxy(kept),
            "labels": torch.tensor([label_of[d["category_id"]] for d in kept]),
            "scores": torch.tensor([d["score"] for d in kept]),
        }
        pairs.append((draw_boxes(image, truth, data.class_names), draw_boxes(image, drawn, data.class_names)))
        if len(pairs) == EXAMPLES:
            break
    return pairs


def _picture(path: Path, figure: Figure) -> str:
    """Save a figure, and return it as the source of an <img>."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    path.write_bytes(buffer.getvalue())
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def _page(settings: Mapping[str, Any], metrics: Mapping[str, Any], rows: list[dict], images: dict[str, str]) -> str:
    recipe = settings["recipe"]
    sections = [_section("Result on val2017", _table({name: _number(metrics[name]) for name in METRICS}))]
    if rows:
        speed = np.median([row["images_per_s"] for row in rows])
        text = f"<p>{len(rows)} steps, {speed:.1f} images/s. "
        if recipe["loss"] == "alrp":
            text += (
                "The total may rise at first: that is the self-balance at work, whose weight is renewed every epoch. "
                "Watch the two parts."
            )
        sections.append(_section("Losses", text + "</p>" + _image(images, "losses")))
    sections += [
        _section("Precision and recall", _image(images, "precision_recall")),
        _section("Score against IoU", _image(images, "score_against_iou")),
        _section(
            "Examples",
            "<p>Detections above the score at which the LRP error of their class is least.</p>"
            + _image(images, "examples"),
        ),
        _section("Recipe", _table({name: str(value) for name, value in recipe.items()})),
    ]
    title = html.escape(recipe["name"])
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f"<style>{STYLE}</style></head>\n<body><h1>{title}</h1>\n" + "\n".join(sections) + "\n</body></html>\n"
    )


def _section(title: str, body: str) -> str:
    return f"<h2>{title}</h2>\n{body}"


def _image(images: dict[str, str], name: str) -> str:
    return f'<img src="{images[name]}" alt="{name.replace("_", " ")}">'


def _table(values: Mapping[str, str]) -> str:
    rows = (f"<tr><th>{html.escape(name)}</th><td>{html.escape(value)}</td></tr>" for name, value in values.items())
    return f"<table>{''.join(rows)}</table>"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError(f"{path} is missing; `alrp train` and `alrp eval --out` write it") from None
    except ValueError as error:
        raise DataError(f"{path} is not JSON ({error}); evaluate again") from error
