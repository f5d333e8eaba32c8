"""What baseline_pipeline.py prints of --transfer and --with-networks."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from sts.base.errors import StsError
from sts.cli.run import Status, say, say_table
from sts.cli.scores import HELD_OUT, say_scores

if TYPE_CHECKING:
    from sts.base.workspace import Workspace
    from sts.studies.classify.fusion import Fused, RunPredictions
    from sts.studies.classify.tables.cells import Source
    from sts.studies.classify.tables.settings import TableJob


def add_transfer(parser: argparse.ArgumentParser) -> None:
    """Add what TRAIN does besides training."""
    group = parser.add_argument_group("TRAIN, with another question")
    group.add_argument(
        "--transfer",
        action="store_true",
        help="train on each data set and test on the other: does it know neurons, or data sets? "
        "(the holdout stays closed, no model is kept)",
    )
    group.add_argument(
        "--with-networks",
        type=Path,
        metavar="RUN",
        help="join the table with a network, by the folder of its TRAIN run: what do both know "
        "that each alone does not?",
    )


def check_transfer(args: argparse.Namespace) -> None:
    """Refuse flags that ask for two things at once."""
    if (args.transfer or args.with_networks) and args.mode != "TRAIN":
        raise StsError("--transfer and --with-networks go with TRAIN: leave out the mode")
    if not args.transfer:
        return
    given = {
        "--times": args.times,
        "--published": args.published,
        "--with-networks": args.with_networks,
    }
    if unwanted := [name for name, value in given.items() if value]:
        raise StsError(f"--transfer looks at all times and features: leave out {unwanted[0]}")


def say_transfer(
    args: argparse.Namespace, workspace: "Workspace", source: "Source", job: "TableJob"
) -> int:
    """Run --transfer and print its table."""
    from sts.studies.classify.transfer.findings import SETS, TransferJob
    from sts.studies.classify.transfer.measure import transfer
    from sts.studies.classify.transfer.pages import transfer_table

    asked = TransferJob(
        features=(args.features,) if args.features else SETS,
        model=job.model,
        settings=job.settings,
        skip_missing=job.chosen.skip_missing,
        group_by=job.group_by,
        seed=job.seed,
    )
    found = transfer(workspace, asked, source=source, workers=args.workers)
    table = transfer_table(found.found)
    say_table(
        table.columns, [["" if value is None else value for value in row] for row in table.rows]
    )
    say()
    say(found.paragraph)
    say(f"report  {found.folder / 'report.html'}")
    return Status.DONE


def network_of(args: argparse.Namespace) -> "RunPredictions | None":
    """Return what the network that is named says, before anything is trained."""
    if args.with_networks is None:
        return None
    from sts.studies.classify.fusion import read_run_predictions

    return read_run_predictions(args.with_networks)


def say_fusion(
    args: argparse.Namespace,
    workspace: "Workspace",
    *,
    run: Path,
    network: "RunPredictions",
) -> None:
    """Join the table that was trained with the network and print what that gains."""
    from sts.studies.classify.fusion import FusionJob, fuse, read_run_predictions

    fusion = FusionJob(table=str(run), network=str(args.with_networks), seed=args.seed)
    fused = fuse(workspace, fusion, table=read_run_predictions(run), network=network)
    say()
    say_scores(HELD_OUT, {name: each["pooled"] for name, each in fused.scores.items()})
    _say_gains(fused)
    say(f"report  {fused.folder / 'report.html'}")


def _say_gains(fused: "Fused") -> None:
    for name, comparison in fused.gains.items():
        gain = comparison.groups["pooled"].differences["weighted_f1"].difference
        say(f"gain in weighted F1 over the {name} alone: {gain.in_words()}")
