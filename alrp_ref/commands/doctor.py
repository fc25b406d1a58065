"""`alrp doctor`: the installation."""

import argparse

from alrp_ref.commands.arguments import Parsers, new_command


def add(parsers: Parsers) -> None:
    text = "check that everything is installed and computes what it should"
    new_command(parsers, "doctor", run, text, is_light=True)


def run(args: argparse.Namespace) -> int:
    from alrp_ref import doctor

    return doctor.main()
