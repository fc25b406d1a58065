"""The benchmarks run, measure what they say, and keep it. How fast anything is, is not tested but measured."""

import json
import math
import signal
import time
from pathlib import Path

import pytest
import torch
from PIL import Image

from alrp_ref.data import CocoDataset
from benchmarks import bench, bench_data, bench_eval, bench_gpu, bench_loss, bench_peers, peers, pipelines, timing
from benchmarks.__main__ import main
from benchmarks.padded import padded_alrp_loss


@pytest.fixture
def small(monkeypatch):
    """Lists that take no time."""
    for name, value in {
        "SIZES": (3000,),
        "POSITIVES": (10, 20),
        "GROWTH": (1000, 2000),
        "MORE_POSITIVES": (10,),
    }.items():
        monkeypatch.setattr(bench_loss, name, value)
    monkeypatch.setattr(bench_eval, "IMAGES", 20)


@pytest.mark.slow
def test_the_loss_is_compared_with_a_sort_and_with_other_methods(small, capsys):
    """Every case has its row; ours and the pairs are the loop's loss and gradient, the buckets are not."""
    results = bench_loss.bench()
    assert {(row["logits"], row["positives"], row["stage"]) for row in results["sort"]} == {
        (3000, number, stage) for number in (10, 20) for stage in ("early", "middle", "late")
    }
    off = {}
    for row in results["methods"]:
        off.setdefault(row["method"], []).append(max(row["loss off"], row["gradient off"]))
    assert max(off["running sums"] + off["pairs"]) < 1e-12 < 1e-6 < min(off["buckets"])
    assert {row["time"] for row in results["methods"] if row["method"] == "running sums"} == {1.0}
    assert [row["logits"] for row in results["logits"]] == [1000, 2000]
    assert all(max(map(len, bench.table(rows).splitlines())) <= 80 for rows in bench_loss.tables(results).values())


@pytest.mark.parametrize("name", peers.LOSSES)
@pytest.mark.parametrize("ties", [False, True])
def test_the_loop_over_positives_is_exact(name, ties):
    """The loop's loss and gradient are those of this package to 1e-12, and so are rows taken seven at a time."""
    loss, rng = peers.LOSSES[name], torch.Generator().manual_seed(0)
    for _ in range(50):
        number = int(torch.randint(1, 20, (), generator=rng))
        logits = 2 * torch.randn(number + 60, generator=rng, dtype=torch.float64)
        numbers = torch.rand(number, generator=rng, dtype=torch.float64)
        if ties:
            logits, numbers = logits.round(), (4 * numbers).round() / 4
        s_pos, s_neg, targets = logits[:number], logits[number:], (torch.arange(number + 60) < number).to(torch.int8)
        value, grad = bench_peers.ours(name, logits, targets, numbers)
        for got in (
            peers.loop(loss, s_pos, s_neg, numbers),
            peers.by_rows(loss, s_pos, s_neg, torch.ones_like(s_neg), numbers, size=7),
        ):
            assert float(got.value) == pytest.approx(float(value), abs=1e-12)
            torch.testing.assert_close(torch.cat([got.on_pos, got.on_neg]), grad, atol=1e-12, rtol=0)


@pytest.mark.parametrize("name", peers.LOSSES)
def test_buckets_are_exact_for_a_step_that_is_hard(name):
    """With a half width below every distance of two scores buckets are exact; with the release's they are not."""
    logits = 3 * torch.randn(400, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    numbers = torch.rand(40, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    off = []
    for loss in (peers.LOSSES[name], peers.LOSSES[name]._replace(delta=1e-9)):
        exact, found = (way(loss, logits[:40], logits[40:], numbers) for way in (peers.loop, peers.buckets))
        off.append(max(float((a - b).abs().max()) for a, b in zip(exact, found, strict=True)))
    assert off[1] < 1e-12 < 1e-6 < off[0]


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
@pytest.mark.parametrize("number", [1, 20, 50])
def test_a_padded_list_has_the_loss_and_the_gradients_of_the_list(number, dtype):
    """With room for 50 positives, for 1, 20 and 50 of them: to 1e-15, or one unit of the last place of 16 bits. The
    errors that are padding get no gradient."""
    logits, targets = torch.randn(2000, dtype=dtype), (torch.arange(2000) < number).to(torch.int8)
    errors = torch.rand(50, dtype=dtype) * (torch.arange(50) < number)
    found = []
    for errors_of, loss in ((errors[:number], bench_loss.alrp_loss), (errors, padded_alrp_loss)):
        leaves = logits.clone().requires_grad_(), errors_of.clone().requires_grad_()
        cls, loc = loss(leaves[0], targets, leaves[1])[:2]
        (cls + 50 * loc).backward()
        found.append([cls, loc, leaves[0].grad, leaves[1].grad[:number]])
    for exact, padded in zip(*found, strict=True):
        torch.testing.assert_close(padded, exact, rtol=1e-15 if dtype == torch.float64 else 2**-7, atol=1e-15)
    assert not leaves[1].grad[number:].any()


def test_a_padded_list_refuses_more_positives_than_it_has_room_for():
    """And does not drop one: an error on a CPU."""
    with pytest.raises(ValueError, match="loc_errors must hold one number for each of the 3 positives"):
        padded_alrp_loss(torch.randn(10), (torch.arange(10) < 3).long(), torch.zeros(2))


def test_the_peers_are_measured(tmp_path):
    """Every loss has a row for each size, ours is compared with a sort, and the number of threads is what it was."""
    threads = torch.get_num_threads()
    assert main(["peers", "--quick", "--out", str(tmp_path)]) == 0
    results = json.loads((tmp_path / "peers.json").read_text())["results"]
    cases = {(row["logits"], row["positives"], row["loss"]) for row in results["peers"]}
    assert len(cases) == len(results["peers"]) == 18 and len(results["sort"]) == 3
    assert all(0 < row["loss off"] < 0.1 and 0 < row["gradient off"] < 1 for row in results["peers"])
    assert torch.get_num_threads() == threads


def test_evaluators_must_agree_before_their_times_count(small, capsys, monkeypatch):
    """AP of all three is one number; where it is not, there is no table."""
    rows = bench_eval.bench()["evaluators"]
    assert len({round(row["AP"], 12) for row in rows}) == 1 and rows[-1]["of pycocotools"] == 1
    monkeypatch.setitem(bench_eval.EVALUATORS, "hotcoco: AP", lambda truth, found: 0.5)
    with pytest.raises(AssertionError, match="hotcoco"):
        bench_eval.bench()


def test_medians_are_of_runs_taken_in_turn():
    """One round to warm up, then each function once a round."""
    calls = []
    took = timing.in_turn({"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, rounds=3)
    assert calls == ["a", "b"] * 4 and all(seconds > 0 for seconds in took.values())


def test_other_jobs_do_not_count_as_cpu_time():
    """A process that sleeps is not busy, one that runs for .2 s is."""

    def run() -> None:
        began = time.process_time()
        while time.process_time() < began + 0.2:
            pass

    assert timing.cpu_seconds(lambda: time.sleep(0.3)) < 0.1 < 0.2 <= timing.cpu_seconds(run)


@pytest.fixture
def white_object(tmp_path):
    """A data set of one picture: a white object on black, in a corner, so that its place tells left from right."""
    for folder in ("annotations", "train2017"):
        (tmp_path / folder).mkdir()
    picture = Image.new("RGB", (320, 240))
    picture.paste((255, 255, 255), (10, 20, 130, 110))
    picture.save(tmp_path / "train2017" / "1.png")
    content = {
        "images": [{"id": 1, "file_name": "1.png", "width": 320, "height": 240}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [10, 20, 120, 90]}],
        "categories": [{"id": 1, "name": "white"}],
    }
    (tmp_path / "annotations" / "instances_train2017.json").write_text(json.dumps(content))
    return CocoDataset(tmp_path, "train2017")


@pytest.mark.parametrize("name", pipelines.PIPELINES)
def test_every_pipeline_moves_the_box_with_its_object(white_object, name):
    """What is in the box is brighter than anything else, wherever colours, zoom, crop and flip have brought it."""
    if name == "albumentations":
        pytest.importorskip(name)
    torch.manual_seed(0)
    sample, boxes_seen = pipelines.PIPELINES[name](white_object, 64), set()
    for _ in range(40):
        image, boxes = sample(0)
        assert image.shape == (3, 64, 64) and len(boxes) <= 1
        for x1, y1, x2, y2 in boxes.tolist():
            assert 0 <= x1 <= x2 <= 64 and 0 <= y1 <= y2 <= 64
            inside = torch.zeros(64, 64, dtype=torch.bool)
            inside[math.ceil(y1) + 1 : int(y2) - 1, math.ceil(x1) + 1 : int(x2) - 1] = True
            near = torch.zeros(64, 64, dtype=torch.bool)
            near[max(0, int(y1) - 1) : math.ceil(y2) + 1, max(0, int(x1) - 1) : math.ceil(x2) + 1] = True
            grey = image.float().mean(dim=0)
            if inside.any() and not near.all():
                assert grey[inside].min() > grey[~near].max()
            boxes_seen.add((x1, y1, x2, y2))
    assert len(boxes_seen) > 10


def test_all_pipelines_read_the_same_pictures(tmp_path, monkeypatch):
    """Rows of every pipeline, faster ones with more images/s; one that is not installed says so; cores for each GPU."""

    def missing(data, side):
        raise ImportError("no such package")

    monkeypatch.setitem(pipelines.PIPELINES, "albumentations", missing)
    threads = torch.get_num_threads()
    bench_data.draw_pictures(tmp_path, 2)
    results = bench_data.bench(quick=True, coco=tmp_path)
    assert torch.get_num_threads() == threads and list(results) == [
        *("generated", "photographs", "samples", "worker", "cores")
    ]
    *rows, last = results["generated"]
    assert {row["pipeline"] for row in rows} == pipelines.PIPELINES.keys() - {"albumentations"}
    assert last == {"pipeline": "albumentations", "ms an image": "not installed", "images/s": "", "of ours": ""}
    assert all(row["ms an image"] * row["images/s"] == pytest.approx(1000) for row in rows) and rows[0]["of ours"] == 1
    (worker,) = results["worker"]
    for row in results["cores"]:
        assert row["ours"] == pytest.approx(row["images/s"] * worker["ms an image"] / 1000)
    assert len(bench_data.tables(results)) == 5


def hold(number: int):
    return lambda: bytearray(number)


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="on a CPU, memory is counted by Linux")
def test_extra_memory_is_that_of_the_function():
    """64 MiB that it takes and gives back are seen; what was there before is not."""
    assert timing.extra_memory(hold, 2**26) == pytest.approx(2**26, rel=0.05)


def test_results_are_kept(small, tmp_path, monkeypatch, capsys):
    """As JSON with the machine, and as tables between the marks of the README; elsewhere with --out."""
    (tmp_path / "README.md").write_text("before\n<!-- eval -->\nold\n<!-- end of eval -->\nafter\n")
    monkeypatch.setattr(bench, "HERE", tmp_path)
    bench.bench("eval", quick=False, out=None)
    readme = (tmp_path / "README.md").read_text()
    assert "old" not in readme and "pycocotools: AP" in readme
    assert readme.startswith("before\n<!-- eval -->") and readme.endswith("<!-- end of eval -->\nafter\n")
    assert set(json.loads((tmp_path / "results" / "eval.json").read_text())) == {"machine", "results"}
    assert main(["eval", "--quick", "--out", str(tmp_path / "there")]) == 0
    assert (tmp_path / "there" / "eval.json").is_file()
    assert (tmp_path / "README.md").read_text() == readme


def test_data_that_cannot_be_read_are_named(tmp_path, capsys):
    """A folder without a data set is one line on the error stream, and exit code 2."""
    assert main(["data", "--quick", "--coco", str(tmp_path)]) == 2
    assert str(tmp_path) in capsys.readouterr().err


@pytest.mark.slow
def test_the_training_step_can_be_measured(tmp_path):
    """`python -m benchmarks train --quick` measures a step on small images."""
    assert main(["train", "--quick", "--out", str(tmp_path)]) == 0
    results = json.loads((tmp_path / "train.json").read_text())["results"]
    assert {row["detector"] for row in results["steps"]} >= {"torchvision, focal", "ours, aLRP"}
    assert all(sum(v for v in row.values() if isinstance(v, float)) == pytest.approx(1) for row in results["parts"])


def test_the_page_of_the_papers_runs_shows_the_results():
    """The table of docs/log/paper_runs.md is that of the results, in fewer digits."""
    page = (bench.HERE.parent / "docs" / "log" / "paper_runs.md").read_text(encoding="utf-8")
    results = json.loads((bench.HERE / "results" / "full.json").read_text(encoding="utf-8"))["results"]["full"]
    columns = {
        "images a GPU": "d",
        "TFLOP an image": ".2f",
        "GiB a GPU": ".1f",
        "s an image here": ".1f",
        "hours, 4 V100": ".0f",
        "hours, 4 A100": ".0f",
    }
    assert len(results) == 14 and f"| recipe | {' | '.join(columns)} |" in page
    for row in results:
        cells = [f"`{row['recipe']}`", *(f"{row[name]:{digits}}" for name, digits in columns.items())]
        assert f"| {' | '.join(cells)} |" in page


def test_a_part_that_fails_is_reported_and_the_others_run(monkeypatch, capsys):
    """What there is so far is kept after each part; the last table says what went wrong."""

    def breaks(quick):
        raise RuntimeError("no such kernel\nand a long trace")

    monkeypatch.setattr(bench_gpu, "PARTS", {"loss": (breaks, 5), "loader": (lambda quick: [{"images/s": 7.0}], 5)})
    kept = []
    results = bench_gpu.bench(quick=True, keep=lambda so_far: kept.append((len(so_far["parts"]), "loader" in so_far)))
    assert kept == [(1, False), (2, True)]
    assert [row["outcome"] for row in results["parts"]] == ["RuntimeError: no such kernel", "done"]
    assert results["loader"] == [{"images/s": 7.0}] and results["goals"] == []
    assert list(bench_gpu.tables(results)) == [
        "Reading and augmenting images with all cores, without a model",
        "What the parts of this took",
    ]


@pytest.mark.skipif(not hasattr(signal, "SIGALRM"), reason="the system has no alarm")
def test_a_part_that_takes_too_long_is_stopped(monkeypatch, capsys):
    """The next one has its own time, and no alarm is left behind."""
    parts = {"loss": (lambda quick: time.sleep(20), 0.2), "loader": (lambda quick: [{"images/s": 7.0}], 5)}
    monkeypatch.setattr(bench_gpu, "PARTS", parts)
    results = bench_gpu.bench()
    assert [row["outcome"] for row in results["parts"]] == ["TookTooLong: over 0.2 s", "done"]
    assert signal.getitimer(signal.ITIMER_REAL) == (0, 0)


def test_goals_are_judged_by_the_worst_case():
    """Against the loop that of the most positives, the other goals over all rows of ours."""
    loss = [
        {"positives": 400, "loop": 60.0, "of a copy": 31.0},
        {"positives": 1000, "loop": 150.0, "of a copy": 20.0},
        {"positives": 1000, "loop": 120.0, "of a copy": 20.0},
    ]
    step = [
        {"detector": "torchvision, focal", "step": 1.0, "loss's share": ""},
        {"detector": "ours, focal", "step": 1.5, "loss's share": 0.1},
        {"detector": "ours, aLRP", "step": 0.9, "loss's share": 0.02},
    ]
    goals = bench_gpu._goals({"loss": loss, "step": step})
    assert [row["measured"] for row in goals] == [120.0, 31.0, 0.02, 0.9]
    assert [row["met"] for row in goals] == ["yes", "no", "yes", "yes"]


@pytest.mark.slow
def test_what_is_measured_on_a_gpu_can_be_tried_on_a_cpu(tmp_path):
    """Every part runs through, the losses are verified, and all limits together are below three minutes."""
    assert sum(most for _, most in bench_gpu.PARTS.values()) <= 180
    assert main(["gpu", "--quick", "--out", str(tmp_path)]) == 0
    results = json.loads((tmp_path / "gpu.json").read_text())["results"]
    assert {row["part"]: row["outcome"] for row in results["parts"]} == dict.fromkeys(bench_gpu.PARTS, "done")
    assert {row["passed"] for row in results["verify"]} == {"yes"} and results["tests"][0]["exit code"] == 0
    counted = {row["loss"]: row["operations"] for row in results["graph"]}
    assert len(counted) == 4 and min(counted.values()) > 0
    assert len(results["goals"]) == len(bench_gpu.GOALS) and len(results["step"]) == 6
