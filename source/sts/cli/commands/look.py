"""`check`, `show` and `compare`: look at data, at cells and at runs."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from sts.cli import flags
from sts.cli.flags import add_command, add_selection, data_of, reading_of, refuse_selection
from sts.cli.run import Status, complain, say, say_table

if TYPE_CHECKING:
    from sts.cli.flags import Commands
    from sts.datasets.outcomes import BuildSettings

# What is said above the lines of each severity.
HEADINGS = {"change": "must be changed", "note": "to know"}


def add_check(commands: "Commands") -> None:
    """Add `check`."""
    parser = add_command(
        commands,
        "check",
        _check,
        "Count what lies in data/ and name its contradictions. Labels, splits, tables of features, "
        "sweep stores: how many cells of each class and data set, the medians of all features by "
        "data set, and what does not fit together. Exit status 2 if something must be changed.",
    )
    parser.add_argument(
        "--table",
        type=Path,
        metavar="CSV",
        help="show the medians of this table of features beside those of the data sets",
    )
    flags.add_columns(parser)
    parser.add_argument(
        "--out", type=Path, metavar="CSV", help="write every case there, not just some of each kind"
    )


def _check(args: argparse.Namespace) -> int:
    from sts.datasets.check import COUNTED, check, write_cases

    flags.refuse_columns(args)
    checked = check(data_of(args))
    for path in checked.paths:
        say(f"read {path}")
    say()
    say_table(("data set", "class", *COUNTED), checked.counts)
    _say_medians(args)
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


def _say_medians(args: argparse.Namespace) -> None:
    from sts.datasets.medians import MARK, compare_medians

    medians = compare_medians(data_of(args), table=args.table, columns=args.columns)
    if len(medians.header) > len(("feature", "unit")):
        say("\nmedians by data set:")
        say_table(medians.header, medians.rows)
        if medians.has_marks:
            say(f"{MARK} outside the plausible range: another unit, or times from another moment")
    for fault in medians.faults:
        complain(f"no medians: {fault}")


def add_show(commands: "Commands") -> None:
    """Add `show`."""
    parser = add_command(
        commands,
        "show",
        _show,
        "Draw a cell's two sweeps over their scalograms. As PNG and SVG, with true axes.",
    )
    parser.add_argument(
        "specimen",
        nargs="*",
        metavar="SPECIMEN",
        help="a specimen id, or a recording file (default: one cell of each class)",
    )
    flags.add_seed(parser)
    add_selection(parser)


def add_compare(commands: "Commands") -> None:
    """Add `compare`."""
    parser = add_command(
        commands,
        "compare",
        _compare,
        "Compare two runs on the same held-out cells. Paired differences with intervals, pooled "
        "and by data set.",
    )
    parser.add_argument("first", type=Path, metavar="RUN", help="the folder of a run")
    parser.add_argument("second", type=Path, metavar="RUN", help="the folder of another run")
    flags.add_seed(parser)


def _show(args: argparse.Namespace) -> int:
    if not any(Path(name).is_file() for name in args.specimen):
        refuse_selection(args, "cells of a sweep store are shown as they were built")
    draw_cells(
        args,
        data=data_of(args),
        specimens=tuple(args.specimen),
        seed=args.seed,
        reading=reading_of(args),
    )
    return Status.DONE


def draw_cells(
    args: argparse.Namespace,
    *,
    data: Path,
    specimens: tuple[str, ...] = (),
    seed: int = 0,
    reading: "BuildSettings | None" = None,
) -> None:
    """Draw cells of a data set, or recordings, and name the pictures."""
    from sts.datasets.outcomes import BuildSettings
    from sts.studies.data.show import ShowSettings, show

    settings = ShowSettings(
        data=str(data), specimens=specimens, seed=seed, reading=reading or BuildSettings()
    )
    for path in show(flags.workspace_of(args), settings):
        say(f"{path}")


def _compare(args: argparse.Namespace) -> int:
    from sts.studies.data.compare import CompareJob, compare_runs

    job = CompareJob(first=str(args.first), second=str(args.second), seed=args.seed)
    compared = compare_runs(flags.workspace_of(args), job)
    say_table(compared.table.columns, compared.table.rows)
    say()
    for sentence in compared.cells:
        say(sentence)
    say(f"report  {compared.folder / 'report.html'}")
    return Status.DONE
