"""The results of a comparison: tables, and a page that shows them."""

import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain, product
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from alrp_ref.data import CocoDataset
from alrp_ref.detection.recipes import settings
from alrp_ref.evaluation import iou_index, order_bounds, precision_curves, resampled_ap
from alrp_ref.evaluation.score_iou import by_image
from alrp_ref.machine.files import locked, write_atomic, write_table
from alrp_ref.reports import curves
from alrp_ref.reports.page import page, paragraph, picture, section, table
from alrp_ref.reports.report import draw_found, draw_truth, with_objects
from alrp_ref.reports.seeds import Study
from alrp_ref.training.compare_recipes import HELD_OUT, SWEEP_SHARE, Comparison
from alrp_ref.training.experiment import Experiment
from alrp_ref.training.log import PARTS, read_metrics
from alrp_ref.training.validation import read_result

MEASURED = ("AP", "AP50", "AP75", "AP90", "oLRP", "oLRP_loc", "oLRP_fp", "oLRP_fn", "rho", "minutes")
BOUNDS = {"AP": slice(None)} | {f"AP{100 * iou:.0f}": iou_index(iou) for iou in curves.SHOWN_IOUS}
CLASS_COLUMNS = ("AP", "AP50", "AP75", "oLRP")
EXAMPLES = 12
FREQUENT = 3
"""Number of classes, those with most objects, that get rows of their own."""

POINTS = 60
"""Points of a loss curve: the run is split into this many parts, and each point is the mean of one."""


Row = dict[str, Any]


def write_comparison(compared: Comparison, out: str | os.PathLike) -> Path:
    """Write `comparison.html`, its pictures, and their data as CSV files.

        comparison.csv        a row for each run: metrics, rho (see `rank_correlation`), minutes of training
        sweep.csv             the learning rates tried, and the AP on the training images held out
        differences.csv       each recipe less the first one: AP, and its standard errors over seeds and over images
        classes.csv           AP of the classes with most objects, by recipe and seed
        bounds.csv            `order_bounds`, by recipe and seed
        precision_recall.csv  `precision_curves` at IoU 0.5, 0.75 and 0.9, mean over the seeds
        losses.csv            both parts of the loss (loss_loc unweighted) and the weight, mean over the seeds

    Args: `compared`, from `compare`; `out`, its folder.
    Returns: the path of the page, which is self-contained.
    """
    with locked(Path(out) / "lock", wait=True):
        return _write(compared, Path(out))


def _write(compared: Comparison, out: Path) -> Path:
    runs = compared.runs
    val = CocoDataset(runs[0].coco, "val2017", keep_empty=True)
    tables = {
        "comparison": results(runs),
        "sweep": [_identity(run) | {"AP": run.result["AP"]} for run in compared.sweep],
        "differences": _differences(runs, val),
        "classes": [row for run in runs for row in _classes(run, val)],
        "bounds": [row for run in runs for row in _bounds(run, val)],
    }
    precisions, losses = {}, {}
    for name, seeds in by_recipe(runs).items():
        precisions[name] = np.mean([precision_curves(val.annotation_file, _detections(run)) for run in seeds], axis=0)
        losses[name] = _losses(seeds)
    tables["precision_recall"] = [
        {"recipe": name, "IoU": iou, "recall": i / 100, "precision": precision}
        for name, by_iou in precisions.items()
        for iou in curves.SHOWN_IOUS
        for i, precision in enumerate(by_iou[iou_index(iou)])
    ]
    tables["losses"] = [{"recipe": name} | row for name, rows in losses.items() for row in rows]
    for name, rows in tables.items():
        if rows:
            write_table(out / f"{name}.csv", [{k: _rounded(v) for k, v in row.items()} for row in rows])
    figures = {
        "loss_curves": curves.losses_abreast(losses),
        "precision_recall": curves.precision_recall(precisions),
        "examples": _examples(runs, val),
    }
    shown = {name: picture(out / f"{name}.png", figure) for name, figure in figures.items()}
    number = len(by_recipe(runs))
    title = "A comparison" if number == 1 else f"A comparison of {number} recipes"
    path = out / "comparison.html"
    write_atomic(path, page(title, _sections(runs, val, tables, shown)))
    return path


def results(runs: Sequence[Experiment]) -> list[Row]:
    """A row for each run: its identity and its metrics."""
    return [_identity(run) | {column: run.result.get(column) for column in MEASURED} for run in runs]


def summary(rows: Sequence[Row]) -> list[list[str]]:
    """A column for each recipe, a row for each metric, as `Study.shown`.

    Args: `results`, or the rows of `comparison.csv`. All columns but rho and minutes become percent.
    """
    study = Study(rows, _recipe_of)
    return [
        ["", *study.cells],
        *([column, *(study.shown(name, column) for name in study.cells)] for column in MEASURED),
    ]


def by_group(rows: Sequence[Row], group: str, columns: Iterable[str]) -> list[list[str]]:
    """A row for each group and recipe. A group, a class or an order, has a standard deviation of its own."""
    lines = [[group, "recipe", *columns]]
    for name in dict.fromkeys(row[group] for row in rows):
        study = Study([row for row in rows if row[group] == name], _recipe_of)
        lines += [[name, recipe, *(study.shown(recipe, column) for column in columns)] for recipe in study.cells]
    return lines


def by_rate(rows: Sequence[Row]) -> list[list[str]]:
    """A row for each recipe of a sweep, as in `sweep.csv`, a column for each learning rate: AP in percent."""
    rates = sorted({float(row["lr"]) for row in rows})
    aps = {(row["recipe"], float(row["lr"])): f"{100 * float(row['AP']):.3f}" for row in rows}
    names = dict.fromkeys(row["recipe"] for row in rows)
    return [["", *(f"{lr:g}" for lr in rates)]] + [[name, *(aps.get((name, lr), "") for lr in rates)] for name in names]


def by_recipe(runs: Sequence[Experiment]) -> dict[str, list[Experiment]]:
    """The runs of each recipe, by its name."""
    return {name: [r for r in runs if r.recipe.name == name] for name in dict.fromkeys(r.recipe.name for r in runs)}


def _sections(
    runs: Sequence[Experiment], val: CocoDataset, tables: Mapping[str, list[Row]], shown: Mapping[str, str]
) -> list[str]:
    stopped = [f"{r.recipe.name}, seed {r.options.seed}: {r.result['stopped']}" for r in runs if "stopped" in r.result]
    return [
        section("What was compared", *map(paragraph, _setting(runs, val)), *_settings_apart(runs)),
        section(
            "Result on val2017",
            paragraph(
                "Mean over the seeds ± its standard error, from the standard deviation of a seed, pooled over the "
                "recipes; in percent but for rho and minutes. rho is Spearman's correlation of score and IoU over the "
                "true positives of a class, mean over the classes."
            ),
            table(summary(tables["comparison"]), header=True),
            *map(paragraph, stopped),
        ),
        *_shown_differences(tables["differences"], runs[0].recipe.name),
        section(
            "Losses", paragraph("Mean over the seeds; the localisation part without its weight."), shown["loss_curves"]
        ),
        section("Precision and recall", paragraph("Mean over classes and seeds."), shown["precision_recall"]),
        section(
            "What the order of the scores is worth",
            paragraph(
                "AP in percent if the scores of the true positives had the worst order by IoU (lower), the one they "
                "have, and the best (upper): Table 5 of the paper. A detection in a crowd counts as false here."
            ),
            table(by_group(tables["bounds"], "order", BOUNDS), header=True),
        ),
        section(
            "The most frequent classes",
            paragraph(
                "Most classes have few objects, so the mean over all classes says little about these. In percent."
            ),
            table(by_group(tables["classes"], "class", CLASS_COLUMNS), header=True),
        ),
        section(
            "Learning rates",
            paragraph(
                f"AP in percent on every {HELD_OUT}th training image, held out, after 1/{SWEEP_SHARE} of the steps. "
                "One run each, so small differences mean little."
            ),
            table(by_rate(tables["sweep"]), header=True),
        ),
        section(
            "Examples",
            paragraph("Of the first seed: detections above the LRP-optimal score threshold of their class."),
            shown["examples"],
        ),
    ]


def _setting(runs: Sequence[Experiment], val: CocoDataset) -> list[str]:
    recipes, run = [run.recipe for run in runs], runs[0]
    train = CocoDataset(run.coco, "train2017")
    epochs = run.options.steps * run.recipe.batch_size / len(train)
    backbones, sides = (_each(values) for values in ([r.backbone for r in recipes], [r.train_size for r in recipes]))
    devices = _each([run.result["device"] for run in runs if "device" in run.result])
    return [
        f"{len(train)} training images, {len(val)} validation images, {len(train.class_names)} classes. {backbones}, "
        f"{sides} px, {run.options.steps} steps of {run.recipe.batch_size} images ({epochs:.1f} epochs), "
        f"seeds: {len({run.options.seed for run in runs})}{f'; trained on {devices}' if devices else ''}.",
        "Each recipe sees the same images in the same order, for the same number of steps. The learning rate of each "
        "loss was chosen on held-out training images; the validation images were not used for that.",
    ]


def _each(values: Iterable[Any]) -> str:
    return " and ".join(dict.fromkeys(map(str, values)))


def _settings_apart(runs: Sequence[Experiment]) -> list[str]:
    """The fields in which the recipes differ, as a table; empty for a single recipe."""
    fields = {name: settings(seeds[0].recipe) for name, seeds in by_recipe(runs).items()}
    names = dict.fromkeys(key for values in fields.values() for key in values if key != "name")
    names = [key for key in names if len({str(values.get(key, "-")) for values in fields.values()}) > 1]
    if not names:
        return []
    rows = [["", *names]] + [[name, *(str(values.get(key, "-")) for key in names)] for name, values in fields.items()]
    return [paragraph("The recipes differ in these fields only:"), table(rows, header=True)]


def _identity(run: Experiment) -> dict[str, Any]:
    return {"recipe": run.recipe.name, "lr": run.recipe.lr, "steps": run.options.steps, "seed": run.options.seed}


def _recipe_of(row: Row) -> str:
    return row["recipe"]


def _detections(run: Experiment) -> list[dict[str, Any]]:
    return read_result(run.folder / "detections.json")


def _differences(runs: Sequence[Experiment], val: CocoDataset) -> list[Row]:
    """Each recipe less the first one, in percent. Its error over images is that of a paired bootstrap."""
    study, (first, *others) = Study(results(runs), _recipe_of), by_recipe(runs)
    if not others:
        return []
    samples = {
        name: np.mean([resampled_ap(val.annotation_file, _detections(run)) for run in seeds], axis=0)
        for name, seeds in by_recipe(runs).items()
    }
    rows = []
    for name, (metric, place) in product(others, BOUNDS.items()):
        apart = (samples[name] - samples[first])[:, place].reshape(len(samples[name]), -1).mean(axis=1)
        by, over_seeds = study.difference(name, first, metric)
        rows.append(
            {
                "recipe": name,
                "metric": metric,
                "difference": by,
                "seeds": over_seeds,
                "images": 100 * float(apart.std()),
            }
        )
    return rows


def _shown_differences(rows: Sequence[Row], first: str) -> list[str]:
    if not rows:
        return []
    shown = [["", "metric", f"less {first}", "± over seeds", "± over images"]]
    for row in rows:
        numbers = ("-" if row[name] is None else f"{row[name]:.2f}" for name in ("difference", "seeds", "images"))
        shown.append([row["recipe"], row["metric"], *numbers])
    text = (
        "In percent, with two standard errors: what other seeds would change, and what other validation images would, "
        "by a paired bootstrap over the images."
    )
    return [section("Differences", paragraph(text), table(shown, header=True))]


def _classes(run: Experiment, val: CocoDataset) -> list[Row]:
    """A row for each of the classes with most objects."""
    per_class = read_result(run.folder / "metrics.json")["per_class"]
    objects = Counter(a["category_id"] for a in val.coco.dataset["annotations"] if not a.get("iscrowd"))
    name_of = dict(zip(val.category_ids, val.class_names, strict=True))
    return [
        _identity(run)
        | {"class": name_of[category], "objects": number}
        | {c: per_class[name_of[category]][c] for c in CLASS_COLUMNS}
        for category, number in objects.most_common(FREQUENT)
    ]


def _bounds(run: Experiment, val: CocoDataset) -> list[Row]:
    """A row for each order of the true positives."""
    return [
        _identity(run) | {"order": order} | {name: ap[index].mean() for name, index in BOUNDS.items()}
        for order, ap in order_bounds(val, _detections(run)).items()
    ]


def _losses(seeds: Sequence[Experiment]) -> list[dict[str, float]]:
    """Means over the seeds and over parts of the run, each named by its first step; cut to the shortest run."""
    logs = [read_metrics(run.folder / "metrics.csv") for run in seeds]
    for row in chain.from_iterable(logs):
        row["loss_loc"] /= row["weight"]
    steps = np.arange(min(map(len, logs)))
    return [
        {"step": int(part[0])} | {name: np.mean([log[i][name] for log in logs for i in part]) for name in PARTS[:3]}
        for part in np.array_split(steps, POINTS)
        if len(part)
    ]


def _examples(runs: Sequence[Experiment], val: CocoDataset) -> Figure:
    """The first validation images with objects: ground truth, and the detections of one run of each recipe."""
    shown = {name: seeds[0] for name, seeds in by_recipe(runs).items()}
    found = {name: by_image(_detections(run)) for name, run in shown.items()}
    least = {name: read_result(run.folder / "metrics.json")["lrp_thresholds"] for name, run in shown.items()}
    rows = [
        [draw_truth(val, i), *(draw_found(val, i, found[name][i], least[name]) for name in shown)]
        for i in with_objects(val, EXAMPLES)
    ]
    return curves.picture_grid(rows, ["ground truth", *(name.replace(":", "\n") for name in shown)])


def _rounded(value: Any) -> Any:
    """Four digits; seeds differ earlier than that."""
    return f"{value:.4g}" if isinstance(value, float) else value
