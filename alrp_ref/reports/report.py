"""The report of a run: one page with its metrics, curves and example detections."""

import os
from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from PIL import Image

from alrp_ref.data import CocoDataset, Layout, ReadAs
from alrp_ref.detection import Recipe
from alrp_ref.detection.draw_boxes import draw_boxes
from alrp_ref.detection.recipes import from_data, settings
from alrp_ref.detection.saved_model import load_checkpoint
from alrp_ref.evaluation import precision_curves, true_positives
from alrp_ref.evaluation.score_iou import by_image, xyxy
from alrp_ref.machine.files import write_atomic
from alrp_ref.reports import curves
from alrp_ref.reports.page import page, paragraph, picture, section, table
from alrp_ref.training.log import read_metrics
from alrp_ref.training.validation import read_result

EXAMPLES = 8
SHOWN = ("AP", "AP50", "AP75", "AP90", "oLRP", "oLRP_loc", "oLRP_fp", "oLRP_fn")


def write_report(
    run: str | os.PathLike, coco: str | os.PathLike | Layout, checkpoint: str | os.PathLike | None = None
) -> Path:
    """Write `report.html` and its pictures as PNG files.

    Args:
        run: folder with `detections.json` and `metrics.json`, and `metrics.csv` if there is a training log.
        coco: the data set of the evaluation, with val2017.
        checkpoint: checkpoint of the detector; default: `checkpoint.pt` in `run`.

    Returns: the path of the page, which is self-contained.
    Raises: DataError for a file that is missing or broken.
    """
    run = Path(run)
    content = load_checkpoint(checkpoint or run / "checkpoint.pt")
    recipe = from_data(content["recipe"])
    detections, metrics = (read_result(run / name) for name in ("detections.json", "metrics.json"))
    read_as = ReadAs(content["class_names"], recipe.grey_range)
    data, rows = CocoDataset(coco, "val2017", keep_empty=True, read_as=read_as), read_metrics(run / "metrics.csv")

    shown_settings = settings(recipe)
    if content["criterion"] is not None:
        shown_settings["criterion, not the recipe's loss"] = content["criterion"]

    def shown(name: str, figure: Figure) -> str:
        return picture(run / f"{name}.png", figure)

    result = [(name, _number(metrics[name])) for name in SHOWN]
    if (run / "best.pt").is_file() and (best := load_checkpoint(run / "best.pt").get("best")):
        result.append((f"best.pt, after {best['step']} steps", f"{best['metric']} {_number(best['value'])}"))
    sections = [section("Result on val2017", table(result))]
    if rows:
        sections.append(section("Losses", paragraph(_losses(recipe, rows)), shown("losses", curves.loss_curves(rows))))
    precision = {recipe.name: precision_curves(data.annotation_file, detections)}
    sections += [
        section("Precision and recall", shown("precision_recall", curves.precision_recall(precision))),
        section(
            "Score against IoU", shown("score_against_iou", curves.score_against_iou(*true_positives(data, detections)))
        ),
        section(
            "Examples",
            paragraph("Detections above the LRP-optimal score threshold of their class."),
            shown("examples", _examples(data, detections, metrics["lrp_thresholds"])),
        ),
        section("Recipe", table([(name, str(value)) for name, value in shown_settings.items()])),
    ]
    path = run / "report.html"
    write_atomic(path, page(recipe.name, sections))
    return path


def _losses(recipe: Recipe, rows: list[dict[str, float]]) -> str:
    text = f"{len(rows)} steps, {np.median([row['images_per_s'] for row in rows]):.1f} images/s."
    return f"{text} {recipe.loss.note}".strip()


def _examples(data: CocoDataset, detections: list[dict[str, Any]], thresholds: Mapping[str, float | None]) -> Figure:
    """Pairs of ground truth and detections, two pairs in a row."""
    images = with_objects(data, EXAMPLES)
    found = by_image(detections)
    drawn = [one for i in images for one in (draw_truth(data, i), draw_found(data, i, found[i], thresholds))]
    names = ("ground truth", "detected") * min(2, len(images))
    return curves.picture_grid([drawn[k : k + 4] for k in range(0, len(drawn), 4)], names)


def with_objects(data: CocoDataset, number: int) -> list[int]:
    """The ids of the first images with objects."""
    return list(islice((i for i in data.ids if len(data.target(i)["boxes"])), number))


def draw_truth(data: CocoDataset, image_id: int) -> Image.Image:
    """An image with its ground-truth boxes."""
    return draw_boxes(data.read_image(image_id), data.target(image_id), data.class_names)


def above_thresholds(
    data: CocoDataset, found: list[dict[str, Any]], thresholds: Mapping[str, float | None]
) -> dict[str, torch.Tensor]:
    """The detections above the score threshold of their class: {"boxes" (n, 4), "labels" (n,), "scores" (n,)}.

    Args: `found`, detections of one image in COCO's format; `thresholds` by the name of the class, None for no box.
    """
    label_of = {category: label for label, category in enumerate(data.category_ids)}
    least = [thresholds.get(name) for name in data.class_names]
    kept = [d for d in found if (t := least[label_of[d["category_id"]]]) is not None and d["score"] >= t]
    return {
        "boxes": xyxy(kept),
        "labels": torch.tensor([label_of[d["category_id"]] for d in kept]),
        "scores": torch.tensor([d["score"] for d in kept]),
    }


def draw_found(
    data: CocoDataset, image_id: int, found: list[dict[str, Any]], thresholds: Mapping[str, float | None]
) -> Image.Image:
    """An image with the detections above the LRP-optimal score threshold of their class."""
    return draw_boxes(data.read_image(image_id), above_thresholds(data, found, thresholds), data.class_names)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
