"""The interactive pictures' JavaScript: its losses are those of the package, and its modules need nothing else."""

import csv
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torchvision.ops import sigmoid_focal_loss

import alrp_ref
from alrp_ref.paper import pairwise
from alrp_ref.paper.error_driven import theorem_2
from benchmarks import peers

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "notebooks"))

import interactive  # noqa: E402

FOLDER = ROOT / "notebooks" / "interactive"
NODE = shutil.which("node")
needs_node = pytest.mark.skipif(NODE is None, reason="needs Node.js: apt-get install nodejs")


def javascript(expression: str, cases: list, module: str = "losses") -> list:
    """What `expression`, a function of one case, gives for each; the names that the module exports are known in it."""
    script = f"""
        import * as module from "{(FOLDER / f"{module}.js").as_uri()}";
        import {{ readFileSync }} from "node:fs";
        const {{ {", ".join(exported(module))} }} = module;
        const found = JSON.parse(readFileSync(0)).map({expression});
        console.log(JSON.stringify(found));"""
    command = [NODE, "--input-type=module", "--eval", script]
    run = subprocess.run(command, input=json.dumps(cases), capture_output=True, text=True, timeout=60)
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


def exported(module: str) -> list[str]:
    return re.findall(r"^export (?:const|function) (\w+)", (FOLDER / f"{module}.js").read_text(), re.MULTILINE)


def lists(number: int = 300) -> list[dict]:
    """Random lists of a few positives and negatives, in every second one with many ties, at several deltas."""
    rng = torch.Generator().manual_seed(0)
    found = []
    for k in range(number):
        num_pos, num_neg = int(torch.randint(1, 9, (), generator=rng)), int(torch.randint(0, 13, (), generator=rng))
        scores = 3 * torch.randn(num_pos + num_neg, generator=rng, dtype=torch.float64)
        if k % 2:
            scores = scores.round()
        errors = 2 * torch.rand(num_pos, generator=rng, dtype=torch.float64)
        delta = (0.05, 0.5, 1.0, 3.0)[k // 2 % 4]
        pos, neg = scores[:num_pos].tolist(), scores[num_pos:].tolist()
        found.append({"pos": pos, "neg": neg, "errors": errors.tolist(), "delta": delta})
    return found


def logits_and_targets(case: dict) -> tuple[torch.Tensor, torch.Tensor]:
    logits = torch.tensor(case["pos"] + case["neg"], dtype=torch.float64, requires_grad=True)
    return logits, torch.tensor([1] * len(case["pos"]) + [0] * len(case["neg"]))


def assert_same(got: dict, value: torch.Tensor, logits: torch.Tensor) -> None:
    """Value and gradient are those of Python to 1e-12."""
    expected = [value.item(), *logits.grad.tolist()]
    assert [got["value"], *got["pos"], *got["neg"]] == pytest.approx(expected, abs=1e-12, rel=1e-12)


@needs_node
@pytest.mark.parametrize("interpolated", [False, True])
def test_ap_loss_in_javascript_is_that_of_pairwise(interpolated):
    """AP Loss and its gradient are those of `pairwise` on 300 random lists, ties included, to 1e-12."""
    call = f"({{pos, neg, delta}}) => apLoss(pos, neg, {{delta, interpolated: {json.dumps(interpolated)}}})"
    for case, got in zip(lists(), javascript(call, lists()), strict=True):
        logits, targets = logits_and_targets(case)
        loss = pairwise.ap_loss(logits, targets, delta=case["delta"], interpolated=interpolated)
        loss.backward()
        assert_same(got, loss, logits)


@needs_node
def test_alrp_loss_in_javascript_is_that_of_pairwise():
    """aLRP Loss, its parts, ranks and all gradients are those of `pairwise` on 300 random lists, to 1e-12."""
    call = "({pos, neg, errors, delta}) => alrpLoss(pos, neg, errors, {delta})"
    for case, got in zip(lists(), javascript(call, lists()), strict=True):
        logits, targets = logits_and_targets(case)
        errors = torch.tensor(case["errors"], dtype=torch.float64, requires_grad=True)
        out = pairwise.alrp_loss(logits, targets, errors, delta=case["delta"])
        (out.cls + out.loc).backward()
        assert_same(got, out.cls + out.loc, logits)
        assert got["boxes"] == pytest.approx(errors.grad.tolist(), abs=1e-12)
        assert [got["cls"], got["loc"]] == pytest.approx([out.cls.item(), out.loc.item()], abs=1e-12)
        assert [row["rank"] for row in got["rows"]] == pytest.approx(out.rank.tolist(), abs=1e-12)


@needs_node
def test_rank_sort_loss_in_javascript_is_that_of_pairwise():
    """RS Loss, its two parts and its gradient are those of `pairwise` on 300 random lists, equal IoUs included."""
    cases = [case | {"ious": [round(8 * (1 - e / 2)) / 8 for e in case["errors"]]} for case in lists()]
    call = "({pos, neg, ious, delta}) => rankSortLoss(pos, neg, ious, {delta})"
    for case, got in zip(cases, javascript(call, cases), strict=True):
        logits, targets = logits_and_targets(case)
        ious = torch.tensor(case["ious"], dtype=torch.float64)
        out = pairwise.rank_sort_loss(logits, targets, ious, delta=case["delta"])
        out.ranking.backward()
        assert_same(got, out.ranking + out.sorting, logits)
        assert [got["ranking"], got["sorting"]] == pytest.approx([out.ranking.item(), out.sorting.item()], abs=1e-12)


@needs_node
def test_buckets_in_javascript_are_those_of_the_benchmark():
    """AP Loss of the negatives' buckets is that of `benchmarks.peers` on 300 random lists, to 1e-12."""
    call = "({pos, neg, delta}) => apLoss(pos, bucketMeans(pos, neg), {delta})"
    for case, got in zip(lists(), javascript(call, lists()), strict=True):
        pos, neg, errors = (torch.tensor(case[name], dtype=torch.float64) for name in ("pos", "neg", "errors"))
        plain = peers.LOSSES["AP"]._replace(delta=case["delta"], interpolated=False)
        expected = peers.buckets(plain, pos, neg, errors)
        assert got["value"] == pytest.approx(expected.value.item(), abs=1e-12)
        assert got["pos"] == pytest.approx(expected.on_pos.tolist(), abs=1e-12)
        assert got["neg"] == pytest.approx(expected.on_neg.tolist(), abs=1e-12)


@needs_node
def test_cross_entropy_and_focal_loss_in_javascript_are_pytorchs():
    """Cross entropy and focal loss with their gradients are those of PyTorch and torchvision to 1e-12."""
    call = "({pos, neg}) => [crossEntropy(pos, neg), focalLoss(pos, neg)]"
    for case, (entropy, focal) in zip(lists(), javascript(call, lists()), strict=True):
        logits, targets = logits_and_targets(case)
        loss = F.binary_cross_entropy_with_logits(logits, targets.double())
        loss.backward()
        assert_same(entropy, loss, logits)
        logits, targets = logits_and_targets(case)
        loss = sigmoid_focal_loss(logits, targets.double(), reduction="sum") / len(case["pos"])
        loss.backward()
        assert_same(focal, loss, logits)


@needs_node
def test_errors_of_boxes_in_javascript_are_those_of_the_package():
    """IoU's and GIoU's error are the package's to 1e-12, their gradients to 1e-6, on 200 pairs of boxes."""
    corners = torch.rand(200, 2, 2, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    boxes = torch.cat([corners.amin(2), corners.amax(2) + 0.1], 2)
    call = '([a, b]) => ({...boxError(a, b), iou: pull(a, b, "iouError"), giou: pull(a, b, "giouError")})'
    found = javascript(call, boxes.tolist())
    for name in ("iou", "giou"):
        pred = boxes[:, 0].clone().requires_grad_()
        error = getattr(alrp_ref, f"{name}_error")(pred, boxes[:, 1])
        error.sum().backward()
        assert [got[f"{name}Error"] for got in found] == pytest.approx(error.tolist(), abs=1e-12)
        for got, expected in zip(found, pred.grad.tolist(), strict=True):
            assert got[name] == pytest.approx(expected, abs=1e-5, rel=1e-5)


@needs_node
def test_lrp_in_javascript_is_that_of_the_package():
    """The smallest LRP over all cuts of a list is oLRP, on 100 random lists."""
    rng, cases = torch.Generator().manual_seed(0), []
    for _ in range(100):
        ious = torch.rand(8, dtype=torch.float64, generator=rng) * (torch.rand(8, generator=rng) < 0.7)
        cases.append({"ious": ious.tolist(), "objects": 9})
    call = "({ious, objects}) => Math.min(...ious.map((_, k) => lrp(ious.slice(0, k + 1), objects).value))"
    for case, got in zip(cases, javascript(call, cases), strict=True):
        expected = alrp_ref.optimal_lrp(torch.arange(8, 0, -1), torch.tensor(case["ious"], dtype=torch.float64), 9).olrp
        assert got == pytest.approx(float(expected), abs=1e-12)


@needs_node
def test_figure_1_in_javascript_is_as_printed():
    """Cross entropy, AP Loss, aLRP Loss and the four APs of Figure 1's three detectors are the paper's."""
    from figures.fig1 import IOUS, POSITIVES, PRINTED

    call = """(ious) => {
        const ranked = [...Array(10).keys()];
        const at = (t) => averagePrecision(ranked.map((k) => +(ious[k] >= t)), 5);
        const pos = ranked.filter((k) => ious[k]).map((k) => (10 - k) / 10);
        const neg = ranked.filter((k) => !ious[k]).map((k) => (10 - k) / 10);
        const errors = ious.filter((v) => v).map((v) => 2 * (1 - v));
        return [...[0.5, 0.65, 0.8, 0.95].map(at), apLoss(pos, neg, {delta: 0.05}).value,
                alrpLoss(pos, neg, errors, {delta: 0.05}).value]; }"""
    cases = []
    for ious in IOUS.values():
        of_anchor = dict(zip(POSITIVES, ious, strict=True))
        cases.append([of_anchor.get(k, 0) for k in range(10)])
    for got, printed in zip(javascript(call, cases), PRINTED.values(), strict=True):
        assert got == pytest.approx([*printed[:4], printed[6], printed[9]], abs=0.0051)


@needs_node
def test_precision_under_a_moving_negative_is_that_of_pairwise():
    """In chapter 01's picture H, N_FP, rank and precision are `pairwise`'s at nine scores and four widths, to 1e-12."""
    pos, cases = torch.tensor([3.0, 1.2, 0.0], dtype=torch.float64), []
    for delta in (0.01, 0.5, 1.0, 5.0):
        cases += [[negative, delta] for negative in torch.linspace(-3, 5, 9).tolist()]
    got = javascript("([negative, delta]) => counts(negative, delta)", cases, "precision")
    for (negative, delta), rows in zip(cases, got, strict=True):
        neg = torch.tensor([negative, 0.9, -1.0, -2.5], dtype=torch.float64)
        rank = pairwise.rank(pos, neg, delta)
        columns = {
            "h": pairwise.step(neg[0] - pos, delta),
            "nFP": pairwise.n_fp(pos, neg, delta),
            "rank": rank,
            "precision": pairwise.rank_pos(pos, delta) / rank,
        }
        for name, expected in columns.items():
            assert [row[name] for row in rows] == pytest.approx(expected.tolist(), abs=1e-12), name


@needs_node
def test_losses_of_a_worse_box_are_those_of_the_package():
    """In chapter 05's picture the parts of aLRP Loss, the LRP errors and cross entropy + smooth L1 are Python's."""
    scores, targets = torch.arange(10, 0, -1, dtype=torch.float64) / 10, torch.tensor([1, 0, 1, 0, 0, 1, 0, 0, 0, 1])
    cases = [[best, 0.8, 0.65, worst] for best in (0.5, 0.55, 0.95, 1) for worst in (0.5, 0.9, 1)]
    for ious, got in zip(cases, javascript("(ious) => losses(ious)", cases, "worse"), strict=True):
        iou = torch.tensor(ious, dtype=torch.float64)
        out = alrp_ref.alrp_loss(scores, targets, 2 * (1 - iou), delta=0.05)
        deltas = torch.zeros(4, 4, dtype=torch.float64)
        deltas[:, 0] = 10 * (1 - iou) / (1 + iou)
        usual = F.binary_cross_entropy(scores, targets.double()) + F.smooth_l1_loss(deltas, torch.zeros_like(deltas))
        expected = [float(x) for x in (out.cls, out.loc, out.cls + out.loc, usual)]
        assert [got[name] for name in ("cls", "loc", "alrp", "usual")] == pytest.approx(expected, abs=1e-12)
        assert sum(sum(parts.values()) for parts in got["errors"]) / 4 == pytest.approx(expected[2], abs=1e-12)
        own = 2 * (1 - iou) / out.rank
        assert [parts["own"] for parts in got["errors"]] == pytest.approx(own.tolist(), abs=1e-12)


@needs_node
def test_the_two_parts_of_the_lift_in_javascript_are_those_of_the_package():
    """In chapter 06's picture lift by negatives and by boxes is `pairwise`'s to 1e-12, and adds up to the gradient."""
    pos, cases = torch.tensor([3.0, 1.0, -1.0], dtype=torch.float64), []
    for negative in (-3.0, 0.9, 2.2, 4.5):
        cases += [[errors, negative] for errors in ([0.8, 0.3, 0.2], [0, 0, 0], [2, 1.5, 0.1])]
    for (errors, negative), got in zip(
        cases, javascript("([errors, negative]) => gradients(errors, negative)", cases, "knobs"), strict=True
    ):
        neg = torch.tensor([negative, 1.6, 0.4, -0.2, -2.5], dtype=torch.float64)
        rank, e_loc = pairwise.rank(pos, neg), torch.tensor(errors, dtype=torch.float64)
        by_boxes = pairwise.others_above(pos) @ e_loc / rank / 3
        assert got["byNegatives"] == pytest.approx((pairwise.n_fp(pos, neg) / rank / 3).tolist(), abs=1e-12)
        assert got["byBoxes"] == pytest.approx(by_boxes.tolist(), abs=1e-12)
        lift = [a + b for a, b in zip(got["byNegatives"], got["byBoxes"], strict=True) if a > 1e-5]
        assert lift == pytest.approx([-g for g in got["pos"] if g], abs=1e-12)


@needs_node
@pytest.mark.parametrize("name", ["cross entropy", "AP Loss", "aLRP Loss"])
def test_the_training_of_r3_in_javascript_is_that_of_the_package(name):
    """Each of 30 steps in chapter 06's picture is gradient descent by PyTorch's gradients, to 1e-9."""
    scores = torch.tensor([0.95, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1], dtype=torch.float64).logit()
    targets = torch.tensor([1, 0, 1, 0, 0, 1, 0, 0, 0, 1])
    ious, rate = torch.tensor([0.5, 0.65, 0.8, 0.95], dtype=torch.float64), None
    for state in javascript("(name) => steps(name)", [name], "descent")[0]:
        assert state["pos"] == pytest.approx(scores[targets == 1].tolist(), abs=1e-9)
        assert state["neg"] == pytest.approx(scores[targets == 0].tolist(), abs=1e-9)
        assert state["ious"] == pytest.approx(ious.tolist(), abs=1e-9)
        z, errors = scores.clone().requires_grad_(), (2 * (1 - ious)).requires_grad_()
        if name == "cross entropy":
            F.binary_cross_entropy_with_logits(z, targets.double()).backward()
        elif name == "AP Loss":
            pairwise.ap_loss(z, targets, interpolated=False).backward()
        else:
            out = pairwise.alrp_loss(z, targets, errors)
            (out.cls + out.loc).backward()
        pull = torch.ones(4, dtype=torch.float64) if errors.grad is None else errors.grad
        rate = 1.6 / z.grad.abs().sum() if rate is None else rate
        scores, ious = scores - rate * z.grad, (ious + 0.035 * pull / pull.sum()).clamp(max=1)


@needs_node
def test_average_precision_of_r3_in_javascript_is_the_papers():
    """The AP of R3 before its first step is the one that Figure 1 prints, to its two digits."""
    from figures.fig1 import PRINTED

    assert javascript("() => ap(steps('AP Loss')[0])", [0], "descent")[0] == pytest.approx(
        PRINTED["$R_3$"][4], abs=0.0051
    )


@needs_node
def test_both_sides_of_theorem_2_in_javascript_are_those_of_the_package():
    """In chapter 03's picture both sides and the sign condition are `theorem_2`'s at eleven targets, to 1e-12."""
    targets = [k / 10 for k in range(11)]
    for target, got in zip(targets, javascript("(target) => sides(target)", targets, "balance"), strict=True):
        ell, ell_star = (torch.tensor(x, dtype=torch.float64) for x in ([0.5, 0.2], [0.0, target]))
        expected = theorem_2(ell, ell_star, torch.ones(2, 1, dtype=torch.float64))
        assert got["positives"] == pytest.approx(float(expected.positives), abs=1e-12)
        assert got["negatives"] == pytest.approx(float(expected.negatives), abs=1e-12)
        assert got["holds"] == bool(expected.sign_condition)


@needs_node
def test_the_mean_of_the_staircase_in_javascript_is_the_number_of_false_positives():
    """In chapter 08's picture the mean over the ramp and the sum of H are both `pairwise.n_fp`, to 1e-12."""
    cases = [[s, delta] for s in (-2.5, -0.4, 0.0, 0.31, 2.5) for delta in (0.05, 0.2, 1.0, 2.5)]
    neg = torch.tensor([-1.6, -0.4, 0.3, 0.5, 1.7], dtype=torch.float64)
    for (s, delta), got in zip(cases, javascript("([s, delta]) => counts(s, delta)", cases, "staircase"), strict=True):
        expected = float(pairwise.n_fp(torch.tensor([s], dtype=torch.float64), neg, delta))
        assert [got["mean"], got["nFP"]] == pytest.approx([expected] * 2, abs=1e-12)
        assert got["hard"] == int((neg >= s).sum())


def test_measured_results_are_those_of_the_figures():
    """`measured.js` is what `measured.py` writes of figures/data today."""
    from interactive import measured

    assert (FOLDER / "measured.js").read_text(encoding="utf-8") == measured.text()


@needs_node
def test_constant_weights_in_javascript_are_those_of_the_csv():
    """In chapter 07's picture AP of each weight is the mean over the seeds in results.csv, to .01 points."""
    with open(ROOT / "figures/data/length/results.csv", newline="", encoding="utf-8") as file:
        ends = [row for row in csv.DictReader(file) if row["steps"] == row["total_steps"] == "10000"]
    recipes = {"giou": "alrp", "iou": "iou_self_balance"}
    call = """(error) => [...curve(error).constants, curve(error).balanced].map((row) => [row.weight, mean(row.AP)])"""
    for error, got in zip(recipes, javascript(call, list(recipes), "weights"), strict=True):
        for weight, shown in got:
            recipe = recipes[error] if weight is None else f"{error}_weight_{weight}"
            of_seeds = [100 * float(row["AP"]) for row in ends if row["recipe"] == recipe]
            assert shown == pytest.approx(sum(of_seeds) / len(of_seeds), abs=0.01), recipe


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.js")), ids=lambda path: path.stem)
def test_a_module_needs_no_network_and_no_bundler(path):
    """A module imports only its neighbours, and no address stands in it but SVG's name."""
    source = path.read_text(encoding="utf-8")
    assert all(re.fullmatch(r"\./\w+\.js", name) for name in re.findall(r'from "(.*?)"', source))
    assert set(re.findall(r"https?://[^\"'\s)]+", source)) <= {"http://www.w3.org/2000/svg"}
    # In a page that lies in a folder, and in JupyterLab, a module arrives as one text.
    assert 'from "./' not in interactive.self_contained(path)


@pytest.mark.parametrize("name", interactive.PICTURES)
@needs_node
def test_a_picture_is_a_module_for_anywidget(name):
    """Self-contained, the module of each picture is valid, and its default export has a function `render`."""
    script = f"""{interactive.self_contained(FOLDER / f"{name}.js").replace("export default", "const picture =")}
        console.log(typeof picture.render);"""
    command = [NODE, "--input-type=module", "--eval", script]
    run = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert run.stdout.strip() == "function", run.stderr
