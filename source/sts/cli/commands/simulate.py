"""`simulate`: make up cells."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from sts.cli import flags
from sts.cli.commands.common import add_command, data_of
from sts.cli.output import say, say_table
from sts.cli.run import Status

if TYPE_CHECKING:
    from sts.cli.commands.common import Commands


def add_simulate(commands: "Commands") -> None:
    """Add `simulate`."""
    parser = add_command(
        commands,
        "simulate",
        _simulate,
        "Make up cells and write them as NWB files. Four classes of Hodgkin-Huxley neurons, "
        "equally many of each, in two virtual data sets; a labels.csv says which is which.",
    )
    parser.add_argument(
        "--cells", type=flags.positive, default=40, metavar="N", help="(default: 40)"
    )
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="(default: ROOT/data/simulated/recordings)"
    )
    flags.add_seed(parser)
    flags.add_work(parser)
    flags.add_again(parser)


def _simulate(args: argparse.Namespace) -> int:
    from sts.studies.data.simulate import SimulateJob, plan_simulation, simulate

    job = SimulateJob(
        cells=args.cells,
        seed=args.seed,
        out=args.out or data_of(args) / "simulated" / "recordings",
        workers=args.workers,
        cluster=args.cluster,
        force=args.force,
    )
    if args.dry_run:
        say(f"would write {len(plan_simulation(job))} of {job.cells} cells to {job.out}")
        return Status.DONE
    report = simulate(job)
    say(f"{job.cells} cells in {job.out}, {report.written} of them written now")
    say_table(("dataset", "label", "cells"), report.counts)
    return Status.DONE
