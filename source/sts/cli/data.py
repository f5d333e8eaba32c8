"""The arguments of data_pipeline.py."""

import argparse
from collections.abc import Callable, Sequence

from sts import __version__
from sts.base.logs import program
from sts.cli import flags
from sts.cli.commands.build import add_build, add_features, add_simulate
from sts.cli.commands.fetch import add_fetch
from sts.cli.commands.look import add_check, add_compare, add_show
from sts.cli.commands.machine import add_doctor, add_import
from sts.cli.run import parse_arguments, run_command

COMMANDS = (
    add_fetch,
    add_simulate,
    add_build,
    add_features,
    add_check,
    add_show,
    add_compare,
    add_import,
    add_doctor,
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run data_pipeline.py with these arguments and return its exit status."""
    args = parse_arguments(make_data_parser(), argv)
    return run_command(args, _start)


def _start(args: argparse.Namespace) -> int:
    flags.check_again(args)
    command: Callable[[argparse.Namespace], int] = args.command
    return command(args)


def make_data_parser() -> argparse.ArgumentParser:
    """Return the parser of data_pipeline.py."""
    parser = argparse.ArgumentParser(
        prog=program("data_pipeline.py"),
        description="Everything before and after a network: simulated cells, sweep stores, "
        "features, pictures.",
        epilog="`%(prog)s build --demo` runs the whole path on simulated cells.",
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for add in COMMANDS:
        add(commands)
    return parser
