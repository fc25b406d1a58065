"""The command line, `alrp`: `alrp --help` lists its commands, which are in `alrp_ref.commands`.

Nothing is imported before a command needs it, torch included.
"""

import argparse
import io
import os
import shlex
import sys
import warnings
from collections.abc import Sequence

from alrp_ref.commands import check_data, compare, demo, download, evaluate, predict, recipes, train, verify
from alrp_ref.version import __version__

COMMANDS = (demo, download, check_data, train, compare, evaluate, predict, recipes, verify)
BAD_INPUT = 2
INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; returns its exit code: 0, 1 if a check fails, 2 for input that cannot be used, 130 when
    interrupted, 128 and the number of the signal when asked to end by one (143 for SIGTERM)."""
    args = _parser().parse_args(argv)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # names of files that this terminal cannot show
    warnings.formatwarning = lambda message, *_, **__: f"alrp: {message}\n"  # without a line of our source
    errors, preempted = (ValueError, OSError), ()
    if not args.is_light:
        try:
            from alrp_ref.machine.files import DataError
            from alrp_ref.training import Preempted, TrainingStopped, loop  # noqa: F401 (imports all that any needs)
        except ImportError as error:
            hint = ": the detectors need more packages: pip install 'alrp-ref[detection]'"
            return _fail(f"{error}{hint * ('pip install' not in str(error))}")
        errors, preempted = (DataError, TrainingStopped, *errors), Preempted
    try:
        return args.run(args)
    except preempted as stopped:
        _fail(f"{stopped}. To resume: {_same_command(args.command, argv)}")
        return stopped.exit_code
    except errors as error:
        return _fail(_message(error))
    except KeyboardInterrupt:
        advice = f": give the same command again to {args.resumes}" if args.resumes else ""
        print(f"\n{args.command} interrupted{advice}", file=sys.stderr)
        return INTERRUPTED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="alrp", description="Detectors trained with aLRP Loss.")
    parser.add_argument("--version", action="version", version=f"alrp_ref {__version__}")
    parsers = parser.add_subparsers(dest="command", required=True, metavar="command")
    for command in COMMANDS:
        command.add(parsers)
    return parser


def _same_command(name: str, argv: Sequence[str] | None) -> str:
    """What to type to give this command again."""
    if "WORLD_SIZE" in os.environ:
        return f"give the same command with `alrp_ref.cli {name} ...` again"  # what started the processes is not known
    return shlex.join(["alrp", *(sys.argv[1:] if argv is None else argv)])


def _message(error: Exception) -> str:
    """What an error says; one from a data worker comes wrapped in that process's traceback, its own words last."""
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    text = str(error)
    return text.rsplit(f"{type(error).__name__}: ", 1)[-1].strip() if text.startswith("Caught ") else text


def _fail(message: str) -> int:
    print(f"alrp: {message}", file=sys.stderr)
    return BAD_INPUT


if __name__ == "__main__":
    sys.exit(main())
