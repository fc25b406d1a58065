"""The command line, `alrp`: its commands are listed by `alrp --help`.

Nothing is imported before a command needs it, torch included.
"""

import argparse
import io
import os
import shlex
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from alrp_ref.version import __version__

if TYPE_CHECKING:
    from alrp_ref.data import Layout

BAD_INPUT = 2
INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; returns its exit code: 0, 1 if a check fails, 2 for input that cannot be used, 130 when
    interrupted, 128 and the number of the signal when asked to end by one (143 for SIGTERM)."""
    args = _parser().parse_args(argv)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # names of files that this terminal cannot show
    if args.command in (_recipes, _verify):
        return _light(args)
    try:
        from alrp_ref.machine.files import DataError
        from alrp_ref.training import Preempted, TrainingStopped
    except ImportError as error:
        return _fail(f"{error}: the detectors need more packages: pip install 'alrp-ref[detection]'")
    try:
        return args.command(args)
    except Preempted as stopped:
        _fail(f"{stopped}. To resume: {_same_command(args.command_name, argv)}")
        return stopped.exit_code
    except (DataError, TrainingStopped, ValueError, OSError) as error:
        return _fail(_message(error))
    except KeyboardInterrupt:
        print(f"\n{args.command_name} interrupted", end="", file=sys.stderr)
        if args.command in (_train, _demo, _compare):
            print(": give the same command again to resume from the last checkpoint", end="", file=sys.stderr)
        if args.command is _download:
            print(": give the same command again to resume", end="", file=sys.stderr)
        print(file=sys.stderr)
        return INTERRUPTED


def _light(args: argparse.Namespace) -> int:
    """Commands that run where there are torch and numpy only."""
    try:
        return args.command(args)
    except (ValueError, OSError) as error:
        return _fail(_message(error))


def _same_command(name: str, argv: Sequence[str] | None) -> str:
    """What to type to give this command again."""
    if "WORLD_SIZE" in os.environ:
        return f"give the same command with `alrp_ref.cli {name} ...` again"  # what started the processes is not known
    return shlex.join(["alrp", *(sys.argv[1:] if argv is None else argv)])


def _message(error: Exception) -> str:
    """What an error says; one from a data worker comes wrapped in that process's traceback, its own words last."""
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    text = str(error)
    return text.rsplit(f"{type(error).__name__}: ", 1)[-1].strip() if text.startswith("Caught ") else text


def _fail(message: str) -> int:
    print(f"alrp: {message}", file=sys.stderr)
    return BAD_INPUT


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="alrp", description="Detectors trained with aLRP Loss.")
    parser.add_argument("--version", action="version", version=f"alrp_ref {__version__}")
    commands = parser.add_subparsers(dest="command_name", required=True, metavar="command")

    def add(name: str, function, text: str) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
        command.set_defaults(command=function)
        return command

    def add_device(command: argparse.ArgumentParser) -> None:
        command.add_argument("--device", help='"cpu", "cuda", "mps", ... (default: an NVIDIA GPU if there is one)')

    def add_data(command: argparse.ArgumentParser, names: Sequence[str] = ("train", "val")) -> None:
        folders = "annotations/, train2017/, val2017/"
        command.add_argument(
            "--coco",
            type=Path,
            metavar="DIR",
            help=f"folder with {folders}, or one that Roboflow, CVAT, Label Studio, ... exported in COCO's format",
        )
        for name in names:
            command.add_argument(f"--{name}-annotations", type=Path, metavar="FILE", help="or an annotation file ...")
            command.add_argument(f"--{name}-images", type=Path, metavar="DIR", help="... and the folder of its images")

    def add_run_options(command: argparse.ArgumentParser) -> None:
        length = command.add_mutually_exclusive_group()
        length.add_argument("--steps", type=int, help="steps instead of the recipe's epochs; the schedule is scaled")
        length.add_argument("--epochs", type=float, help="epochs instead of the recipe's; the schedule is scaled")
        command.add_argument("--workers", type=int, default=2, help="processes that read images (default 2)")
        add_device(command)
        command.add_argument("--seed", type=int, default=0, help="of all random draws (default 0)")

    def add_backbone_weights(command: argparse._ActionsContainer) -> None:
        command.add_argument(
            "--backbone-weights",
            default="imagenet",
            metavar="FILE",
            help='file with the backbone\'s weights, "imagenet" (default: torchvision\'s, by download) or "none"',
        )

    demo = add("demo", _demo, "draw a data set of shapes, train a small detector on it, write a report")
    demo.add_argument("--out", type=Path, default=Path("runs/demo"), help="folder of the run (default runs/demo)")
    demo.add_argument("--recipe", default="alrp_tiny", help="alrp_tiny (default), ap_tiny or focal_tiny")
    add_run_options(demo)

    download = add("download", _download, "download COCO 2017 and unpack it; the same command again resumes")
    download.add_argument(
        "--root", type=Path, required=True, metavar="DIR", help="target folder; pass it to other commands as --coco"
    )
    download.add_argument(
        "--split",
        choices=("train2017", "val2017"),
        required=True,
        help="19.3 or 0.8 GB of images; the annotations (0.3 GB) come along",
    )

    check = add("check-data", _check_data, "look at every annotation and image of a data set before a run")
    add_data(check)
    check.add_argument("--split", choices=("train2017", "val2017"), help="one of them only (default: both)")
    check.add_argument("--workers", type=int, help="threads that read images (default: one for each core)")
    check.add_argument("--out", type=Path, metavar="FILE", help="CSV file for all that is found")

    train = add("train", _train, "train a detector on data in COCO's layout; the same command again resumes")
    train.add_argument("--recipe", required=True, help="one of those that `alrp recipes` lists")
    add_data(train)
    train.add_argument("--out", type=Path, help="folder of the run (default runs/RECIPE)")
    train.add_argument("--batch-size", type=int, help="images per step over all processes; scales the learning rate")
    train.add_argument(
        "--accumulate",
        type=int,
        default=1,
        metavar="K",
        help="micro-batches that each process makes of its images, so that it needs memory for one; K of them train as "
        "one in each of K processes (default 1)",
    )
    train.add_argument(
        "--precision",
        choices=("bfloat16", "float32"),
        help="of the network (default: bfloat16 on GPUs that have instructions for it, else float32)",
    )
    train.add_argument("--lr", type=float, help="learning rate, as it is to be used")
    begin = train.add_mutually_exclusive_group()
    add_backbone_weights(begin)
    begin.add_argument(
        "--init-from",
        type=Path,
        metavar="FILE",
        help="begin from a detector: the checkpoint.pt of a run, or the release's .pth; other classes are allowed",
    )
    train.add_argument("--eval-every", type=int, metavar="EPOCHS", help="evaluate in between, too")
    train.add_argument("--cache", action="store_true", help="keep decoded images in memory: for small data sets")
    train.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="FIELD=VALUE",
        help="change a field of the recipe, or an option of its loss by loss.OPTION=VALUE; repeatable",
    )
    add_run_options(train)

    compare = add("compare", _compare, "train recipes on the same footing, and write a table and a page")
    compare.add_argument(
        "--recipes",
        nargs="+",
        required=True,
        metavar="RECIPE",
        help='those that `alrp recipes` lists, or "NAME:FIELD=VALUE", which takes the learning rate of NAME',
    )
    add_data(compare)
    compare.add_argument("--out", type=Path, default=Path("runs/comparison"), help="folder (default runs/comparison)")
    compare.add_argument("--seeds", type=int, default=3, help="runs of each recipe (default 3)")
    compare.add_argument("--budget", type=int, required=True, metavar="STEPS", help="training steps of each run")
    compare.add_argument("--workers", type=int, default=2, help="processes that read images (default 2)")
    add_device(compare)
    add_backbone_weights(compare)

    evaluate = add("eval", _eval, "evaluate a trained detector: AP and optimal LRP")
    weights = evaluate.add_mutually_exclusive_group(required=True)
    weights.add_argument("--checkpoint", type=Path, help="the checkpoint.pt of a run")
    weights.add_argument("--official-checkpoint", type=Path, metavar="FILE", help="or the release's .pth of --recipe")
    evaluate.add_argument("--recipe", help="of the official checkpoint: one that `alrp recipes` lists")
    add_data(evaluate, ("val",))
    evaluate.add_argument("--workers", type=int, help="processes that read images (default: up to 8; on a CPU none)")
    evaluate.add_argument("--out", type=Path, help="folder for detections.json, metrics.json and report.html")
    add_device(evaluate)

    predict = add("predict", _predict, "draw what a trained detector finds on pictures")
    predict.add_argument("--checkpoint", type=Path, required=True, help="the checkpoint.pt of a run")
    predict.add_argument("--threshold", type=float, default=0.3, help="least score of a box (default 0.3)")
    predict.add_argument("--out", type=Path, default=Path("predictions"), help="folder (default predictions)")
    predict.add_argument("--json", type=Path, metavar="FILE", help="also write the detections, in COCO's format")
    add_device(predict)
    predict.add_argument("images", nargs="+", metavar="image", help="picture files, folders of them, or patterns")

    recipes = add("recipes", _recipes, "list the recipes, or print one in full")
    recipes.add_argument("name", nargs="?", help="recipe to print")

    verify = add(
        "verify",
        _verify,
        "compare the losses with the official numbers on a device; list the installed extras",
    )
    verify.add_argument("--device", choices=("cpu", "cuda", "mps"), default="cpu", help="where they run (default cpu)")
    verify.add_argument(
        "--json", nargs="?", const="-", metavar="FILE", help="write what is found to FILE, or print it as JSON"
    )

    return parser


def _demo(args: argparse.Namespace) -> int:
    from alrp_ref.data import make_shapes
    from alrp_ref.reports import write_report
    from alrp_ref.training import train

    coco = args.out / "shapes"
    print(f"drawing shapes into {coco} ...")
    make_shapes(coco, train_images=2500, val_images=200)
    options = {name: getattr(args, name) for name in ("steps", "epochs", "workers", "device", "seed")}
    run = args.out / args.recipe
    _, metrics = train(args.recipe, coco, run, **options)
    print(f"\n{metrics}\n\nAP {metrics['AP']:.3f} on held-out shapes. Report: {write_report(run, coco)}")
    return 0


def _download(args: argparse.Namespace) -> int:
    from alrp_ref.data import download

    root = download(args.root, args.split)
    print(f"{args.split} and its annotations are in {root}: give --coco {root}")
    return 0


def _check_data(args: argparse.Namespace) -> int:
    from alrp_ref.data import check_data
    from alrp_ref.data.annotations.check import as_csv, is_csv_of_a_check
    from alrp_ref.machine.files import write_atomic

    if args.out is not None and not args.out.absolute().parent.is_dir():
        raise ValueError(f"--out {args.out} must be a file in a folder that is there")
    if args.out is not None and os.path.lexists(args.out) and not is_csv_of_a_check(args.out):
        raise ValueError(f"--out {args.out} is there, and `alrp check-data` did not write it: give another name")
    checks = check_data(_data(args), None if args.split is None else (args.split,), args.workers)
    print("\n" + "\n\n".join(map(str, checks)))
    if args.out is not None:
        write_atomic(args.out, as_csv(checks))
        print(f"\nAll of it, one line each: {args.out}")
    stops = any(check.stops for check in checks)
    print("\nThis would stop a run: repair it first." if stops else "\nNothing here stops a run.")
    return BAD_INPUT if stops else 0


def _data(args: argparse.Namespace) -> "Layout":
    """The data that is meant by `--coco`, or by files given one by one; what is not COCO's own layout is printed."""
    from alrp_ref.data.annotations.layout import Layout, Split, is_cocos

    splits = {}
    for name in ("train", "val"):
        file, folder = (getattr(args, f"{name}_{what}", None) for what in ("annotations", "images"))
        if (file is None) != (folder is None):
            raise ValueError(f"--{name}-annotations FILE and --{name}-images DIR belong together")
        if file is not None:
            splits[name] = Split(file, folder)
    if (args.coco is None) == (not splits):
        raise ValueError(
            "give the data by --coco DIR, or else by --train-annotations FILE --train-images DIR (and val)"
        )
    layout = Layout.of(args.coco) if args.coco is not None else Layout(**splits)
    if not is_cocos(layout):
        print(layout)
    return layout


def _train(args: argparse.Namespace) -> int:
    from dataclasses import replace

    from alrp_ref.detection.recipes import get_recipe, with_changes
    from alrp_ref.reports import write_report
    from alrp_ref.training import train
    from alrp_ref.training.plan import with_batch_size

    recipe = with_changes(get_recipe(args.recipe), args.set)
    if args.batch_size is not None:
        before = recipe
        recipe = with_batch_size(recipe, args.batch_size)
        print(
            f"learning rate {recipe.lr:g} for a batch of {recipe.batch_size}, "
            f"in proportion to {before.lr:g} for {before.batch_size}"
        )
    if args.lr is not None:
        recipe = replace(recipe, lr=args.lr)
    out, data = args.out or Path("runs") / recipe.name, _data(args)
    _, metrics = train(
        recipe,
        data,
        out,
        steps=args.steps,
        epochs=args.epochs,
        accumulate=args.accumulate,
        precision=args.precision,
        **({"init_from": args.init_from} if args.init_from else _backbone(args.backbone_weights, recipe)),
        eval_every=args.eval_every,
        workers=args.workers,
        cache=args.cache,
        device=args.device,
        seed=args.seed,
    )
    if metrics is not None:
        print(f"\n{metrics}\n\nReport: {write_report(out, data)}")
    return 0


def _backbone(weights: str, recipe) -> dict[str, object]:
    """What `--backbone-weights` means for `train`."""
    if weights in ("imagenet", "none"):
        return {"pretrained_backbone": weights == "imagenet" and recipe.backbone != "tiny"}
    return {"backbone_weights": weights}


def _compare(args: argparse.Namespace) -> int:
    from alrp_ref.detection.recipes import get_recipe
    from alrp_ref.reports import compare, write_comparison
    from alrp_ref.reports.comparison import results, summary

    options = _backbone(args.backbone_weights, get_recipe(args.recipes[0]))
    options |= {"workers": args.workers, "device": args.device}
    compared = compare(args.recipes, _data(args), args.out, steps=args.budget, seeds=args.seeds, **options)
    columns = [(name, values) for name, *values in zip(*summary(results(compared.runs)), strict=True)]
    print(f"\n{_table(columns, shutil.get_terminal_size().columns)}\n\nPage: {write_comparison(compared, args.out)}")
    return 0


def _eval(args: argparse.Namespace) -> int:
    import time

    from alrp_ref.data import CocoDataset
    from alrp_ref.detection import load_model, load_official_model, save_model
    from alrp_ref.machine.device import choose_device
    from alrp_ref.machine.files import refuse_input
    from alrp_ref.reports import write_report
    from alrp_ref.training import validate

    device = choose_device(args.device)
    is_official, checkpoint = args.official_checkpoint is not None, args.checkpoint
    if is_official != (args.recipe is not None):
        raise ValueError("--official-checkpoint needs --recipe, and a checkpoint of `alrp train` knows its own")
    if not is_official:
        model, _ = load_model(checkpoint)
    layout = _data(args)
    data = CocoDataset(layout, "val2017", keep_empty=True)
    if is_official:
        model = load_official_model(args.official_checkpoint, args.recipe, data.class_names)
    if args.out is not None:
        read = [data.annotation_file, args.official_checkpoint if is_official else args.checkpoint]
        for name in ("detections.json", "metrics.json", "official.pt", "report.html"):
            refuse_input(args.out / name, read)
        if args.out.is_dir() and args.out.samefile(data.root):
            raise ValueError(f"--out {args.out} is the folder of the images: give another for what is written")
        args.out.mkdir(parents=True, exist_ok=True)
        if is_official:
            checkpoint = args.out / "official.pt"
            save_model(checkpoint, model, data.category_ids)
            print(f"in our format, for `alrp predict --checkpoint`: {checkpoint}")
    began = time.perf_counter()
    metrics = validate(model, data, args.out, device, args.workers)
    seconds = time.perf_counter() - began
    print(f"{metrics}\n\n{len(data)} images, {len(data) / seconds:.1f} images/s, the evaluation included")
    if args.out is not None:
        print(f"Report: {write_report(args.out, layout, checkpoint)}")
    return 0


def _predict(args: argparse.Namespace) -> int:
    from alrp_ref.detection import load_model
    from alrp_ref.detection.predict_files import check_json, drawings, find_pictures, predict_files
    from alrp_ref.machine.device import choose_device

    pictures = find_pictures(args.images)
    targets = drawings(pictures, args.out)
    if args.json is not None:
        check_json(args.json, [*pictures, args.checkpoint])
    device = choose_device(args.device)
    model, content = load_model(args.checkpoint)
    args.out.mkdir(parents=True, exist_ok=True)
    options = {"threshold": args.threshold, "json_file": args.json}
    faults = predict_files(model.to(device), content["category_ids"], pictures, targets, **options)
    if faults:
        return _fail(f"{len(faults)} of {len(pictures)} pictures cannot be read, {faults[0]} the first")
    return 0


def _recipes(args: argparse.Namespace) -> int:
    from alrp_ref.detection import RECIPES
    from alrp_ref.detection.recipes import RELEASED_AP, get_recipe, settings

    if args.name:
        shown = settings(get_recipe(args.name))
        width = max(map(len, shown))
        print("\n".join(f"{name:<{width}} {value}" for name, value in shown.items()))
        return 0
    columns = [
        ("recipe", [r.name for r in RECIPES.values()]),
        ("backbone", [r.backbone for r in RECIPES.values()]),
        ("assigner", [r.assigner for r in RECIPES.values()]),
        ("loss", [type(r.loss).__name__ for r in RECIPES.values()]),
        ("px", [r.train_size for r in RECIPES.values()]),
        ("batch", [r.batch_size for r in RECIPES.values()]),
        ("lr", [f"{r.lr:g}" for r in RECIPES.values()]),
        ("epochs", [r.epochs for r in RECIPES.values()]),
        ("AP", [f"{RELEASED_AP[name]}" if name in RELEASED_AP else "-" for name in RECIPES]),
    ]
    print(_table(columns, shutil.get_terminal_size().columns))
    print("\nAP: of the released model on COCO minival, from the README of the release.")
    return 0


def _table(columns: Sequence[tuple[str, Sequence[object]]], width: int) -> str:
    """Columns side by side; those beyond `width` follow below, the first one with them again."""
    texts = [[name, *map(str, values)] for name, values in columns]
    padded = [[text.ljust(max(map(len, column))) for text in column] for column in texts]
    blocks = [[padded[0]]]
    for column in padded[1:]:
        if len("  ".join(c[0] for c in (*blocks[-1], column))) > width:
            blocks.append([padded[0]])
        blocks[-1].append(column)
    return "\n\n".join("\n".join("  ".join(row).rstrip() for row in zip(*block, strict=True)) for block in blocks)


def _verify(args: argparse.Namespace) -> int:
    import json

    from alrp_ref.machine.installed import extras
    from alrp_ref.verification import verify_torch

    found = verify_torch(args.device)
    content = json.dumps(found.to_dict(), indent=1)
    print(content if args.json == "-" else f"{found}\n\n{extras()}")
    if args.json not in (None, "-"):
        Path(args.json).write_text(content + "\n", encoding="utf-8")
    return 0 if found.passed else 1


if __name__ == "__main__":
    sys.exit(main())
