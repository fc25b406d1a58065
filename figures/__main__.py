"""Write the paper's figures and tables, or those of a training run.

`python -m figures fig1 table2` writes these two to this folder, without names all. `python -m figures readme` writes
the results in the README.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from alrp_ref.machine.files import DataError
from figures.make import HERE, make
from studies.results import Run


def main(argv: Sequence[str] | None = None) -> int:
    """Returns 0, or 2 for a name, a folder or a run that cannot be used."""
    parser = argparse.ArgumentParser("python -m figures", description="Make the paper's figures and tables again.")
    parser.add_argument("names", nargs="*", metavar="name", help="fig1, table2, ... (default: all)")
    parser.add_argument("--run", type=Path, metavar="DIR", help="folder of a training run: figures 3, 4, tables 2, 5")
    parser.add_argument("--coco", type=Path, metavar="DIR", help="the data of that run")
    parser.add_argument("--out", type=Path, help="folder (default figures/, or figures/ in that of the run)")
    args = parser.parse_args(argv)
    try:
        if (args.run is None) != (args.coco is None):
            raise ValueError("--run DIR and --coco DIR belong together: a run, and the data it was trained on")
        run = None if args.run is None else Run(args.run, args.coco)
        make(args.names, run, args.out or (HERE if run is None else args.run / "figures"))
    except (DataError, ValueError, OSError) as error:
        print(f"figures: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
