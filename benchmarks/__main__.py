"""`python -m benchmarks loss`: the same as `alrp bench loss`."""

import sys

from alrp_ref.cli import main

if __name__ == "__main__":  # a process that measures memory imports this file, too
    sys.exit(main(["bench", *sys.argv[1:]]))
