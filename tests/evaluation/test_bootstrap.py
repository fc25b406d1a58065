"""AP on samples of the images is AP, and a paired bootstrap tells what the images make of a difference."""

import numpy as np
import pytest

from alrp_ref.evaluation import bootstrap, evaluate, resampled_ap


@pytest.fixture(scope="module")
def truth() -> dict:
    """Thirty images with two to five objects of two classes; one object in eight is a crowd."""
    rng = np.random.default_rng(0)
    images = [{"id": i, "width": 100, "height": 100} for i in range(1, 31)]
    objects = [
        {"image_id": i["id"], "category_id": int(rng.integers(1, 3)), "iscrowd": int(rng.random() < 1 / 8)}
        | {"bbox": [*rng.uniform(0, 60, 2).tolist(), *rng.uniform(10, 40, 2).tolist()]}
        for i in images
        for _ in range(rng.integers(2, 6))
    ]
    for number, one in enumerate(objects, 1):
        one |= {"id": number, "area": one["bbox"][2] * one["bbox"][3]}
    return {"images": images, "annotations": objects, "categories": [{"id": 1, "name": "a"}, {"id": 2, "name": "b"}]}


def found(truth: dict, noise: float, seed: int = 1) -> list[dict]:
    """A detection for most objects, displaced, and some that find nothing."""
    rng, detections = np.random.default_rng(seed), []
    for a in truth["annotations"]:
        for displaced in (noise, 30.0):
            box = np.array(a["bbox"]) + rng.normal(0, displaced, 4) * (1, 1, 0, 0)
            score = float(rng.choice([0.3, 0.5, 0.7, 0.9]))  # with ties
            row = {"image_id": a["image_id"], "category_id": a["category_id"], "bbox": box.tolist(), "score": score}
            detections += [row] if rng.random() < 0.8 else []
    return detections


def test_all_images_once_give_the_ap_of_the_evaluation(truth, monkeypatch):
    """To the last digit but one, at each threshold, with crowds and equal scores."""
    detections = found(truth, 3)
    monkeypatch.setattr(bootstrap.np.random, "default_rng", lambda seed: Once())
    ap = resampled_ap(truth, detections, samples=1)
    metrics = evaluate(truth, detections)
    assert ap.mean() == pytest.approx(metrics["AP"], abs=1e-15)
    assert [ap[0, k] for k in (0, 5, 8)] == pytest.approx([metrics[k] for k in ("AP50", "AP75", "AP90")], abs=1e-15)


class Once:
    """Draws each image once."""

    def integers(self, images: int, size: tuple[int, int]) -> np.ndarray:
        return np.tile(np.arange(images), (size[0], 1))


def test_a_sample_is_the_evaluation_of_its_images(truth):
    """An image that was drawn twice counts as two images with the same objects and detections."""
    detections, samples = found(truth, 3), 5
    drawn = np.random.default_rng(7).integers(30, size=(samples, 30))
    for ap, images in zip(resampled_ap(truth, detections, samples=samples, seed=7), drawn + 1, strict=True):
        sample, rows = {"images": [], "annotations": [], "categories": truth["categories"]}, []
        for new, old in enumerate(images.tolist(), 1):
            sample["images"].append({"id": new, "width": 100, "height": 100})
            for a in (a for a in truth["annotations"] if a["image_id"] == old):
                sample["annotations"].append(a | {"image_id": new, "id": len(sample["annotations"]) + 1})
            rows += [d | {"image_id": new} for d in detections if d["image_id"] == old]
        # Not to the digit: the two halves of a pair of equal images come one after the other here, and at once there.
        assert ap.mean() == pytest.approx(evaluate(sample, rows)["AP"], abs=0.02)


def test_two_detectors_on_the_same_images_differ_by_less_than_each_varies(truth):
    """Of a detector and nearly the same one, the difference has a smaller standard error than the AP of either, and
    of a detector and itself none."""
    one, other = (resampled_ap(truth, found(truth, noise)).mean(axis=1) for noise in (3.0, 3.3))
    assert 0 < (one - other).std() < 0.5 * one.std()
    assert ((one - resampled_ap(truth, found(truth, 3.0)).mean(axis=1)) == 0).all()
