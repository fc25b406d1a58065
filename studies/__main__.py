"""Train what the figures and tables of trained detectors are made from.

Each run has a folder in RUNS, and `figures/data/length/results.csv` gets its evaluations when it ends. The same command
resumes what was stopped; several processes, on one machine, share the runs. Small detectors on generated shapes:
10,000 steps take half an hour of a core, and with `--precision bfloat16` 18 minutes of one that has instructions for it
(`avx512_bf16` in /proc/cpuinfo). A GPU is no faster here: sixteen processes made 4 steps/s each on one H100.
"""

import argparse
import subprocess
import sys
from pathlib import Path

import torch

from alrp_ref.commands.arguments import add_options, options_of
from alrp_ref.machine.files import locked
from alrp_ref.training.experiment import Experiment, train_all
from studies.keep import keep_details, keep_figure4, keep_results, keep_samples
from studies.results import DATA
from studies.runs import STUDIES, Studies


def main() -> None:
    studies = "\n".join(f"  {name:<12}{text}" for name, text in STUDIES.items())
    parser = argparse.ArgumentParser(
        "python -m studies",
        description=__doc__,
        epilog=f"studies, in the order of their worth:\n{studies}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("runs", type=Path, metavar="RUNS", help="folder of the runs")
    parser.add_argument("--only", nargs="+", default=[*STUDIES], choices=STUDIES, metavar="STUDY", help="default: all")
    parser.add_argument("--processes", type=int, default=1, metavar="N", help="this many at a time (default 1)")
    parser.add_argument("--coco", type=Path, metavar="DIR", help="photographs in COCO's layout")
    add_options(parser, "device", "precision", "backbone_weights")
    args = parser.parse_args()
    studies = Studies(args.runs, args.coco, options_of(args, workers=0, cache=True))
    with locked(args.runs / "lock", wait=True):
        studies.shapes()
    if args.processes > 1:
        alone = [sys.executable, "-m", "studies", *sys.argv[1:], "--processes", "1"]
        raise SystemExit(max(process.wait() for process in [subprocess.Popen(alone) for _ in range(args.processes)]))
    torch.set_num_threads(1)

    def train_and_keep(run: Experiment) -> None:
        run.train()
        with locked(args.runs / "lock", wait=True):
            keep_results(args.runs)
            keep_results(args.runs / "demo", DATA / "length" / "demo.csv")
            keep_samples(args.runs)
            keep_figure4(args.runs)
            keep_details(args.runs)

    train_all([run for study in args.only for run in getattr(studies, study)()], train_and_keep)


if __name__ == "__main__":
    main()
