"""`figure`: the figures of the published studies, made anew from runs, for print."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from sts.cli import flags
from sts.cli.flags import add_command, data_of
from sts.cli.run import Status, say, say_table

if TYPE_CHECKING:
    from sts.cli.flags import Commands


def add_figure(commands: "Commands") -> None:
    """Add `figure`."""
    parser = add_command(
        commands,
        "figure",
        _figure,
        "Make a figure of a published study anew, for print. From the files of a run, at the "
        "width of one column (85 mm) or two (175 mm): PDF, PNG (300 dpi), the data behind it as "
        "CSV, and its caption. --list names all figures, and the runs they are made of.",
    )
    parser.add_argument("name", nargs="?", metavar="NAME", help="such as sts-3; see --list")
    parser.add_argument("--list", action="store_true", help="list all figures, and write nothing")
    parser.add_argument(
        "--run",
        type=Path,
        action="append",
        default=[],
        metavar="RUN",
        help="the folder of a run; again for each model that a figure compares",
    )
    parser.add_argument(
        "--cell", default="", metavar="SPECIMEN", help="the cell of sts-1 (default: by chance)"
    )
    parser.add_argument("--out", type=Path, metavar="DIR", help="(default: ROOT/output/figures)")
    flags.add_seed(parser)


def _figure(args: argparse.Namespace) -> int:
    from sts.base.errors import StsError
    from sts.reports.publications.source import FigureSource
    from sts.studies.data.figure import list_figures, make_figure
    from sts.studies.data.view import find_run

    if args.list:
        say_table(("figure", "made of a run of", "shows"), list_figures())
        return Status.DONE
    if args.name is None:
        raise StsError("no NAME of a figure given: --list names all")
    workspace = flags.workspace_of(args)
    source = FigureSource(
        runs=tuple(find_run(workspace, run) for run in args.run),
        data=data_of(args),
        cell=args.cell,
        seed=args.seed,
    )
    made = make_figure(workspace, args.name, source, out=args.out)
    for path in made.files:
        say(f"{path}")
    return Status.DONE
