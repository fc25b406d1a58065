"""AP is pycocotools' to the last bit; optimal LRP is the LRP authors'; bad detections are named."""

import contextlib
import copy
import io
import json
import math
from pathlib import Path

import hotcoco
import numpy as np
import pytest
from data.fuzz import FUZZ, bboxes, change_of
from hypothesis import given
from hypothesis import strategies as st
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from alrp_ref.data.annotations.format import is_finite
from alrp_ref.data.annotations.normalise import Ids, id_order, normalised
from alrp_ref.evaluation import evaluate, ground_truth, precision_curves
from alrp_ref.evaluation.evaluate import AREAS, _matches
from alrp_ref.evaluation.metrics import METRICS
from alrp_ref.evaluation.olrp import optimal_lrp_by_class
from alrp_ref.evaluation.results import rows_of
from alrp_ref.machine.files import DataError

OFFICIAL = Path(__file__).parents[1] / "numbers" / "olrp"


def pycocotools(gt, detections):
    """The oracle."""
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = copy.deepcopy(gt) | {"info": {}}
        coco.createIndex()
        evaluator = COCOeval(coco, coco.loadRes(copy.deepcopy(detections)), "bbox")
        evaluator.evaluate()
        evaluator.accumulate()
        evaluator.summarize()
    return evaluator


def random_set(seed, images=6, categories=3):
    """Boxes of three sizes, a few crowds, and detections near them and anywhere, with many equal scores."""
    rng = np.random.default_rng(seed)
    annotations, detections = [], []
    for image_id in range(1, images + 1):
        for _ in range(rng.integers(0, 6)):
            wh = rng.choice([12, 50, 150]) * rng.uniform(0.5, 1.5, 2)
            box = [*rng.uniform(0, 200, 2), *wh]
            category_id = int(rng.integers(1, categories + 1))
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image_id,
                    "category_id": category_id,
                    "bbox": [float(v) for v in box],
                    "area": float(wh.prod() * rng.uniform(0.5, 1)),
                    "iscrowd": int(rng.random() < 0.1),
                }
            )
            for _ in range(rng.integers(0, 3)):
                near = np.array(box) + rng.normal(0, 0.1, 4) * [*wh, *wh]
                detections.append(detection(image_id, category_id, near.clip(0), rng.integers(1, 10) / 10))
        for _ in range(rng.integers(0, 4)):
            where = rng.uniform(1, 200, 4)
            detections.append(detection(image_id, int(rng.integers(1, categories + 1)), where, rng.random()))
    gt = {
        "images": [{"id": i, "width": 400, "height": 400, "file_name": f"{i}.jpg"} for i in range(1, images + 1)],
        "annotations": annotations,
        "categories": [{"id": c, "name": f"class {c}"} for c in range(1, categories + 1)],
    }
    return gt, detections


def detection(image_id, category_id, bbox, score):
    return {
        "image_id": image_id,
        "category_id": category_id,
        "bbox": [float(v) for v in bbox],
        "score": float(score),
    }


def brute_force_olrp(evaluator, category_index):
    """The least LRP over every threshold, from pycocotools' own matches: two loops and the definition."""
    images = len(evaluator.params.imgIds)
    start = category_index * len(evaluator.params.areaRng) * images  # area "all" comes first
    cells = [cell for cell in evaluator.evalImgs[start : start + images] if cell]
    num_gt = sum(int((1 - cell["gtIgnore"]).sum()) for cell in cells)
    if num_gt == 0:
        return math.nan
    found = []  # (score, 1 - IoU of a true positive or None)
    for cell in cells:
        ious = evaluator.ious[cell["image_id"], cell["category_id"]]
        gt_ids = [g["id"] for g in evaluator._gts[cell["image_id"], cell["category_id"]]]
        for row, score in enumerate(cell["dtScores"]):
            match = int(cell["dtMatches"][0, row])
            if not cell["dtIgnore"][0, row]:
                found.append((score, 1 - ious[row, gt_ids.index(match)] if match else None))
    found.sort(key=lambda one: -one[0])
    best = 1.0
    for cut in range(1, len(found) + 1):
        errors = [error for _, error in found[:cut] if error is not None]
        n_fp, n_fn = cut - len(errors), num_gt - len(errors)
        best = min(best, (sum(errors) / 0.5 + n_fp + n_fn) / (len(errors) + n_fp + n_fn))
    return best


@given(st.integers(0, 10**6))
def test_ap_equals_pycocotools(seed):
    """On random data the curves are pycocotools' bit by bit, and so is every AP and AR, also per class; AP is the mean
    of the curves."""
    gt, detections = random_set(seed)
    if not detections:
        return
    oracle = pycocotools(gt, detections)
    coco = hotcoco.COCO(ground_truth.read(gt).content)
    ours = hotcoco.COCOeval(coco, coco.load_res(detections), "bbox")
    ours.evaluate()
    ours.accumulate()
    for array in ("precision", "recall", "scores"):
        assert np.array_equal(ours.eval[array], oracle.eval[array])

    metrics = evaluate(gt, detections)
    names = ("AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR100")
    for name, expected in zip(names, oracle.stats, strict=False):
        assert metrics[name] == expected or (math.isnan(metrics[name]) and expected == -1)
    for k, one in enumerate(metrics.per_class.values()):
        precision = oracle.eval["precision"][:, :, k, 0, 2]
        assert one["AP"] == precision.mean() or (math.isnan(one["AP"]) and precision.max() == -1)
    if not math.isnan(metrics["AP"]):
        curves = precision_curves(gt, detections)
        assert curves.shape == (10, 101) and curves.mean() == pytest.approx(metrics["AP"], abs=1e-15)
    for name, area in (("APs", "small"), ("APm", "medium"), ("APl", "large")):
        if not math.isnan(metrics[name]):
            assert precision_curves(gt, detections, area).mean() == pytest.approx(metrics[name], abs=1e-15)


def test_an_area_that_does_not_exist_is_named():
    """The message lists the four areas."""
    with pytest.raises(ValueError, match="area must be one of all, small, medium, large; got 'tiny'"):
        precision_curves({"images": [], "annotations": [], "categories": []}, [], "tiny")


@given(st.integers(0, 10**6))
def test_olrp_equals_brute_force(seed):
    """For each class oLRP is the least LRP error over all thresholds, with pycocotools' matches."""
    gt, detections = random_set(seed)
    if not detections:
        return
    oracle, metrics = pycocotools(gt, detections), evaluate(gt, detections)
    values = [brute_force_olrp(oracle, k) for k in range(3)]
    ours = [one["oLRP"] for one in metrics.per_class.values()]
    assert ours == pytest.approx(values, abs=1e-12, nan_ok=True)
    defined = [value for value in values if not math.isnan(value)]
    assert metrics["oLRP"] == pytest.approx(np.mean(defined) if defined else math.nan, abs=1e-12, nan_ok=True)


@given(st.integers(0, 10**6))
def test_threshold_is_where_the_error_is_least(seed):
    """The detections from the LRP-optimal threshold up have the same oLRP as all of them."""
    gt, detections = random_set(seed)
    before = evaluate(gt, detections)
    ids = {c["name"]: c["id"] for c in gt["categories"]}
    threshold = {ids[name]: value for name, value in before.lrp_thresholds.items()}
    after = evaluate(gt, [d for d in detections if d["score"] >= threshold[d["category_id"]]])
    for name, one in before.per_class.items():
        if not math.isnan(before.lrp_thresholds[name]):
            assert after.per_class[name]["oLRP"] == pytest.approx(one["oLRP"], abs=1e-12)


@pytest.mark.parametrize("area", AREAS)
@pytest.mark.parametrize("dets", range(3), ids=["1", "10", "100"])
def test_official_olrp_of_each_class(area, dets):
    """oLRP, its parts and its threshold are the LRP authors' to 1e-9 for each class, area range and limit."""
    expected = json.loads((OFFICIAL / "expected.json").read_text())
    truth = ground_truth.read(OFFICIAL / "gt.json")
    rows = rows_of(json.loads((OFFICIAL / "dets.json").read_text()), truth)
    found = _matches(rows, ground_truth.objects_of(truth.content), area, (1, 10, 100)[dets])["first"]
    categories = [c["id"] for c in truth.content["categories"]]
    ours = dict(zip(categories, optimal_lrp_by_class(found, categories), strict=True))
    for name, field in (
        ("olrp", "olrp"),
        ("olrp_loc", "loc"),
        ("olrp_fp", "fp"),
        ("olrp_fn", "fn"),
        ("lrp_opt_thr", "threshold"),
    ):
        official = np.array(expected[name])[:, list(AREAS).index(area), dets]
        official[official == -1] = math.nan
        values = [float(getattr(ours[c], field)) for c in categories]
        assert values == pytest.approx(official, abs=1e-9, nan_ok=True), name


def test_official_olrp_stats():
    """All the numbers that the LRP authors' code prints for its means are ours to 1e-9."""
    metrics = evaluate(OFFICIAL / "gt.json", OFFICIAL / "dets.json")
    stats = json.loads((OFFICIAL / "expected.json").read_text())["stats"]
    names = ("AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR100")
    assert [metrics[name] for name in names] == pytest.approx(stats[:9], abs=1e-9)
    names = ("oLRP", "oLRP_loc", "oLRP_fp", "oLRP_fn")
    assert [metrics[name] for name in names] == pytest.approx(stats[12:16], abs=1e-9)


def test_the_published_example_of_the_coco_api(shared):
    """On COCO's 100 example images every printed number is met, and the LRP authors' to six digits."""
    folder = shared / "coco_fakebbox100"
    metrics = evaluate(folder / "instances_val2014_100.json", folder / "instances_val2014_fakebbox100_results.json")
    printed = {"AP": 0.505, "AP50": 0.697, "AP75": 0.573, "APs": 0.586, "APm": 0.519, "APl": 0.501}
    printed |= {"AR1": 0.387, "AR10": 0.594, "AR100": 0.595}
    assert {name: round(metrics[name], 3) for name in printed} == printed
    assert round(metrics["AP"], 6) == 0.504581
    olrp = {"oLRP": 0.501487, "oLRP_loc": 0.132969, "oLRP_fp": 0.127356, "oLRP_fn": 0.231174}
    assert {name: round(metrics[name], 6) for name in olrp} == olrp


IDS = {
    "from 0": (lambda i: i - 1, lambda c: c - 1),
    "negative": (lambda i: i - 100, lambda c: c - 2),
    "hashed": (lambda i: 2**63 + 2654435761 * i, lambda c: 2**70 + c),
    "floats": (float, float),
    "texts": ("img_{:03}".format, "class {:03}".format),
}


@pytest.mark.parametrize("image, category", IDS.values(), ids=list(IDS))
def test_every_metric_is_the_same_whatever_the_ids(image, category):
    """Of images, categories, annotations and detections; AP is pycocotools' on the same set with COCO's own ids."""
    gt, detections = random_set(3)
    plain, oracle = evaluate(gt, detections), pycocotools(gt, detections).stats
    others = {
        "images": [one | {"id": image(one["id"])} for one in gt["images"]],
        "annotations": [
            one | {"id": -one["id"], "image_id": image(one["image_id"]), "category_id": category(one["category_id"])}
            for one in gt["annotations"]
        ],
        "categories": [one | {"id": category(one["id"])} for one in gt["categories"]],
    }
    found = [d | {"image_id": image(d["image_id"]), "category_id": category(d["category_id"])} for d in detections]
    assert str(evaluate(others, found).to_dict()) == str(plain.to_dict())
    assert [plain[name] for name in ("AP", "AP50", "AP75")] == oracle[:3].tolist()


def test_detections_may_have_their_ids_in_another_form():
    """As texts where the ground truth has numbers, or as 1.0."""
    gt, detections = random_set(3)
    found = [d | {"image_id": str(d["image_id"]), "category_id": float(d["category_id"])} for d in detections]
    assert str(evaluate(gt, found).to_dict()) == str(evaluate(gt, detections).to_dict())


def test_annotations_and_detections_of_what_is_not_evaluated_do_not_count():
    """Boxes of an image that is not listed, and detections of a class that is only a heading."""
    gt, detections = random_set(3)
    plain = str(evaluate(gt, detections).to_dict())
    more = gt["annotations"] + [gt["annotations"][0] | {"id": 900, "image_id": 900}]
    for one in gt["categories"]:
        one["supercategory"] = "things"
    heading = {"id": 90, "name": "things", "supercategory": "none"}
    found = [*detections, detections[0] | {"category_id": 90}]
    gt = gt | {"annotations": more, "categories": [heading, *gt["categories"]]}
    assert str(evaluate(gt, found).to_dict()) == plain


NAMES = {
    "files": lambda i: f"photos/{i:06}.jpg",
    "names": lambda i: f"{i:06}.jpg",
    "stems": lambda i: f"{i:06}",
    "numbers": lambda i: i,
}


@pytest.mark.parametrize("name", NAMES.values(), ids=list(NAMES))
def test_the_name_of_a_file_may_stand_for_its_id(name):
    """The path, the name, the name without its suffix, or the number that this is, where ids are others."""
    gt, detections = random_set(3)
    plain = str(evaluate(gt, detections).to_dict())
    files = {one["id"]: f"photos/{one['id']:06}.jpg" for one in gt["images"]}
    images = [one | {"id": one["id"] + 1000, "file_name": files[one["id"]]} for one in gt["images"]]
    gt = gt | {
        "images": images,
        "annotations": [one | {"image_id": one["image_id"] + 1000} for one in gt["annotations"]],
    }
    assert str(evaluate(gt, [d | {"image_id": name(d["image_id"])} for d in detections]).to_dict()) == plain
    by_file = [
        d | {"image_id": -1, "file_name": files[d["image_id"]].upper().replace("JPG", "png").lower()}
        for d in detections
    ]
    assert str(evaluate(gt, by_file).to_dict()) == plain


def test_a_detection_of_another_file_than_its_image_is_refused():
    """Numbers in file names are taken for ids by many programs, and may be those of other images."""
    gt, detections = random_set(3)
    last = len(gt["images"]) + 1
    found = [d | {"image_id": last - d["image_id"], "file_name": f"{d['image_id']}.jpg"} for d in detections]
    first = detections[0]["image_id"]
    with pytest.raises(
        ValueError, match=rf"detections\[0\] is of {first}.jpg, but image {last - first} is {last - first}.jpg"
    ):
        evaluate(gt, found)


def test_masks_are_refused_by_name():
    """Detections without boxes."""
    rows = [{"image_id": 1, "category_id": 2, "score": 0.5, "segmentation": {}}]
    with pytest.raises(ValueError, match="lacks bbox and has segmentation, but only boxes are evaluated"):
        evaluate(TOY_GT, rows)


def as_detections(gt):
    """The ground truth itself."""
    return [detection(a["image_id"], a["category_id"], a["bbox"], 0.9) for a in gt["annotations"]]


def crowded(number):
    """An image with so many objects of a class, one beside the other."""
    boxes = [[30.0 * (n % 40), 30.0 * (n // 40), 25.0, 25.0] for n in range(number)]
    return TOY_GT | {
        "images": [{"id": 1, "width": 1200, "height": 1200, "file_name": "1.jpg"}],
        "annotations": [{"image_id": 1, "category_id": 2, "bbox": box} for box in boxes],
    }


def test_more_objects_than_detections_count_are_named_and_a_higher_limit_finds_them():
    """One warning with the limit that counts all; at 100 pycocotools says the same."""
    gt = crowded(150)
    with pytest.warns(
        UserWarning, match="1 images hold more objects of a class, up to 150: 50 of 150 .*=150"
    ) as warned:
        metrics = evaluate(gt, as_detections(gt))
    assert len(warned) == 1 and metrics["AR100"] == pytest.approx(2 / 3) and metrics["oLRP"] == pytest.approx(1 / 3)
    all_of_them = evaluate(gt, as_detections(gt), max_detections=150)
    assert all_of_them["AP"] == all_of_them["AR150"] == 1 and all_of_them["oLRP"] == 0 and "AR100" not in all_of_them
    assert "maxDets=150" in str(all_of_them)


@pytest.mark.parametrize("area", [-1, math.inf, math.nan, 10**400], ids=str)
def test_an_area_that_cannot_be_is_that_of_the_box(area):
    """The same metrics as without an area, and a warning."""
    gt, _ = random_set(3)
    without = [{k: v for k, v in a.items() if k != "area"} for a in gt["annotations"]]
    plain = evaluate(gt | {"annotations": without}, as_detections(gt))
    gt["annotations"] = [a | {"area": area} for a in without]
    with pytest.warns(UserWarning, match=f"{len(without)} areas are negative or not finite"):
        assert str(evaluate(gt, as_detections(gt)).to_dict()) == str(plain.to_dict())


@pytest.mark.parametrize("factor", [0.0, 16.0])
def test_an_area_that_is_not_that_of_its_box_is_used_and_named(factor):
    """0 for all, and the area in an image of four times the width."""
    gt, _ = random_set(3)
    for one in gt["annotations"]:
        one["area"] *= factor
    with pytest.warns(UserWarning, match="areas do not belong to their box, such as"):
        evaluate(gt, as_detections(gt))


FORMS = {
    "x1, y1, x2, y2": lambda x, y, w, h: [x, y, x + w, y + h],
    "centre x, centre y, width, height": lambda x, y, w, h: [x + w / 2, y + h / 2, w, h],
    "x, y, width, height in fractions of the image": lambda *box: [side / 400 for side in box],
    "x, y, width, height in pixels of an input of 640 x 640": lambda *box: [side * 1.6 for side in box],
    "centre x, centre y, width, height in percent of the image": lambda x, y, w, h: [
        (x + w / 2) / 4,
        (y + h / 2) / 4,
        w / 4,
        h / 4,
    ],
}


@pytest.mark.parametrize("form", FORMS)
def test_boxes_in_another_form_are_asked_about(form):
    """The warning names the form in which they find the objects."""
    gt, _ = random_set(3, images=12)
    found = [d | {"bbox": FORMS[form](*d["bbox"])} for d in as_detections(gt)]
    with pytest.warns(UserWarning, match=f"if they are {form}: are they"):
        evaluate(gt, found)


@given(st.integers(0, 10**6))
def test_a_size_alone_is_that_size_in_the_table(seed):
    """With `area`, AP and oLRP are those of the objects of this size."""
    gt, detections = random_set(seed)
    plain = evaluate(gt, detections)
    for size in ("small", "medium", "large"):
        alone = evaluate(gt, detections, area=size)
        for name in ("AP", "oLRP"):
            assert alone[name] == pytest.approx(plain[name + size[0]], abs=0, nan_ok=True)


def test_lrp_at_a_threshold_is_the_optimum_where_that_is_best():
    """At the best threshold of its class; elsewhere it is larger, and it is 1 where nothing is left."""
    gt, detections = random_set(3)
    for name, best in evaluate(gt, detections).lrp_thresholds.items():
        at = evaluate(gt, detections, threshold=best).per_class[name]
        assert [at[part] for part in ("LRP", "LRP_loc", "LRP_fp", "LRP_fn")] == [
            pytest.approx(at[part], abs=1e-12) for part in ("oLRP", "oLRP_loc", "oLRP_fp", "oLRP_fn")
        ]
    nothing = evaluate(gt, detections, threshold=2.0)
    assert nothing["LRP"] == nothing["LRP_fn"] == 1 and math.isnan(nothing["LRP_fp"])
    assert str(nothing).splitlines()[-4].startswith("LRP  ")


TOY_GT = {
    "images": [{"id": 1, "width": 100, "height": 100, "file_name": "1.jpg"}],
    "annotations": [
        {"image_id": 1, "category_id": 2, "bbox": [0, 0, 50, 50], "area": 2500, "iscrowd": 0},
        {"image_id": 1, "category_id": 2, "bbox": [60, 60, 20, 20], "area": 400, "iscrowd": 0},
    ],
    "categories": [{"id": 2, "name": "cat"}, {"id": 5, "name": "dog"}],
}


def test_toy_example_by_hand():
    """One box found with IoU 0.8, one missed, one false alarm below: oLRP = (0.2/0.5 + 0 + 1)/2 = 0.7."""
    detections = [detection(1, 2, [0, 0, 50, 40], 0.9), detection(1, 2, [0, 90, 5, 5], 0.4)]
    metrics = evaluate(TOY_GT, detections)
    assert metrics.per_class["cat"]["oLRP"] == pytest.approx(0.7)
    parts = [metrics[name] for name in ("oLRP_loc", "oLRP_fp", "oLRP_fn")]
    assert parts == pytest.approx([0.2, 0.0, 0.5])
    assert metrics.lrp_thresholds["cat"] == 0.9
    assert metrics["AP90"] == 0 and metrics["AP50"] > 0.5
    assert all(math.isnan(value) for value in metrics.per_class["dog"].values())


def test_a_match_that_is_just_good_enough_counts():
    """A detection with IoU exactly 0.5 is a true positive with error 1: oLRP 1, but found."""
    found = evaluate(TOY_GT, [detection(1, 2, [0, 0, 50, 25], 0.9)])
    assert found["oLRP_loc"] == 0.5 and found["oLRP"] == 1.0 and found["oLRP_fn"] == 0.5


def test_no_detections():
    """An empty list has AP 0 and oLRP 1."""
    metrics = evaluate(TOY_GT, [])
    assert metrics["AP"] == 0 and metrics["AR100"] == 0 and metrics["oLRP"] == 1 and metrics["oLRP_fn"] == 1


def test_no_ground_truth():
    """Without any box there is nothing to say: every metric is NaN."""
    metrics = evaluate(TOY_GT | {"annotations": []}, [detection(1, 2, [0, 0, 5, 5], 0.5)])
    assert all(math.isnan(value) for value in metrics.values())


def test_files_and_contents_are_the_same(tmp_path):
    """evaluate takes either a path or what the file holds."""
    detections = [detection(1, 2, [0, 0, 50, 40], 0.9)]
    (tmp_path / "gt.json").write_text(json.dumps(TOY_GT))
    (tmp_path / "dets.json").write_text(json.dumps(detections))
    from_files = evaluate(tmp_path / "gt.json", str(tmp_path / "dets.json"))
    assert str(from_files.to_dict()) == str(evaluate(TOY_GT, detections).to_dict())


def test_evaluation_is_silent(capfd):
    """The evaluation prints nothing."""
    evaluate(TOY_GT, [detection(1, 2, [0, 0, 50, 40], 0.9)])
    assert capfd.readouterr() == ("", "")


def test_metrics_print_as_a_table_and_go_into_json():
    """The table has a row for each metric, in 80 columns; to_dict survives JSON, with null for undefined."""
    metrics = evaluate(TOY_GT, [detection(1, 2, [0, 0, 50, 40], 0.9)])
    lines = str(metrics).splitlines()
    assert len(lines) == len(metrics) == len(METRICS) == 17 and max(map(len, lines)) <= 80
    assert lines[0].startswith("Average Precision  (AP) @[ IoU=0.50:0.95 | area=   all | maxDets=100 ] = 0.")
    back = json.loads(json.dumps(metrics.to_dict(), allow_nan=False))
    assert back["oLRP"] == metrics["oLRP"] and back["per_class"]["cat"]["AP"] == metrics["AP"]
    assert back["per_class"]["dog"]["AP"] is None and back["lrp_thresholds"]["dog"] is None


@pytest.mark.parametrize("side", [math.nan, math.inf, 10**400])
def test_a_box_that_is_not_finite_is_not_there(side):
    """pycocotools lets any detection find a box whose height is NaN; here it counts for nothing, first or last."""
    detections = [detection(1, 2, [0, 0, 50, 40], 0.9), detection(1, 2, [0, 0, 1, 1], 0.4)]
    broken = TOY_GT["annotations"][0] | {"bbox": [0, 0, 1, side]}
    for annotations in ([broken, *TOY_GT["annotations"]], [*TOY_GT["annotations"], broken]):
        found = evaluate(TOY_GT | {"annotations": annotations}, detections)
        assert str(found.to_dict()) == str(evaluate(TOY_GT, detections).to_dict())


GOOD = detection(1, 2, [0, 0, 5, 5], 0.5)


@pytest.mark.parametrize(
    ("bad", "complaint"),
    [
        (GOOD | {"image_id": 77}, "has the unknown image_id 77"),
        (GOOD | {"category_id": 77}, "has the unknown category_id 77"),
        (GOOD | {"image_id": [1]}, r"has the unknown image_id \[1\]"),
        (GOOD | {"score": math.nan}, "has a score that is not a finite number"),
        (GOOD | {"score": 10**400}, "has a score that is not a finite number"),
        (GOOD | {"score": "high"}, "has a score that is not a finite number"),
        (GOOD | {"bbox": [0, 0, 5]}, "has a bbox that is not"),
        (GOOD | {"bbox": [0, 0, -5, 5]}, "has a bbox that is not"),
        (GOOD | {"bbox": [0, 0, math.inf, 5]}, "has a bbox that is not"),
        (GOOD | {"bbox": None}, "has a bbox that is not"),
        ({"image_id": 1, "score": 0.5}, "lacks bbox, category_id"),
        ([1, 2, 0.5], "is not a dictionary"),
    ],
)
def test_a_bad_detection_is_named(bad, complaint):
    """A malformed detection is a ValueError with its place in the list and what is wrong."""
    with pytest.raises(ValueError, match=r"detections\[1\] " + complaint):
        evaluate(TOY_GT, [GOOD, bad])


def test_detections_must_be_a_list():
    """A dictionary in place of the list is refused."""
    with pytest.raises(ValueError, match="must be a list of dictionaries, got dict"):
        evaluate(TOY_GT, {"annotations": []})


def test_bad_files_are_named(tmp_path):
    """A missing file, one that is not JSON and ground truth that is not COCO are named."""
    path = tmp_path / "file.json"
    for gt, detections in ((path, []), (TOY_GT, path)):
        with pytest.raises(DataError, match=r"file\.json is missing"):
            evaluate(gt, detections)
    path.write_text("{")
    with pytest.raises(DataError, match=r"file\.json is not JSON"):
        evaluate(path, [])
    for content in ("[]", '{"images": []}', '{"images": [{}], "annotations": [], "categories": []}'):
        path.write_text(content)
        with pytest.raises(DataError, match=r"file\.json is not COCO ground truth"):
            evaluate(path, [])
    broken = TOY_GT["annotations"][0] | {"bbox": [1, 2, 3]}
    with pytest.raises(DataError, match=r"gt is not COCO ground truth: annotations\[0\] has a bbox"):
        evaluate(TOY_GT | {"annotations": [broken]}, [])


@st.composite
def sets(draw):
    """A small data set and detections, of which up to three entries may be anything."""
    content = copy.deepcopy(TOY_GT)
    content["annotations"][1]["bbox"] = draw(bboxes)
    corners = st.lists(st.floats(0, 60), min_size=4, max_size=4)
    found = st.builds(detection, st.just(1), st.sampled_from([2, 5]), corners, st.floats(-2, 2))
    detections = draw(st.lists(found, max_size=5))
    for _ in range(draw(st.integers(0, 3))):
        draw(change_of(draw(st.sampled_from([*content.values(), detections, detections]))))
    return content, detections


def with_numbers(gt, detections):
    """Both with ids that pycocotools can sort and find: whole numbers in the order of the ids that are meant."""
    content, _ = normalised(gt)
    for key, name in (("images", "image_id"), ("categories", "category_id")):
        ids = Ids(one["id"] for one in content[key])
        number = {id: n for n, id in enumerate(sorted(ids.known, key=id_order), 1)}
        for one in content[key]:
            one["id"] = number[one["id"]]
        for one in [*content["annotations"], *detections]:
            one[name] = number.get(ids.find(one[name]), 0)
    return content, detections


@pytest.mark.filterwarnings("ignore::UserWarning")  # of areas, limits and boxes
@FUZZ
@given(sets())
def test_whatever_it_is_given_the_evaluation_refuses_or_agrees_with_pycocotools(both):
    """Annotations and detections of any kind are a DataError or ValueError, or every number is pycocotools' or NaN."""
    gt, detections = both
    try:
        metrics = evaluate(copy.deepcopy(gt), copy.deepcopy(detections))
    except (DataError, ValueError):
        return
    for name, value in metrics.overall.items():
        assert math.isnan(value) or 0 <= value <= 1, name
    if detections:
        # What anything finds, for pycocotools; what it needs; and scores that are true or false, which it cannot sort.
        gt, detections = with_numbers(gt, detections)
        gt["annotations"] = [one for one in gt["annotations"] if all(map(is_finite, one["bbox"]))]
        for number, one in enumerate(gt["annotations"], 1):
            area = one.get("area", -1)
            area = area if is_finite(area) and area >= 0 else one["bbox"][2] * one["bbox"][3]
            one.update(id=number, iscrowd=one.get("iscrowd", 0), area=area)
        for one in detections:
            one["score"] = float(one["score"])
        expected = pycocotools(gt, detections).stats
        for name, value in zip(("AP", "AP50", "AP75"), expected, strict=False):
            assert metrics[name] == value or (math.isnan(metrics[name]) and value == -1)
