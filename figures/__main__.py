"""`python -m figures fig1 table2` writes these two, without names all: the same as `alrp figures`."""

import sys

from alrp_ref.cli import main

sys.exit(main(["figures", *sys.argv[1:]]))
