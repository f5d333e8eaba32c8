"""--leave-out of baseline_pipeline.py: its flags, and the results that it prints."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sts.base.errors import StsError
from sts.cli import flags
from sts.cli.run import Status, say, say_table

if TYPE_CHECKING:
    from sts.base.workspace import Workspace

# Given instead of names: all data sets whose files are there.
ALL_SETS: Final = "all"
# The default of --model.
FIRST_MODEL: Final = "lightgbm"
# Flags without an effect here, since data sets and method are fixed.
IGNORED: Final = (
    *("table", "labels", "features", "times", "published", "settings", "trials", "folds"),
    *("group_by", "skip_missing", "with_networks", "storage", "name", "demo", "workers"),
    *("types", "coverage"),
)


def add_leave_out(group: "argparse._ActionsContainer") -> None:
    """Add the flags for the data sets that are left out, and for the number of labels there."""
    group.add_argument(
        "--leave-out",
        nargs="+",
        default=(),
        metavar="NAME",
        help="with --transfer: leave out each of these published data sets, or of all, in turn: "
        "how well are the cells of a laboratory outside training classified?",
    )
    group.add_argument(
        "--adapt",
        nargs="+",
        type=flags.whole(3, 10_000),
        metavar="LABELS",
        help="with --leave-out: use so many labels per class of the data set that was left out "
        "(default: 5 20 50)",
    )


def check_leave_out(args: argparse.Namespace) -> None:
    """Refuse these flags without --transfer, and flags that they would ignore."""
    if args.leave_out and not args.transfer:
        raise StsError("--leave-out goes with --transfer: add it")
    if args.adapt and not args.leave_out:
        raise StsError("--adapt goes with --leave-out: name the data sets")
    ignored = [name for name in IGNORED if args.leave_out and getattr(args, name)]
    if args.leave_out and args.model != FIRST_MODEL:
        ignored.append("model")
    if args.leave_out and args.wandb != "off":
        ignored.append("wandb")
    if ignored:
        raise StsError(f"--leave-out would ignore --{ignored[0].replace('_', '-')}: leave it out")


def say_left_out(args: argparse.Namespace, workspace: "Workspace", data: Path) -> int:
    """Leave each data set out in turn and print the table."""
    from sts.datasets.laboratories import find_laboratories
    from sts.studies.classify.leave_out import leave_out
    from sts.studies.classify.leave_out_pages import LeaveOutJob, leave_out_table

    names = tuple(dict.fromkeys(args.leave_out))
    job = LeaveOutJob(
        datasets=find_laboratories(data) if names == (ALL_SETS,) else names,
        labels=tuple(args.adapt or LeaveOutJob.labels),
        seed=args.seed,
    )
    folder, scores = leave_out(workspace, job, data=data)
    table = leave_out_table(scores)
    say_table(table.columns, table.rows)
    say(f"report  {folder / 'report.html'}")
    return Status.DONE
