"""What the commands of data_pipeline.py share: how one is added, and where its data are."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from sts.cli import flags

if TYPE_CHECKING:
    # The type that add_subparsers returns has no public name.
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]

# Importing a study takes seconds (numpy, h5py, torch); --help must not wait for that. So every
# command imports what it runs when it runs.


def add_command(
    commands: "Commands",
    name: str,
    command: Callable[[argparse.Namespace], int],
    text: str,
) -> argparse.ArgumentParser:
    """Add a command; the first sentence of `text` is what the list of commands says."""
    summary = text.split(".")[0]
    parser = commands.add_parser(name, help=summary[0].lower() + summary[1:], description=text)
    parser.set_defaults(command=command)
    flags.add_place(parser)
    return parser


def data_of(args: argparse.Namespace) -> Path:
    """Return the folder that data are read from."""
    data: Path = args.data or flags.workspace_of(args).data
    return data
