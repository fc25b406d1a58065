"""`alrp check-data`: every annotation and image of a data set."""

import argparse
import os
from pathlib import Path

from alrp_ref.commands.arguments import Parsers, new_command
from alrp_ref.commands.data import add_data, layout_of


def add(parsers: Parsers) -> None:
    text = "check every annotation and image of a data set before a run"
    parser = new_command(parsers, "check-data", run, text)
    add_data(parser)
    parser.add_argument("--split", choices=("train2017", "val2017"), help="check this split only (default: both)")
    parser.add_argument(
        "--workers", type=int, metavar="N", help="threads that read images (default: one for each core)"
    )
    parser.add_argument("--out", type=Path, metavar="FILE", help="write all findings to this CSV file")


def run(args: argparse.Namespace) -> int:
    from alrp_ref.data import check_data
    from alrp_ref.data.annotations.check import as_csv
    from alrp_ref.machine.files import write_atomic

    if args.out is not None:
        _check_out(args.out)
    checks = check_data(layout_of(args), None if args.split is None else (args.split,), args.workers)
    print("\n" + "\n\n".join(map(str, checks)))
    if args.out is not None:
        write_atomic(args.out, as_csv(checks))
        print(f"\nAll findings, one in each line: {args.out}")
    stops = any(check.stops for check in checks)
    print("\nThis would stop a run: repair it first." if stops else "\nNothing here stops a run.")
    return 2 if stops else 0


def _check_out(out: Path) -> None:
    """Raise ValueError unless the file may be written: it is new, or an earlier check wrote it."""
    from alrp_ref.data.annotations.check import is_csv_of_a_check

    if not out.absolute().parent.is_dir():
        raise ValueError(f"--out {out} must be a file in a folder that exists")
    if os.path.lexists(out) and not is_csv_of_a_check(out):
        raise ValueError(f"--out {out} exists, and `alrp check-data` did not write it: give another name")
