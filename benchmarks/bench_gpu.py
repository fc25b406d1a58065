"""Three minutes with a GPU: what can be known only there, in parts that each take seconds.

Every part prints as it ends, and the results so far are kept. A part that fails, or takes longer than its share, is
reported, and the others run on: all together take 165 seconds at most. It needs a checkout with torch, torchvision,
numpy and pillow. The tests need pytest and hypothesis, too, the loader pycocotools and tqdm, the evaluation hotcoco.
"""

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from torch import nn
from torch.profiler import ProfilerActivity, profile

from alrp_ref import alrp_loss, ap_loss, rank_sort_loss
from alrp_ref.detection.detector import Detector, at_least_float32, sizes_of
from benchmarks import methods
from benchmarks.bench import table
from benchmarks.bench_loss import computing, scores
from benchmarks.operations import Operations
from benchmarks.padded import padded_alrp_loss
from benchmarks.timing import in_turn, seconds, synchronise

REPOSITORY = Path(__file__).parents[1]
LOSS_SIZES = (7_000_000, 12_800_000, 21_000_000)
LOSS_POSITIVES = (400, 1000)
MOST_POSITIVES = 1000
"""Of a padded list."""
STEPS_IN_A_ROW = 5
"""Training steps that are timed together: the host can be ahead of the GPU only if nobody waits after each."""
LARGEST_BATCH = 32
"""The paper's, on one GPU; halved until a step fits."""
EVALUATED_IMAGES = 1000
GOALS = {
    "the loop over positives / ours, at least": 100,
    "ours / a copy of the logits, at most": 30,
    "the loss's share of a step, at most": 0.03,
    "a step / torchvision's, at most": 1.0,
}

Row = dict[str, object]


def bench(quick: bool = False, keep: Callable[[dict[str, list[Row]]], None] = lambda results: None) -> dict:
    """Every table, as rows. `quick` is for trying the command out, without a GPU, too: small inputs, the same code.

    Args: `keep`, called with the results so far after each part.
    """
    results: dict[str, list[Row]] = {"parts": []}
    for name, (part, most) in PARTS.items():
        began = time.perf_counter()
        try:
            with _at_most(10 * most if quick else most):  # who tries it out may share two cores with others
                results[name] = part(quick)
            outcome = "done"
        except Exception as error:  # whatever it is, the other parts can still say something
            outcome = f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]:.90}"
        taken = time.perf_counter() - began
        results["parts"].append({"part": name, "seconds": taken, "at most": most, "outcome": outcome})
        print(f"\n{name}: {outcome}, {taken:.1f} s", flush=True)
        if rows := results.get(name):
            print(table(rows), flush=True)
        keep(results)
    results["goals"] = _goals(results)
    return results


def tables(results: dict[str, list[Row]]) -> dict[str, list[Row]]:
    """The same, to be read: titles and rows."""
    titles = {
        "goals": "What it should reach",
        "loss": "aLRP Loss and its gradient in float32, *middle* scores, and other ways to do it",
        "graph": "A loss and its gradient as the operations that the host starts, and as one CUDA graph",
        "operations": "The operations that the loss spends most time in (7 M logits, 1,000 positives)",
        "bin sums": "Sums of the scores in each bin",
        "step": "A training step at {px} px, in units of torchvision's RetinaNet with focal loss",
        "loader": "Reading and augmenting images with all cores, without a model",
        "evaluation": "An evaluation",
        "verify": "`alrp verify`: the case of each group that is nearest to its bound",
        "tests": "Tests that need a GPU",
        "parts": "What the parts of this took",
    }
    pixels = results["step"][0]["px"] if results.get("step") else ""
    return {title.format(px=pixels): results[name] for name, title in titles.items() if results.get(name)}


class TookTooLong(Exception):
    """A part took more than its share of the time."""


@contextlib.contextmanager
def _at_most(limit: float) -> Iterator[None]:
    """Raise TookTooLong after so many seconds, where the system has an alarm."""

    def ring(*_) -> None:
        raise TookTooLong(f"over {limit} s")

    if not hasattr(signal, "SIGALRM"):
        yield
        return
    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, limit)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _goals(results: dict[str, list[Row]]) -> list[Row]:
    """The worst case of each; for the loop, of the lists with the most positives."""
    loss, step = results.get("loss", []), {row["detector"]: row for row in results.get("step", [])}
    ours = [row for name, row in step.items() if name.startswith("ours, aLRP")]
    measured = (
        [row["loop"] for row in loss if row["positives"] >= max(r["positives"] for r in loss)],
        [row["of a copy"] for row in loss],
        [row["loss's share"] for row in ours],
        [row["step"] for row in ours],
    )
    rows = []
    for (goal, bound), values in zip(GOALS.items(), measured, strict=True):
        if values:
            least = goal.endswith("at least")
            value = min(values) if least else max(values)
            met = value >= bound if least else value <= bound
            rows.append({"goal": goal, "bound": float(bound), "measured": value, "met": "yes" if met else "no"})
    return rows


def _device() -> str:
    return "cuda" if torch.cuda.is_available() else "cpu"


# The parts


def _verify(quick: bool) -> list[Row]:
    """`alrp verify`; all cases that fail beside the worst of each group."""
    from alrp_ref.verification import verify_torch

    found = verify_torch(_device())
    worst = found.worst()
    return [
        {
            "group": case.group,
            "numbers": sum(other.group == case.group for other in found.cases),
            "off by": case.deviation,
            "bound": case.bound,
            "passed": "yes" if case.passed else f"NO: {case}",
        }
        for case in [*worst, *(case for case in found.failed if case not in worst)]
    ]


def _tests(quick: bool) -> list[Row]:
    """The tests marked `gpu`, in a process of their own; what they print last."""
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-m",
        "gpu",
        "-q",
        "--no-header",
        "-p",
        "no:cacheprovider",
        "tests/paper",
    ]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=PARTS["tests"][1])
    lines = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
    failures = [line for line in lines if line.startswith(("FAILED", "ERROR", "E  "))]
    return [{"exit code": done.returncode, "says": line.replace("|", "/")[:200]} for line in [*failures, *lines[-1:]]]


def _loss(quick: bool) -> list[Row]:
    """Ours, and in units of it the loop over positives and buckets; ours in units of a sort and of a copy."""
    rows = []
    for size in LOSS_SIZES:
        for number in LOSS_POSITIVES:
            case = (size // 100, number // 10, "middle") if quick else (size, number, "middle")
            logits, targets, errors = scores(*case)
            lists = logits[targets == 1], logits[targets == 0], errors
            functions = {
                "ours": computing(logits, targets, errors),
                "captured": _captured(computing(logits, targets, errors)),
                "sort": logits.sort,
                "copy": logits.clone,
                "buckets": partial(methods.buckets, *lists),
                "loop": partial(methods.loop, *lists),
            }
            took = in_turn(functions, rounds=1 if quick else 3)
            rows.append(
                {
                    "logits": case[0],
                    "positives": case[1],
                    "milliseconds": 1000 * took["ours"],
                    "captured": 1000 * took["captured"],
                    "of a sort": took["ours"] / took["sort"],
                    "of a copy": took["ours"] / took["copy"],
                    "loop": took["loop"] / took["ours"],
                    "buckets": took["buckets"] / took["ours"],
                    "extra MiB": _extra_mebibytes(functions["ours"]),
                }
            )
    return rows


def _captured(function: Callable[[], None]) -> Callable[[], None]:
    """The same as one CUDA graph: the GPU then goes from one operation to the next without the host."""
    if not torch.cuda.is_available():
        return function
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        function()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        function()
    return graph.replay


def _graph(quick: bool) -> list[Row]:
    """What the host starts for each loss. A padded list has one graph for all numbers of positives.

    `off by` is how far the padded loss of the graph is from the loss of the list without padding.
    """
    size, most = (70_000, 100) if quick else (LOSS_SIZES[0], MOST_POSITIVES)
    logits, targets, errors = scores(size, most // 2, "middle")
    padded = nn.functional.pad(errors, (0, most - len(errors)))
    losses = {
        "aLRP": lambda z: alrp_loss(z, targets, errors).cls,
        "aLRP, padded": lambda z: padded_alrp_loss(z, targets, padded)[0],
        "AP": lambda z: ap_loss(z, targets, num_positives=len(errors)),
        "RS": lambda z: rank_sort_loss(z, targets, errors).ranking,
    }
    rows = []
    for name, loss in losses.items():
        value, leaf = torch.zeros((), device=logits.device), logits.detach().requires_grad_()
        function = partial(_with_gradient, loss, leaf, value)
        function()
        with Operations() as operations:
            function()
        took = in_turn({"host": function, "graph": _captured(function)}, rounds=1 if quick else 3)
        exact = float(losses["aLRP"](leaf.detach())) if name == "aLRP, padded" else float(value)
        rows.append(
            {
                "loss": name,
                "logits": size,
                "positives": len(errors),
                "operations": len(operations.names),
                "milliseconds": 1000 * took["host"],
                "as one graph": 1000 * took["graph"],
                "off by": abs(float(value) - exact),
            }
        )
    return rows


def _with_gradient(loss: Callable[[torch.Tensor], torch.Tensor], leaf: torch.Tensor, value: torch.Tensor) -> None:
    """A loss and its gradient; the value is left in `value`, where a graph leaves it, too."""
    leaf.grad = None
    out = loss(leaf)
    out.backward()
    value.copy_(out.detach())


def _operations(quick: bool) -> list[Row]:
    """The eight of PyTorch's operations that the loss and its gradient spend most time in, by the profiler."""
    function = computing(*scores(LOSS_SIZES[0] // (100 if quick else 1), LOSS_POSITIVES[1], "middle"))
    function()  # so that nothing is loaded while it is measured
    on_gpu = _device() == "cuda"
    activities = [ProfilerActivity.CPU, *[ProfilerActivity.CUDA] * on_gpu]
    with profile(activities=activities) as profiler:
        function()
        synchronise()
    # A kernel has a row of its own beside that of its operation, and must not count twice.
    times = {
        event.key: (event.self_device_time_total if on_gpu else event.self_cpu_time_total, event.count)
        for event in profiler.key_averages()
        if event.key.startswith("aten::")
    }
    total = sum(time for time, _ in times.values())
    return [
        {"operation": name.removeprefix("aten::"), "calls": calls, "milliseconds": time / 1000, "share": time / total}
        for name, (time, calls) in sorted(times.items(), key=lambda item: -item[1][0])[:8]
    ]


def _bin_sums(quick: bool) -> list[Row]:
    """Four ways to add the scores that lie in the same bin, which the loss does once with their weights."""
    from alrp_ref.paper.bins import LANES

    logits, targets, _ = scores(LOSS_SIZES[0] // (100 if quick else 1), LOSS_POSITIVES[1], "middle")
    edges, x = logits[targets == 1].sort().values, logits.double()
    bins = torch.searchsorted(edges, logits, right=True)

    def in_lanes() -> torch.Tensor:
        lane = torch.arange(len(x), device=x.device) % LANES
        sums = x.new_zeros(LANES * (len(edges) + 1)).index_add_(0, bins * LANES + lane, x)
        return sums.view(-1, LANES).sum(1)

    def by_sort() -> torch.Tensor:
        ordered = x.sort().values
        until = torch.cat([x.new_zeros(1), ordered.cumsum(0)])
        ends = torch.searchsorted(ordered, edges.double())
        return until[torch.cat([ends, ends.new_tensor([len(x)])])].diff(prepend=x.new_zeros(1))

    ways = {
        "index_add_": lambda: x.new_zeros(len(edges) + 1).index_add_(0, bins, x),
        f"index_add_, {LANES} sums a bin": in_lanes,
        "bincount": lambda: torch.bincount(bins, x, minlength=len(edges) + 1),
        "sort, cumsum, differences": by_sort,
    }
    took = in_turn(ways, rounds=1 if quick else 5)
    exact = ways["index_add_"]()
    return [
        {
            "way": name,
            "scores": len(x),
            "bins": len(exact),
            "milliseconds": 1000 * took[name],
            "off by": float((way() - exact).abs().max() / exact.abs().max()),
        }
        for name, way in ways.items()
    ]


def _step(quick: bool) -> list[Row]:
    """A step of torchvision's detector and of ours, on the same batch, as `alrp train` runs it."""
    size, images = (128, 2) if quick else (512, LARGEST_BATCH)
    while True:
        try:
            return _steps(size, images, rounds=1 if quick else 3, in_a_row=1 if quick else STEPS_IN_A_ROW)
        except torch.cuda.OutOfMemoryError:
            if images == 1:
                raise
            images //= 2
            torch.cuda.empty_cache()


def _steps(size: int, images: int, rounds: int, in_a_row: int) -> list[Row]:
    from benchmarks.bench_train import ATSS, IOU, Torchvision, batch, device, ours, stepper

    data = batch(images, size)
    models = {
        "torchvision, focal": Torchvision(size).to(device(), memory_format=torch.channels_last).train(),
        "ours, focal": ours("focal_retinanet_r50_500"),
        "ours, aLRP": ours(IOU),
        "ours, aLRP, ATSS": ours(ATSS),
    }
    half = _device() == "cuda"
    steps = {name: stepper(model, data, half=half, fused="ours" in name or None) for name, model in models.items()}
    best = "ours, aLRP, ATSS"
    steps["the same, assigned after the network"] = stepper(AssignedAfter(models[best]), data, half=half, fused=True)
    steps["the same, optimiser not fused"] = stepper(models[best], data, half=half)
    took = in_turn({name: partial(_repeat, step, in_a_row) for name, step in steps.items()}, rounds)
    took = {name: time / in_a_row for name, time in took.items()}
    return [
        {
            "detector": name,
            "px": size,
            "images": images,
            "step": took[name] / took["torchvision, focal"],
            "images/s": images / took[name],
            "loss's share": _share_of_criterion(models[name], step, took[name]) if "ours" in name else "",
            "extra MiB an image": _per_image(_extra_mebibytes(step), images),
        }
        for name, step in steps.items()
    ]


class AssignedAfter(nn.Module):
    """A detector whose anchors are assigned between the network and the loss, as before."""

    def __init__(self, model: Detector):
        super().__init__()
        self.model = model

    def forward(self, images: torch.Tensor, targets: list[dict[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
        levels, sizes = self.model.features(images), [tuple(images.shape[-2:])] * len(images)
        assigned = self.model.assigned(sizes_of(levels), targets, sizes, at_least_float32(images[:0]))
        return self.model.losses(levels, targets, sizes, assigned)


def _repeat(step: Callable[[], object], times: int) -> None:
    for _ in range(times):
        step()


def _share_of_criterion(model: nn.Module, step: Callable[[], object], seconds_of_step: float) -> float:
    """Of the step's time, what the criterion takes: its losses, their gradient, and the boxes of the positives.

    The GPU is waited for before and after, so this is rather too much than too little.
    """
    marks: list[float] = []

    def mark(*_) -> None:
        synchronise()
        marks.append(time.perf_counter())

    hooks = [model.criterion.register_forward_pre_hook(mark), model.criterion.register_forward_hook(mark)]
    for _ in range(3):
        step()
    for hook in hooks:
        hook.remove()
    return sorted(after - before for before, after in zip(marks[::2], marks[1::2], strict=True))[1] / seconds_of_step


def _extra_mebibytes(function: Callable[[], object]) -> float | str:
    """The most memory that it takes beyond what is there, by PyTorch's count; a CPU has none."""
    if not torch.cuda.is_available():
        return ""
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    function()
    torch.cuda.synchronize()
    return (torch.cuda.max_memory_allocated() - before) / 2**20


def _per_image(mebibytes: float | str, images: int) -> float | str:
    return mebibytes if isinstance(mebibytes, str) else mebibytes / images


def _loader(quick: bool) -> list[Row]:
    """Images/s with a worker on every core, once they run: from the first batch to the last."""
    from torch.utils.data import ConcatDataset, DataLoader

    from alrp_ref.data import CocoDataset, collate, make_shapes, train_transform
    from alrp_ref.detection import RECIPES

    size, pictures = (128, 20) if quick else (512, 100)
    workers = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    with tempfile.TemporaryDirectory() as folder:
        make_shapes(Path(folder), train_images=pictures, val_images=1)
        recipe = replace(RECIPES["alrp_retinanet_r50_atss_500"], train_size=size)
        data = ConcatDataset([CocoDataset(folder, "train2017", train_transform(recipe))] * workers)
        batches = iter(DataLoader(data, 4, collate_fn=collate, num_workers=workers))
        next(batches)
        took = seconds(lambda: [None for _ in batches])
    return [{"px": size, "workers": workers, "images": len(data), "images/s": (len(data) - 4) / took}]


def _evaluation(quick: bool) -> list[Row]:
    """AP and optimal LRP, of made-up detections of COCO's density, in units of AP alone by the same evaluator."""
    from benchmarks import bench_eval

    truth, found = bench_eval.detections(50 if quick else EVALUATED_IMAGES)
    names = ("ours: AP and oLRP", "hotcoco: AP")
    took = in_turn({name: partial(bench_eval.EVALUATORS[name], truth, found) for name in names}, rounds=2)
    return [
        {
            "evaluator": name,
            "images": len(truth["images"]),
            "detections": len(found),
            "seconds": took[name],
            "of hotcoco": took[name] / took["hotcoco: AP"],
        }
        for name in names
    ]


PARTS: dict[str, tuple[Callable[[bool], list[Row]], int]] = {
    "verify": (_verify, 30),
    "loss": (_loss, 25),
    "graph": (_graph, 15),
    "operations": (_operations, 10),
    "bin sums": (_bin_sums, 5),
    "step": (_step, 35),
    "tests": (_tests, 25),
    "loader": (_loader, 10),
    "evaluation": (_evaluation, 10),
}
"""Each with the seconds that it may take: 165 together."""
