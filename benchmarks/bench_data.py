"""What reading and augmenting an image costs, and how many cores feed a GPU.

All pipelines read the same pictures: generated ones of 640 x 480 pixels, and those of a data set, if one is given. One
thread, and the time that it is busy: other jobs on the machine count little.
"""

import json
import resource
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset

from alrp_ref.data import CocoDataset, collate, train_transform
from alrp_ref.images import IMAGE_MEAN, IMAGE_STD
from benchmarks.pipelines import PIPELINES, RECIPE, Pipeline
from benchmarks.timing import cpu_seconds, in_turn

COCO_IMAGES, GPUS = 117_266, 4  # of the paper's runs

PICTURES, WIDTH, HEIGHT = 120, 640, 480
BATCH = 8  # images that a data worker hands over together
RESULTS = Path(__file__).parent / "results"
Row = dict[str, object]


def bench(quick: bool = False, coco: Path | None = None) -> dict[str, list[Row]]:
    """Every table, as rows. `quick` is for trying the command out: few pictures. `coco`: a folder in COCO's layout."""
    number, rounds = (4, 1) if quick else (PICTURES, 5)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as in a data worker
    try:
        with tempfile.TemporaryDirectory() as folder:
            draw_pictures(Path(folder), number)
            sets = {"generated": folder} | ({"photographs": coco} if coco else {})
            data = {name: CocoDataset(root, "train2017") for name, root in sets.items()}
            results = {name: _pipelines(one, min(number, len(one)), rounds) for name, one in data.items()}
            results["samples"] = [row for name, one in data.items() for row in _samples(name, one, 5 * number)]
            results["worker"] = _worker(CocoDataset(folder, "train2017", train_transform(RECIPE)), rounds)
    finally:
        torch.set_num_threads(threads)
    return results | {"cores": _cores(results["generated"], results["worker"])}


def tables(results: dict[str, list[Row]]) -> dict[str, list[Row]]:
    """The same, to be read: titles and rows."""
    titles = {
        "generated": f"Reading and augmenting an image in one core, generated pictures of {WIDTH} x {HEIGHT} pixels",
        "photographs": "The same on photographs of the data set given",
        "samples": f"What comes out, squares of {RECIPE.train_size} pixels: boxes in pixels, colours in 0..255",
        "worker": f"Ours in a data worker, batches of {BATCH} handed over to the run",
        "cores": f"Cores that read images for one GPU, `{RECIPE.name}`",
    }
    return {title: results[name] for name, title in titles.items() if name in results}


def draw_pictures(root: Path, number: int) -> None:
    """JPEG files of some 120 kB in COCO's layout: blurred colours with noise, and 1 to 14 boxes in each."""
    rng = np.random.default_rng(0)
    for folder in ("annotations", "train2017"):
        (root / folder).mkdir(parents=True)
    images, annotations = [], []
    for image_id in range(1, number + 1):
        colours = Image.fromarray(rng.integers(0, 256, (12, 16, 3), dtype=np.uint8))
        smooth = np.asarray(colours.resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC), dtype=np.float64)
        noisy = (smooth + rng.normal(0, 12, smooth.shape)).clip(0, 255).astype(np.uint8)
        images.append({"id": image_id, "file_name": f"{image_id}.jpg", "width": WIDTH, "height": HEIGHT})
        Image.fromarray(noisy).save(root / "train2017" / f"{image_id}.jpg", quality=90)
        for _ in range(rng.integers(1, 15)):
            size = rng.uniform(10, 300, 2)
            box = [*rng.uniform(0, [WIDTH, HEIGHT] - size), *size]
            own = {"id": len(annotations) + 1, "image_id": image_id, "category_id": 1}
            annotations.append(own | {"bbox": [float(value) for value in box]})
    content = {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "thing"}]}
    (root / "annotations" / "instances_train2017.json").write_text(json.dumps(content), encoding="utf-8")


def _pipelines(data: CocoDataset, number: int, rounds: int) -> list[Row]:
    """Each pipeline on the same pictures."""
    print(f"{number} pictures of {data.root} ...", flush=True)
    readers, missing = {}, []
    for name, make in PIPELINES.items():
        try:
            readers[name] = partial(_read, make(data, RECIPE.train_size), number)
        except ImportError:
            missing.append(name)
    took = in_turn(readers, rounds, clock=cpu_seconds)
    rows = [
        {
            "pipeline": name,
            "ms an image": 1000 * seconds / number,
            "images/s": number / seconds,
            "of ours": seconds / took["ours"],
        }
        for name, seconds in took.items()
    ]
    return rows + [
        {"pipeline": name, "ms an image": "not installed", "images/s": "", "of ours": ""} for name in missing
    ]


def _read(sample: Pipeline, number: int) -> None:
    torch.manual_seed(0)
    for index in range(number):
        sample(index)


def _samples(pictures: str, data: CocoDataset, number: int) -> list[Row]:
    """How many boxes are kept and how large they are, and how bright the images, by our pipeline and the release's."""
    print("augmented samples ...", flush=True)
    indices = np.random.default_rng(0).permutation(len(data))[:number].tolist()
    there = sum(len(data.target(data.ids[index])["boxes"]) for index in indices)
    mean, std = (255 * torch.tensor(values)[:, None, None] for values in (IMAGE_MEAN, IMAGE_STD))
    rows = []
    for name in ("ours", "the release's operations"):
        torch.manual_seed(0)
        sample, boxes, means, spreads = PIPELINES[name](data, RECIPE.train_size), [], [], []
        for index in indices:
            image, found = sample(index)
            image = image.float() if image.dtype == torch.uint8 else image * std + mean
            boxes.append(found)
            means.append(image.mean())
            spreads.append(image.std())
        kept = torch.cat(boxes)
        sides = (kept[:, 2:] - kept[:, :2]).clamp(min=0).prod(1).sqrt()
        rows.append(
            {
                "pictures": pictures,
                "pipeline": name,
                "images": len(indices),
                "boxes kept": len(kept) / there,
                "images without": sum(len(found) == 0 for found in boxes) / len(boxes),
                **{f"side, {q:.0%}": float(sides.quantile(q)) for q in (0.1, 0.5, 0.9)},
                "mean": float(torch.stack(means).mean()),
                "spread of the mean": float(torch.stack(means).std()),
                "spread in an image": float(torch.stack(spreads).mean()),
            }
        )
    return rows


def _worker(data: Dataset, rounds: int) -> list[Row]:
    """The CPU time of a data worker, which also makes batches and hands them over.

    Twice the images against once the images: the start of a worker is in both.
    """
    print("a data worker ...", flush=True)

    def read(times: int) -> None:
        sampler = list(range(len(data))) * times
        for _ in DataLoader(data, BATCH, sampler=sampler, collate_fn=collate, num_workers=1):
            pass

    took = in_turn({times: partial(read, times) for times in (1, 2)}, rounds, clock=_children_seconds)
    each = (took[2] - took[1]) / len(data)
    return [{"ms an image": 1000 * each, "images/s a worker": 1 / each}]


def _children_seconds(function: Callable[[], object]) -> float:
    """Seconds that the processes which begin and end within one call are busy."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    function()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _cores(pipelines: list[Row], worker: list[Row]) -> list[Row]:
    """For each GPU whose speed is known or estimated in the other results: images it trains on, and cores for them."""
    ms = {row["pipeline"]: row["ms an image"] for row in pipelines} | {"worker": worker[0]["ms an image"]}
    columns = {"ours": "worker", "ours, readable": "ours, readable", "torchvision's": "torchvision's reference"}
    return [
        {"GPU": gpu, "images/s": speed} | {name: speed * ms[key] / 1000 for name, key in columns.items()}
        for gpu, speed in _gpus().items()
    ]


def _gpus() -> dict[str, float]:
    """Images a second of a training step, by GPU: two estimates, one measurement."""
    full, gpu = (json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8")) for name in ("full", "gpu"))
    (row,) = (row for row in full["results"]["full"] if row["recipe"] == RECIPE.name)
    per_gpu = RECIPE.epochs * COCO_IMAGES / 3600 / GPUS
    (measured,) = (row for row in gpu["results"]["step"] if row["detector"] == "ours, aLRP, ATSS")
    return {
        "V100, estimated": per_gpu / row["hours, 4 V100"],
        "A100, estimated": per_gpu / row["hours, 4 A100"],
        f"{gpu['machine']['device'].removeprefix('NVIDIA ')}, measured": measured["images/s"],
    }
