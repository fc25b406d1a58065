"""`alrp verify` and `alrp_ref.verify` tell a right loss from one that is off by a millionth."""

import json
import math
import re
import subprocess
import sys

import numpy as np
import pytest
import torch

import alrp_ref
from alrp_ref import cli, ranking_loss
from alrp_ref.paper import ranking, step_matrix
from alrp_ref.verification import ports, self_balance, this_torch, verify_torch
from alrp_ref.verification.ports import judged, port_of


@pytest.fixture
def short(monkeypatch):
    """Lists up to 10,000 logits: the longer ones take seconds."""
    for module in (ports, this_torch):
        monkeypatch.setattr(module, "SIZES", (1_000, 10_000))


def in_numpy(logits, targets, loc_errors, delta):
    """aLRP Loss once more, one positive after the other: what somebody might hand in."""
    s_pos, s_neg = logits[targets == 1], logits[targets == 0]
    order = sorted(range(len(s_pos)), key=lambda i: (s_pos[i], i), reverse=True)
    above = dict(zip(order, np.cumsum(loc_errors[order]), strict=True))
    cls, loc, gradient = 0.0, 0.0, np.zeros_like(logits)
    on_positives, on_negatives = np.zeros_like(s_pos), np.zeros_like(s_neg)
    for i, s_i in enumerate(s_pos):
        h_ik, h_ij = (np.clip((s - s_i) / (2 * delta) + 0.5, 0, 1) for s in (s_pos, s_neg))
        h_ik[i] = 0
        n_fp = h_ij.sum()
        rank = 1 + h_ik.sum() + n_fp
        cls, loc = cls + n_fp / rank, loc + above[i] / rank
        if n_fp > 1e-5:
            share = (n_fp + h_ik @ loc_errors) / rank / len(s_pos)
            on_positives[i], on_negatives = -share, on_negatives + share * h_ij / n_fp
    gradient[targets == 1], gradient[targets == 0] = on_positives, on_negatives
    return cls / len(s_pos), loc / len(s_pos), gradient


def test_a_port_in_numpy_passes(short):
    """Written from the formulas, it agrees with the release, with the pairs and with both theorems."""
    found = alrp_ref.verify(in_numpy)
    assert found.passed, str(found)
    assert {case.group for case in found.cases} == {
        "official aLRP Loss",
        "pairwise, 1,000 logits",
        "pairwise, 10,000 logits",
        "Theorem 1: sum of primary terms",
        "Theorem 2: balance",
    }
    assert len({case.name.partition(",")[0] for case in found.cases if "official" in case.group}) == 33


def off_by(part: int, label: int | None = None):
    """A port with a millionth too much in one of its results; of the gradient, in the examples of a label."""

    def port(logits, targets, loc_errors, delta):
        results = list(in_numpy(logits, targets, loc_errors, delta))
        results[part] = results[part] * np.where(label is None or targets == label, 1 + 1e-6, 1)[()]
        return tuple(results)

    return port


@pytest.mark.parametrize(
    ("part", "label", "name"),
    [(0, None, "cls"), (1, None, "loc"), (2, 1, "gradient, positives"), (2, 0, "gradient, negatives")],
)
def test_a_loss_off_by_a_millionth_fails_and_is_told_where(part, label, name, short):
    """The cases that fail are those of the part that is off, and the report says by how much."""
    found = alrp_ref.verify(off_by(part, label))
    assert not found.passed
    compared = [case for case in found.failed if "Theorem" not in case.group]
    assert {case.name.split(", ", 1)[-1] for case in compared if "list" in case.name} == {name}
    assert {case.name for case in compared if "pairwise" in case.group} == {name}
    assert all(case.deviation == pytest.approx(1e-6, rel=1e-3) for case in compared)
    assert any("off by 1e-06, bound 1e-12" in line for line in str(found).splitlines())


def test_theorems_are_seen_to_fail(short):
    """Gradients of the negatives that are too large by a millionth break both."""
    groups = {case.group for case in alrp_ref.verify(off_by(2, 0)).failed}
    assert {"Theorem 1: sum of primary terms", "Theorem 2: balance"} <= groups


def test_a_port_in_float32_has_the_bound_of_float32(short):
    """A gradient in float32 says that the port computes in float32: 1e-5 instead of 1e-12."""
    found = alrp_ref.verify(port_of(alrp_ref.alrp_loss, dtype=torch.float32))
    assert found.passed, str(found)
    assert {case.bound for case in found.cases} == {1e-5}


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda cls, loc, grad: (cls, loc, grad[:, None]), "list 0, gradient: has shape (2, 1) instead of (2,)"),
        (lambda cls, loc, grad: (math.nan, loc, grad), "list 0, cls: is not finite in 1 of 1 places"),
        (lambda cls, loc, grad: (cls, grad), "list 0: ValueError: it must return cls, loc, gradient; got 2 results"),
        (lambda cls, loc, grad: 1 / 0, "list 0: ZeroDivisionError: division by zero"),
    ],
    ids=["shape", "nan", "results", "error"],
)
def test_what_makes_no_sense_is_named(spoil, message, short):
    """A wrong shape, a number that is none, too few results, and an error are failures of each list."""
    found = alrp_ref.verify(lambda *one: spoil(*in_numpy(*one)))
    assert f"official aLRP Loss: {message}" in str(found)
    assert re.search(r"and \d+ more", str(found))


def looped(order="above", own=1.0, target=1.0, errors_count=1.0, divide=True, change=lambda *one: one):
    """The release's loops with a bug in them: another order, another share, another list."""

    def port(logits, targets, errors, delta):
        logits, targets, errors, delta = change(logits, targets, errors, delta)
        s_pos, s_neg = logits[targets == 1], logits[targets == 0]
        lowest = np.argsort(s_pos, kind="stable")
        h_ij, h_ik = (np.clip((s[None] - s_pos[:, None]) / (2 * delta) + 0.5, 0, 1) for s in (s_neg, s_pos))
        np.fill_diagonal(h_ik, 0)
        n_fp = h_ij.sum(1)
        rank = own + h_ik.sum(1) + n_fp
        share = (n_fp + errors_count * (h_ik @ errors + (1 - target) * errors)) / rank
        share[n_fp <= 1e-5] = 0
        gradient = np.zeros_like(logits)
        gradient[targets == 1], gradient[targets == 0] = -share, (share / n_fp.clip(1e-5)) @ h_ij
        sorted_errors = {
            "above": errors[lowest][::-1],
            "not reversed": errors[lowest],
            "not sorted": errors,
        }[order]
        loc = (np.cumsum(sorted_errors) / rank[lowest][::-1]).mean()
        return (n_fp / rank).mean(), loc, gradient / (len(s_pos) if divide else 1)

    return port


def no_threshold(logits, targets, errors, delta):
    far = (targets == 0) & (logits < logits[targets == 1].min())
    return logits, np.where(far, -1, targets), errors, delta


BUGS = {
    "not reversed": (looped("not reversed"), "one of them is not reversed"),
    "not sorted": (looped("not sorted"), "the errors are not sorted by score"),
    "not divided": (looped(divide=False), "it is |P| times what it should be"),
    "ignored": (
        looped(change=lambda s, t, e, d: (s, np.maximum(t, 0), e, d)),
        "only where examples are ignored, and in all",
    ),
    "delta": (looped(change=lambda s, t, e, d: (s, t, e, 1.0)), "only where delta is not 1"),
    "sigmoid": (looped(change=lambda s, t, e, d: (1 / (1 + np.exp(-s)), t, e, d)), "probabilities, after a sigmoid"),
    "threshold": (looped(change=no_threshold), "the threshold lacks delta"),
    "own rank": (looped(own=0.5), "H(0) = 1/2, not 1"),
    "target": (looped(target=0.0), "the target of a positive is 0"),
    "no errors": (looped(errors_count=0.0), "missing in the gradient of the scores"),
}


@pytest.mark.parametrize("bug", BUGS)
def test_the_text_names_the_bug(bug, monkeypatch):
    """Ten bugs of real ports; the text is no wider than 80 columns and prints a list of 8 logits at most."""
    monkeypatch.setattr(ports, "SIZES", (1_000,))
    port, words = BUGS[bug]
    found = alrp_ref.verify(port)
    text = " ".join(line.strip() for line in found.explanation)
    assert words in text, str(found)
    assert max(map(len, found.explanation)) <= 80
    start = next(n for n, line in enumerate(found.explanation) if line.startswith("A small list that fails"))
    assert 4 <= len(found.explanation) - start <= 12


def test_the_release_with_its_bugs_taken_out_passes(short):
    """The same loops without a bug."""
    found = alrp_ref.verify(looped())
    assert found.passed and not found.explanation


def test_an_error_is_shown_once_with_its_place(short):
    """The line of the port that raised it."""
    found = alrp_ref.verify(lambda *one: 1 / 0)
    assert str(found).count("ZeroDivisionError: division by zero") == 2  # as a failure, and with its place
    assert "alrp_ref.verify(lambda *one: 1 / 0)" in " ".join(line.strip() for line in found.explanation)


class Release(torch.autograd.Function):
    """The shape of the release: `cls`, the ranks and the order; its caller computes `loc`."""

    @staticmethod
    def forward(ctx, logits, targets, errors, delta=1.0, eps=1e-5):
        cls, _, gradient = in_numpy(*(x.numpy() for x in (logits, targets, errors)), delta)
        ctx.save_for_backward(torch.tensor(gradient))
        s_pos, s_neg = logits[targets == 1], logits[targets == 0]
        h = [((s[None] - s_pos[:, None]) / (2 * delta) + 0.5).clamp(0, 1) for s in (s_pos, s_neg)]
        rank = torch.zeros(len(s_pos))  # in the default dtype, as in the release
        rank[:] = 1 + h[0].fill_diagonal_(0).sum(1) + h[1].sum(1)
        return torch.tensor(cls), rank, s_pos.argsort()

    @staticmethod
    def backward(ctx, cls, rank, order):
        return ctx.saved_tensors[0] * cls, None, None, None, None


class AP(torch.autograd.Function):
    """AP Loss as a function of torch; `interpolated` is what may be wrong."""

    interpolated = True

    @staticmethod
    def forward(ctx, logits, targets, delta):
        with torch.enable_grad():
            x = logits.detach().requires_grad_()
            loss = alrp_ref.ap_loss(x, targets, delta=delta, interpolated=AP.interpolated)
            loss.backward()
        ctx.save_for_backward(x.grad)
        return loss.detach()

    @staticmethod
    def backward(ctx, out):
        return ctx.saved_tensors[0] * out, None, None


def test_a_function_of_torch_is_taken_as_it_is(short, monkeypatch):
    """The release's `apply`, whose caller computes `loc`, and one of AP Loss, with and without interpolation."""
    for one in (Release, Release.apply):
        found = alrp_ref.verify(one)
        assert found.passed, str(found)
    assert alrp_ref.verify(AP, "ap").passed
    monkeypatch.setattr(AP, "interpolated", False)
    assert "the precision is not interpolated" in " ".join(alrp_ref.verify(AP, "ap").explanation)


def test_rank_and_sort_loss_is_explained_too(short):
    """A port that is given IoUs and takes them for errors."""

    def port(logits, targets, ious, delta):
        return port_of(alrp_ref.rank_sort_loss)(logits, targets, 1 - ious, delta)

    assert alrp_ref.verify(port_of(alrp_ref.rank_sort_loss), "rank_sort").passed
    assert "the IoUs are taken for errors" in " ".join(alrp_ref.verify(port, "rank_sort").explanation)


@pytest.mark.parametrize("mistake", [None, *self_balance.MISTAKES])
def test_the_self_balance_is_a_sequence_of_weights(mistake):
    """That of this package passes, and each of the usual mistakes is named."""
    weights = self_balance.weights if mistake is None else self_balance.MISTAKES[mistake]
    found = alrp_ref.verify(weights, "self_balance")
    assert found.passed == (mistake is None)
    text = " ".join(line.strip() for line in found.explanation)
    assert mistake is None or f"It is as if {mistake}." in text


@pytest.mark.parametrize("exact", [torch.float64, torch.float32], ids=["as it is", "without float64"])
def test_this_package_passes_and_the_table_fits_80_columns(exact, short, monkeypatch):
    """Also where sums are in float32, as on an Apple chip: to 1e-5 there."""
    for module in (ranking, ranking_loss, step_matrix, this_torch):
        monkeypatch.setattr(module, "exact_dtype", lambda device: exact)
    found = verify_torch("cpu")
    assert found.passed, str(found)
    assert max(case.bound for case in found.cases if "official" in case.group) == (
        1e-12 if exact == torch.float64 else 1e-5
    )
    lines = str(found).splitlines()
    assert all(len(line) <= 80 for line in lines) and sum(line.startswith("[OK]") for line in lines) == 11
    assert set(found.times["pairwise, 10,000 logits"]) == {"sort", "copy"}


def test_a_gradient_rounded_before_its_loss_scale_would_fail():
    """Small gradients vanish in float16 unless the scale comes first."""
    one = this_torch._rounded(ports.draw(100_000, spread=0.05), torch.float16)
    cls, loc, gradient = judged(one)
    bounds = (5e-7, this_torch.ROUNDING[torch.float16])
    for rounded, passes in (
        (gradient.astype(np.float16), False),
        ((gradient * 65536).astype(np.float16).astype(np.float64) / 65536, True),
    ):
        cases = ports.against(
            lambda *one, rounded=rounded: (cls, loc, rounded), one, (cls, loc, gradient), ports.ALRP_PARTS, bounds
        )
        assert all(case.passed for case in cases) == passes


def test_the_command_fails_with_code_1_where_the_loss_is_off(short, monkeypatch, capsys):
    """A classification part with a millionth too much."""

    def off(*args, **options):
        out = alrp_ref.alrp_loss(*args, **options)
        return out._replace(cls=out.cls * (1 + 1e-6))

    monkeypatch.setattr(this_torch, "alrp_loss", off)
    assert cli.main(["verify"]) == 1
    printed = capsys.readouterr().out
    assert "[FAIL] official aLRP Loss" in printed and "[OK]   official AP Loss" in printed
    assert "list 3, cls: off by 1e-06, bound 1e-12" in printed


def test_the_command_writes_json_to_a_file_or_prints_it(short, tmp_path, capsys):
    """The file is beside the table; without a name, JSON is all that is printed."""
    assert cli.main(["verify", "--json", str(tmp_path / "found.json")]) == 0
    assert "every number is within its bound" in capsys.readouterr().out
    assert cli.main(["verify", "--json"]) == 0
    printed, written = json.loads(capsys.readouterr().out), json.loads((tmp_path / "found.json").read_text())
    assert printed["passed"] and printed["cases"] == written["cases"]
    assert set(printed["cases"][0]) == {"group", "name", "deviation", "bound", "note"}


def test_a_device_that_is_not_there_is_refused(capsys):
    """Code 2, and the message names those that are."""
    missing = "mps" if not torch.backends.mps.is_available() else "cuda"
    assert cli.main(["verify", "--device", missing]) == 2
    assert "device must be one of cpu" in capsys.readouterr().err


def test_the_command_needs_torch_and_numpy_alone():
    """Neither what the detectors need nor what comes with torch on most machines."""
    blocked = ["torchvision", "matplotlib", "pycocotools", "hotcoco", "PIL", "tqdm", "tensorboard", "filelock"]
    code = (
        f"import sys; sys.modules.update(dict.fromkeys({blocked}))\n"
        "from alrp_ref import cli\nfrom alrp_ref.verification import this_torch\n"
        "this_torch.SIZES = (1000,)\nsys.exit(cli.main(['verify']))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr
    assert "every number is within its bound" in run.stdout


@pytest.mark.gpu
@pytest.mark.filterwarnings("ignore")
def test_this_package_passes_on_a_gpu(short):
    """With sums in any order, and without a wait."""
    found = verify_torch("cuda")
    assert found.passed, str(found)
    assert "the host never waits" in {case.group for case in found.cases}
