"""What a comparison found: tables, and a page that shows them."""

import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from itertools import chain
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from alrp_ref.coco import CocoDataset, order_bounds, precision_curves
from alrp_ref.coco.files import locked, write_whole
from alrp_ref.coco.order import by_image
from alrp_ref.training import curves
from alrp_ref.training.compare import HELD_OUT, SWEEP_SHARE, Comparison, Run
from alrp_ref.training.log import PARTS, read_metrics
from alrp_ref.training.page import page, paragraph, picture, section, table
from alrp_ref.training.report import draw_found, draw_truth, read_json, with_objects
from alrp_ref.training.tables import write_table

COLUMNS = ("AP", "AP50", "AP75", "AP90", "oLRP", "oLRP_loc", "oLRP_fp", "oLRP_fn", "rho", "minutes")
BOUNDS = {"AP": slice(None), "AP50": 0, "AP75": 5, "AP90": 8}
CLASS_COLUMNS = ("AP", "AP50", "AP75", "oLRP")
EXAMPLES = 12
FREQUENT = 3
"""The classes with most objects that are shown by themselves."""

POINTS = 60
"""Of a loss curve: means over so many parts of the run."""


Row = dict[str, Any]


def write_comparison(compared: Comparison, out: str | os.PathLike) -> Path:
    """Write what a comparison found: `comparison.html`, its pictures, and as CSV what both are made of.

        comparison.csv        a row for each run: metrics, rho (see `rank_correlation`), minutes of training
        sweep.csv             the learning rates tried, and the AP on the training images held out
        classes.csv           AP of the classes with most objects, by recipe and seed
        bounds.csv            `order_bounds`, by recipe and seed
        precision_recall.csv  `precision_curves` at IoU 0.5, 0.75 and 0.9, mean over the seeds
        losses.csv            both parts of the loss (the boxes' without its weight) and the weight, mean over the seeds

    Args: `compared`, as `compare` returns it; `out`, its folder.
    Returns: the path of the page, which needs no other file.
    """
    with locked(Path(out) / "lock", wait=True):
        return _write(compared, Path(out))


def _write(compared: Comparison, out: Path) -> Path:
    runs = compared.runs
    val = CocoDataset(runs[0].coco, "val2017", keep_empty=True)
    tables = {
        "comparison": results(runs),
        "sweep": [_identity(run) | {"AP": run.result["AP"]} for run in compared.sweep],
        "classes": [row for run in runs for row in _classes(run, val)],
        "bounds": [row for run in runs for row in _bounds(run, val)],
    }
    precisions, losses = {}, {}
    for name, of_recipe in by_recipe(runs).items():
        found = [precision_curves(val.annotation_file, _detections(run)) for run in of_recipe]
        precisions[name] = np.mean(found, axis=0)
        losses[name] = _losses(of_recipe)
    tables["precision_recall"] = [
        {"recipe": name, "IoU": iou, "recall": i / 100, "precision": precision}
        for name, of_iou in precisions.items()
        for iou, place in curves.IOUS.items()
        for i, precision in enumerate(of_iou[place])
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
    write_whole(path, page(title, _sections(runs, val, tables, shown)))
    return path


def results(runs: Sequence[Run]) -> list[Row]:
    """A row for each run: what it is, and what it reached."""
    return [_identity(run) | {column: run.result.get(column) for column in COLUMNS} for run in runs]


def summary(rows: Sequence[Row]) -> list[list[str]]:
    """A column for each recipe, a row for each metric: mean ± standard deviation over the seeds.

    Args: `results`, or what was read from `comparison.csv`. AP and the like become percent, rho and minutes stay.
    """
    names = list(dict.fromkeys(row["recipe"] for row in rows))
    return [["", *names]] + [
        [column, *(spread([row[column] for row in rows if row["recipe"] == name], column) for name in names)]
        for column in COLUMNS
    ]


def mean_rows(rows: Sequence[Row], keys: tuple[str, str], columns: Iterable[str]) -> list[list[str]]:
    """Mean ± standard deviation of the rows that agree in both keys, those with the same first key together."""
    groups: dict[str, dict[str, list[Row]]] = {}
    for row in rows:
        groups.setdefault(row[keys[0]], {}).setdefault(row[keys[1]], []).append(row)
    return [["", keys[1], *columns]] + [
        [first, second, *(spread([row[c] for row in of_group], c) for c in columns)]
        for first, parts in groups.items()
        for second, of_group in parts.items()
    ]


def by_rate(rows: Sequence[Row]) -> list[list[str]]:
    """A row for each recipe of a sweep, as in `sweep.csv`, a column for each learning rate: AP in percent."""
    rates = sorted({float(row["lr"]) for row in rows})
    reached = {(row["recipe"], float(row["lr"])): f"{100 * float(row['AP']):.3f}" for row in rows}
    names = dict.fromkeys(row["recipe"] for row in rows)
    return [["", *(f"{lr:g}" for lr in rates)]] + [
        [name, *(reached.get((name, lr), "") for lr in rates)] for name in names
    ]


def spread(values: Sequence[float | str | None], column: str) -> str:
    """Mean ± standard deviation (of a sample: n - 1) of what is known; numbers, or as a table holds them."""
    scale = 1 if column in ("rho", "minutes") else 100
    known = [scale * float(value) for value in values if value not in (None, "")]
    if not known:
        return "-"
    digits = 1 if column == "minutes" else 2
    text = f"{mean(known):.{digits}f}"
    return text if len(known) == 1 else f"{text} ± {stdev(known):.{digits}f}"


def by_recipe(runs: Sequence[Run]) -> dict[str, list[Run]]:
    """The runs of each recipe, by its name."""
    return {name: [r for r in runs if r.recipe.name == name] for name in dict.fromkeys(r.recipe.name for r in runs)}


def _sections(
    runs: Sequence[Run], val: CocoDataset, tables: Mapping[str, list[Row]], shown: Mapping[str, str]
) -> list[str]:
    stopped = [f"{r.recipe.name}, seed {r.seed}: {r.result['stopped']}" for r in runs if "stopped" in r.result]
    return [
        section("What was compared", *map(paragraph, _setting(runs, val)), *_differences(runs)),
        section(
            "Result on val2017",
            paragraph(
                "Mean ± standard deviation over the seeds; in percent but for rho and minutes. rho is Spearman's "
                "correlation of score and IoU over the true positives of a class, mean over the classes."
            ),
            table(summary(tables["comparison"]), header=True),
            *map(paragraph, stopped),
        ),
        section("Losses", paragraph("Mean over the seeds, the boxes' part without its weight."), shown["loss_curves"]),
        section("Precision and recall", paragraph("Mean over classes and seeds."), shown["precision_recall"]),
        section(
            "What the order of the scores is worth",
            paragraph(
                "AP in percent if the scores of the true positives had the worst order by IoU (lower), the one they "
                "have, and the best (upper): Table 5 of the paper. A detection in a crowd counts as false here."
            ),
            table(mean_rows(tables["bounds"], ("recipe", "order"), BOUNDS), header=True),
        ),
        section(
            "The most frequent classes",
            paragraph("What the mean over all classes hides where most have a few objects. In percent."),
            table(mean_rows(tables["classes"], ("class", "recipe"), CLASS_COLUMNS), header=True),
        ),
        section(
            "Learning rates",
            paragraph(
                f"AP in percent on every {HELD_OUT}th training image, held out, after 1/{SWEEP_SHARE} of the steps. "
                "One run each: where they hardly differ, they say little."
            ),
            table(by_rate(tables["sweep"]), header=True),
        ),
        section(
            "Examples",
            paragraph("Of the first seed: detections above the score at which the LRP error of their class is least."),
            shown["examples"],
        ),
    ]


def _setting(runs: Sequence[Run], val: CocoDataset) -> list[str]:
    recipes, run = [run.recipe for run in runs], runs[0]
    train = CocoDataset(run.coco, "train2017")
    epochs = run.steps * run.recipe.batch_size / len(train)
    backbones, sides = (_each(values) for values in ([r.backbone for r in recipes], [r.train_size for r in recipes]))
    devices = _each([run.result["device"] for run in runs if "device" in run.result])
    return [
        f"{len(train)} training images, {len(val)} validation images, {len(train.class_names)} classes. {backbones}, "
        f"{sides} px, {run.steps} steps of {run.recipe.batch_size} images ({epochs:.1f} epochs), "
        f"seeds: {len({run.seed for run in runs})}{f'; trained on {devices}' if devices else ''}.",
        "Each recipe sees the same images in the same order, for the same number of steps. The learning rate of each "
        "loss was chosen on training images held out; the validation images had no say in it.",
    ]


def _each(values: Iterable[Any]) -> str:
    return " and ".join(dict.fromkeys(map(str, values)))


def _differences(runs: Sequence[Run]) -> list[str]:
    """The fields in which the recipes differ, as a table; none of one recipe."""
    fields = {name: asdict(of_recipe[0].recipe) for name, of_recipe in by_recipe(runs).items()}
    names = [key for key in asdict(runs[0].recipe) if key != "name" and len({str(f[key]) for f in fields.values()}) > 1]
    if not names:
        return []
    rows = [["", *names]] + [[name, *(str(values[key]) for key in names)] for name, values in fields.items()]
    return [paragraph("All that differs:"), table(rows, header=True)]


def _identity(run: Run) -> dict[str, Any]:
    return {"recipe": run.recipe.name, "lr": run.recipe.lr, "steps": run.steps, "seed": run.seed}


def _detections(run: Run) -> list[dict[str, Any]]:
    return read_json(run.folder / "detections.json")


def _classes(run: Run, val: CocoDataset) -> list[Row]:
    """A row for each of the classes with most objects."""
    per_class = read_json(run.folder / "metrics.json")["per_class"]
    objects = Counter(a["category_id"] for a in val.coco.dataset["annotations"] if not a.get("iscrowd"))
    name_of = dict(zip(val.category_ids, val.class_names, strict=True))
    return [
        _identity(run)
        | {"class": name_of[category], "objects": number}
        | {c: per_class[name_of[category]][c] for c in CLASS_COLUMNS}
        for category, number in objects.most_common(FREQUENT)
    ]


def _bounds(run: Run, val: CocoDataset) -> list[Row]:
    """A row for each order of the true positives."""
    return [
        _identity(run) | {"order": order} | {name: of_iou[place].mean() for name, place in BOUNDS.items()}
        for order, of_iou in order_bounds(val, _detections(run)).items()
    ]


def _losses(of_recipe: Sequence[Run]) -> list[dict[str, float]]:
    """Means over the seeds and over parts of the run, each named by its first step, as far as all seeds came."""
    logs = [read_metrics(run.folder / "metrics.csv") for run in of_recipe]
    for row in chain.from_iterable(logs):
        row["loss_loc"] /= row["weight"]
    steps = np.arange(min(map(len, logs)))
    return [
        {"step": int(part[0])} | {name: np.mean([log[i][name] for log in logs for i in part]) for name in PARTS[:3]}
        for part in np.array_split(steps, POINTS)
        if len(part)
    ]


def _examples(runs: Sequence[Run], val: CocoDataset) -> Figure:
    """The first validation images with objects: truth, and what one run of each recipe detects."""
    shown = {name: of_recipe[0] for name, of_recipe in by_recipe(runs).items()}
    found = {name: by_image(_detections(run)) for name, run in shown.items()}
    least = {name: read_json(run.folder / "metrics.json")["lrp_thresholds"] for name, run in shown.items()}
    rows = [
        [draw_truth(val, i), *(draw_found(val, i, found[name][i], least[name]) for name in shown)]
        for i in with_objects(val, EXAMPLES)
    ]
    return curves.picture_grid(rows, ["ground truth", *(name.replace(":", "\n") for name in shown)])


def _rounded(value: Any) -> Any:
    """Four digits are more than any of this is known to."""
    return f"{value:.4g}" if isinstance(value, float) else value
