"""Measure the loss, its peers, the data, a training step, the evaluation, or all of it on a GPU.

`python -m benchmarks loss` measures the loss, and keeps what it finds.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from alrp_ref.machine.files import DataError
from benchmarks.bench import bench

NAMES = ("loss", "peers", "data", "train", "eval", "gpu")


def main(argv: Sequence[str] | None = None) -> int:
    """Returns 0, or 2 for data or a folder that cannot be used."""
    parser = argparse.ArgumentParser("python -m benchmarks", description="Measure time and memory.")
    parser.add_argument("name", choices=NAMES, help="what to measure")
    parser.add_argument("--coco", type=Path, metavar="DIR", help="for data: pictures to read beside the generated ones")
    parser.add_argument("--quick", action="store_true", help="small inputs, only to see that it runs; keeps nothing")
    parser.add_argument("--out", type=Path, help="folder (default benchmarks/results; the tables go to its README.md)")
    args = parser.parse_args(argv)
    try:
        bench(args.name, args.quick, args.out, args.coco)
    except (DataError, ValueError, OSError) as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":  # a process that measures memory imports this file, too
    sys.exit(main())
