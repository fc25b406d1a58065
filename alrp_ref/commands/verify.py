"""`alrp verify`: the losses against the official numbers."""

import argparse
from pathlib import Path

from alrp_ref.commands.arguments import Parsers, new_command


def add(parsers: Parsers) -> None:
    text = "compare the losses with the official numbers on a device; list the installed extras"
    parser = new_command(parsers, "verify", run, text, is_light=True)
    parser.add_argument("--device", choices=("cpu", "cuda", "mps"), default="cpu", help="where they run (default cpu)")
    parser.add_argument(
        "--json", nargs="?", const="-", metavar="FILE", help="write the results to FILE, or print them as JSON"
    )


def run(args: argparse.Namespace) -> int:
    import json

    from alrp_ref.machine.installed import extras
    from alrp_ref.verification import verify_torch

    found = verify_torch(args.device)
    content = json.dumps(found.to_dict(), indent=1)
    print(content if args.json == "-" else f"{found}\n\n{extras()}")
    if args.json not in (None, "-"):
        Path(args.json).write_text(content + "\n", encoding="utf-8")
    return 0 if found.passed else 1
