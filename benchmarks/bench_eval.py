"""What an evaluation costs: AP and optimal LRP together, against evaluators of AP alone."""

import contextlib
import io
from functools import partial

import hotcoco
import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from alrp_ref.evaluation import evaluate
from benchmarks.timing import in_turn

IMAGES, DETECTIONS_AN_IMAGE, CLASSES = 5000, 68, 80
Row = dict[str, object]


def bench(quick: bool = False) -> dict[str, list[Row]]:
    """Times of three evaluators of the same detections, which must agree on AP."""
    truth, found = detections(100 if quick else IMAGES)
    print(
        f"{len(truth['images']):,} images, {len(truth['annotations']):,} boxes, {len(found):,} detections ...",
        flush=True,
    )
    results: dict[str, float] = {}

    def run(name: str) -> None:
        results[name] = EVALUATORS[name](truth, found)

    took = in_turn({name: partial(run, name) for name in EVALUATORS}, rounds=1 if quick else 3)
    rows = [
        {
            "evaluator": name,
            "seconds": took[name],
            "of pycocotools": took[name] / took["pycocotools: AP"],
            "of hotcoco": took[name] / took["hotcoco: AP"],
            "AP": results[name],
        }
        for name in EVALUATORS
    ]
    assert len({round(value, 12) for value in results.values()}) == 1, results
    return {"inputs": [{"images": len(truth["images"]), "detections": len(found)}], "evaluators": rows}


def tables(results: dict[str, list[Row]]) -> dict[str, list[Row]]:
    """The same, to be read: titles and rows."""
    (inputs,) = results["inputs"]
    return {f"{inputs['images']:,} images, {inputs['detections']:,} detections": results["evaluators"]}


def with_pycocotools(truth: dict, found: list[dict]) -> float:
    """AP, from dictionaries to numbers; it writes into both."""
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = truth
        coco.createIndex()
        evaluator = COCOeval(coco, coco.loadRes([dict(row) for row in found]), "bbox")
        evaluator.evaluate()
        evaluator.accumulate()
    return _ap(evaluator.eval["precision"])


def with_hotcoco(truth: dict, found: list[dict]) -> float:
    """The same by the evaluator that ours uses."""
    coco = hotcoco.COCO(truth)
    evaluator = hotcoco.COCOeval(coco, coco.load_res(found), "bbox")
    evaluator.evaluate()
    evaluator.accumulate()
    return _ap(np.asarray(evaluator.eval["precision"]))


def _ap(precision: np.ndarray) -> float:
    best = precision[:, :, :, 0, 2]
    return float(best[best > -1].mean())


EVALUATORS = {
    "ours: AP and oLRP": lambda truth, found: evaluate(truth, found)["AP"],
    "hotcoco: AP": with_hotcoco,
    "pycocotools: AP": with_pycocotools,
}


def detections(num_images: int) -> tuple[dict, list[dict]]:
    """Ground truth of COCO's density, most boxes found once or twice, and false positives up to a fixed number."""
    rng = np.random.default_rng(0)
    annotations, found = [], []

    def detect(image: int, category: int, box: np.ndarray, score: float) -> None:
        box = [float(side) for side in box.clip(0)]
        found.append({"image_id": image, "category_id": category, "bbox": box, "score": float(score)})

    for image in range(1, num_images + 1):
        until = image * DETECTIONS_AN_IMAGE
        for _ in range(rng.integers(0, 15)):
            size = rng.uniform(5, 300, 2)
            box = np.concatenate([rng.uniform(0, [640, 480] - size), size])
            category = int(rng.integers(1, CLASSES + 1))
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image,
                    "category_id": category,
                    "iscrowd": int(rng.random() < 0.01),
                }
                | {"bbox": box.tolist(), "area": float(size.prod() * rng.uniform(0.4, 1))}
            )
            for _ in range(rng.integers(0, 3)):
                detect(image, category, box + rng.normal(0, 0.06, 4) * np.tile(size, 2), rng.beta(4, 2))
        while len(found) < until:
            size = rng.uniform(5, 300, 2)
            box = np.concatenate([rng.uniform(0, [640, 480] - size), size])
            detect(image, int(rng.integers(1, CLASSES + 1)), box, rng.beta(2, 4))
    images = [{"id": i, "width": 640, "height": 480, "file_name": f"{i}.jpg"} for i in range(1, num_images + 1)]
    categories = [{"id": c, "name": f"class {c}"} for c in range(1, CLASSES + 1)]
    return {"info": {}, "images": images, "annotations": annotations, "categories": categories}, found
