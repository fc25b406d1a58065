"""The benchmarks run, measure what they say, and keep it. How fast anything is, is not tested but measured."""

import json
from pathlib import Path

import bench
import bench_eval
import bench_loss
import pytest
import timing

from alrp_ref import cli


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
    assert cli.main(["bench", "eval", "--quick", "--out", str(tmp_path / "there")]) == 0
    assert (tmp_path / "there" / "eval.json").is_file()
    assert (tmp_path / "README.md").read_text() == readme


@pytest.mark.slow
def test_the_training_step_can_be_measured(tmp_path):
    """`alrp bench train`, on small images."""
    assert cli.main(["bench", "train", "--quick", "--out", str(tmp_path)]) == 0
    results = json.loads((tmp_path / "train.json").read_text())["results"]
    assert {row["detector"] for row in results["steps"]} >= {"torchvision, focal", "ours, aLRP"}
    assert all(sum(v for v in row.values() if isinstance(v, float)) == pytest.approx(1) for row in results["parts"])
