"""An hour of training on a small set: what the whole run, data workers included, holds in memory and in open files."""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from matplotlib.figure import Figure

from alrp_ref.data import make_shapes
from alrp_ref.training.log import read_metrics

SECONDS, EVERY = 3600, 30  # how long, and between samples
PARTS = 4  # of the time, in the table
KEYS = ("memory, MB", "open files", "images/s")
Row = dict[str, object]


def bench(quick: bool = False) -> dict[str, list[Row]]:
    """Samples of a run of `alrp train` that evaluates every fifth epoch, and its speed over time."""
    seconds, every = (20, 1) if quick else (SECONDS, EVERY)
    with tempfile.TemporaryDirectory() as folder:
        shapes, out = make_shapes(f"{folder}/shapes", train_images=320, val_images=40), Path(folder, "run")
        options = ["--recipe=alrp_tiny", f"--coco={shapes}", f"--out={out}", "--steps=1000000", "--eval-every=5"]
        run = subprocess.Popen([sys.executable, "-m", "alrp_ref.cli", "train", *options], stderr=subprocess.DEVNULL)
        while not (out / "metrics.csv").is_file():
            if run.poll() is not None:
                raise RuntimeError("the run did not begin: try `alrp demo`")
            time.sleep(0.1)
        print(f"{seconds} seconds of training ...", flush=True)
        samples, log = [], out / "metrics.csv"
        began, done = time.time(), len(read_metrics(log))
        while (now := time.time() - began) < seconds:
            time.sleep(every)
            new = read_metrics(log)[done:]
            done += len(new)
            speed = median(row["images_per_s"] for row in new) if new else None  # an evaluation may take long
            samples.append({"minute": now / 60, **_held_by(_tree(run.pid)), "images/s": speed})
        run.terminate()
        run.wait()
    return {"samples": samples, "steps": [{"steps": done}]}


def tables(results: dict[str, list[Row]]) -> dict[str, list[Row]]:
    """The same, to be read: the median of each part of the time."""
    samples, rows = results["samples"], []
    for part in range(PARTS):
        of_part = samples[len(samples) * part // PARTS : len(samples) * (part + 1) // PARTS]
        medians = {key: median(row[key] for row in of_part if row[key] is not None) for key in KEYS}
        rows.append({"minutes": f"{of_part[0]['minute']:.0f} to {of_part[-1]['minute']:.0f}"} | medians)
    return {f"{results['steps'][0]['steps']:,} steps, medians": rows}


def picture(results: dict[str, list[Row]]) -> Figure:
    """Memory, open files and speed over the time."""
    figure = Figure(figsize=(8, 6), layout="constrained")
    axes = figure.subplots(len(KEYS), sharex=True)
    for ax, key in zip(axes, KEYS, strict=True):
        rows = [(row["minute"], row[key]) for row in results["samples"] if row[key] is not None]
        ax.plot(*zip(*rows, strict=True), color="#1f5fa8", linewidth=1)
        ax.set(ylabel=key, ylim=(0, 1.15 * max(value for _, value in rows)))
        ax.spines[["top", "right"]].set_visible(False)
    axes[-1].set(xlabel="minutes of training", xlim=(0, None))
    return figure


def _tree(pid: int) -> list[int]:
    """A process and all that it started."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(one for child in children for one in _tree(int(child)))]


def _held_by(pids: list[int]) -> Row:
    """Memory, pages that several share counted once, and open files."""
    memory = files = 0
    for pid in pids:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        memory += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
        files += len(os.listdir(f"/proc/{pid}/fd"))
    return {"memory, MB": memory * 1024 / 1e6, "open files": files}
