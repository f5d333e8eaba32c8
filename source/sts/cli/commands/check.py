"""`check`: what lies in the folder of data, and where it contradicts itself."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from sts.cli.commands.common import add_command, data_of
from sts.cli.output import say, say_table
from sts.cli.run import Status

if TYPE_CHECKING:
    from sts.cli.commands.common import Commands

# What is said above the lines of each severity.
HEADINGS = {"change": "must be changed", "note": "to know"}


def add_check(commands: "Commands") -> None:
    """Add `check`."""
    parser = add_command(
        commands,
        "check",
        _check,
        "Count what lies in data/ and name its contradictions. Labels, splits, tables of features, "
        "sweep stores: how many cells of each class and data set, and what does not fit together. "
        "Exit status 2 if something must be changed.",
    )
    parser.add_argument(
        "--out", type=Path, metavar="CSV", help="write every case there, not just some of each kind"
    )


def _check(args: argparse.Namespace) -> int:
    from sts.datasets.check import COUNTED, check, write_cases

    checked = check(data_of(args))
    for path in checked.paths:
        say(f"read {path}")
    say()
    say_table(("data set", "class", *COUNTED), checked.counts)
    for severity, heading in HEADINGS.items():
        if lines := checked.lines(severity):
            say(f"\n{heading}:")
            for line in lines:
                say(f"  {line}")
    if not checked.cases:
        say("\nnothing contradicts anything else")
    if args.out is not None:
        write_cases(args.out, checked)
        say(f"\n{args.out}")
    return Status.USER if checked.must_change else Status.DONE
