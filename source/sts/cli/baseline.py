"""The arguments of baseline_pipeline.py and what it prints."""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sts import __version__
from sts.base.errors import StsError
from sts.base.logs import program
from sts.cli import flags
from sts.cli.classify import (
    HELD_OUT_TITLE,
    add_new_cells,
    add_workers,
    new_cells_of,
    read_coverage,
    run_mode,
    say_predicted,
    say_scores,
    say_tested,
    say_trained,
)
from sts.cli.flags import SELECTION, add_selection
from sts.cli.leave_out import add_leave_out, check_leave_out, say_left_out
from sts.cli.run import Status, say, say_table
from sts.cli.types import add_types, check_types, is_for_types, predict_types, say_types

if TYPE_CHECKING:
    from sts.base.workspace import Workspace
    from sts.studies.classify.fusion import RunPredictions
    from sts.studies.classify.tables.cells import Source
    from sts.studies.classify.tables.settings import TableJob

MODEL_NAMES = ("lightgbm", "extra-trees", "hist-boosting", "svm", "logistic", "stack")
# The modes that use an option; an option without an entry belongs to all.
_TAKEN_BY = {
    "data": ("TRAIN", "TEST"),
    "labels": ("TRAIN", "TEST"),
    "group_by": ("TRAIN",),
    "seed": ("TRAIN", "TEST"),
    "skip_missing": ("TRAIN",),
    "trials": ("TRAIN",),
    "folds": ("TRAIN",),
    "settings": ("TRAIN",),
    "storage": ("TRAIN",),
    "wandb": ("TRAIN",),
    "transfer": ("TRAIN",),
    "types": ("TRAIN", "PREDICT"),
    "coverage": ("TRAIN", "PREDICT"),
    "release": ("TRAIN",),
    "datasets": ("TRAIN",),
    "estimate_frequencies": ("PREDICT",),
    "leave_out": ("TRAIN",),
    "adapt": ("TRAIN",),
    "with_networks": ("TRAIN",),
    "workers": ("TRAIN", "PREDICT"),
    "recordings": ("PREDICT",),
    "series": ("PREDICT",),
    "write_nwb": ("PREDICT",),
    "cells_from": ("PREDICT",),
}
_TAKEN_BY |= dict.fromkeys(SELECTION, ("PREDICT",))


def main(argv: Sequence[str] | None = None) -> int:
    """Run baseline_pipeline.py with these arguments and return its exit status."""
    parser = make_baseline_parser()
    return run_mode(parser, argv, MODES, taken_by=_TAKEN_BY, check=_check)


def make_baseline_parser() -> argparse.ArgumentParser:
    """Return the parser of baseline_pipeline.py."""
    parser = argparse.ArgumentParser(
        prog=program("baseline_pipeline.py"),
        description="Train, test and use classifiers of electrophysiology features.",
        epilog="`%(prog)s --demo` runs it all on simulated cells.",
    )
    parser.add_argument("--version", action="version", version=__version__)
    parser.add_argument(
        "mode",
        nargs="?",
        type=str.upper,
        choices=MODES,
        default="TRAIN",
        metavar="MODE",
        help="TRAIN (default), TEST or PREDICT",
    )
    flags.add_place(parser)
    flags.add_seed(parser)
    flags.add_name(parser)
    _add_model(parser)
    _add_training(parser)
    _add_transfer(parser)
    add_types(parser)
    _add_cells(parser)
    return parser


def _add_model(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("which model")
    group.add_argument(
        "--model",
        type=str.lower,
        default="lightgbm",
        metavar="NAME",
        help=f"{', '.join(MODEL_NAMES)} (default: first)",
    )
    group.add_argument(
        "--features",
        type=flags.any_case("paper", "paper+isi", "shared", "engineered"),
        metavar="SET",
        help="paper, paper+isi, shared, engineered (default), or a file that lists names",
    )
    group.add_argument(
        "--times",
        type=str.lower,
        choices=("onset", "absolute"),
        help="origin of times: the stimulus onset (default) or the start of the sweep, which "
        "reveals the data set; absolute is for reproducing the published figure only",
    )
    group.add_argument(
        "--published",
        action="store_true",
        help="all published choices: features of the paper, absolute times, search space",
    )
    group.add_argument(
        "--skip-missing",
        action="store_true",
        help="leave out features that no training cell has",
    )


def _add_training(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("TRAIN")
    group.add_argument(
        "--trials",
        type=flags.positive,
        metavar="N",
        help="settings to try (default: 50, other models fewer)",
    )
    group.add_argument("--folds", type=flags.folds, metavar="N", help="(default: 3)")
    group.add_argument(
        "--settings",
        type=Path,
        metavar="JSON",
        help="train with these settings instead of searching",
    )
    add_workers(group, "folds, or recordings, in parallel")
    group.add_argument(
        "--storage",
        metavar="URL",
        help="where trials are kept: an SQLite file (default, in output/baseline), or "
        "postgresql://... or mysql://...",
    )
    group.add_argument(
        "--group-by",
        choices=("specimen", "donor"),
        help="cells to keep together on one side of a split and in one fold (default: donor where "
        "donors are known; with --published: specimen)",
    )
    flags.add_wandb(group)


def _add_cells(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("which cells")
    group.add_argument(
        "--table",
        type=Path,
        metavar="CSV",
        help="a table of features of your own: TRAIN and TEST with --labels, PREDICT without",
    )
    flags.add_columns(group)
    group.add_argument(
        "--labels", type=Path, metavar="CSV", help="TRAIN, TEST: lines of specimen_id,label"
    )
    add_new_cells(group)
    add_selection(parser)


def _add_transfer(parser: argparse.ArgumentParser) -> None:
    """Add the flags of the comparisons that TRAIN can make."""
    group = parser.add_argument_group("TRAIN, with another question")
    group.add_argument(
        "--transfer",
        action="store_true",
        help="train on each data set and test on the other: does the model know neurons, or data "
        "sets? (test cells are not used, no model is kept)",
    )
    add_leave_out(group)
    group.add_argument(
        "--with-networks",
        type=Path,
        metavar="RUN",
        help="combine the table with a network, given by the folder of its TRAIN run: what do both "
        "gain over each alone?",
    )


def _check(args: argparse.Namespace) -> None:
    """Refuse flags that ask for two things at once."""
    check_leave_out(args)
    _check_transfer(args)
    check_types(args)


def _check_transfer(args: argparse.Namespace) -> None:
    """Refuse flags that cannot be used with --transfer and --with-networks."""
    if (args.transfer or args.with_networks) and args.mode != "TRAIN":
        raise StsError("--transfer and --with-networks go with TRAIN: leave out the mode")
    if not args.transfer:
        return
    others = {
        "--times": args.times,
        "--published": args.published,
        "--with-networks": args.with_networks,
    }
    if unwanted := [name for name, value in others.items() if value]:
        raise StsError(f"--transfer compares all times and features: leave out {unwanted[0]}")
    ignored = {
        "--trials": args.trials,
        "--folds": args.folds,
        "--name": args.name,
        "--storage": args.storage,
        "--wandb": args.wandb != "off",
    }
    if unwanted := [name for name, value in ignored.items() if value]:
        raise StsError(f"--transfer searches and keeps no model: leave out {unwanted[0]}")


def _source(args: argparse.Namespace) -> "Source":
    from sts.datasets.demo import TABLE_FOLDER
    from sts.studies.classify.tables.cells import Source

    workspace = flags.workspace_of(args)
    data = args.data or (workspace.data / TABLE_FOLDER if args.demo else workspace.data)
    flags.refuse_columns(args)
    return Source(data=data, table=args.table, columns=args.columns, labels=args.labels)


def _job(args: argparse.Namespace) -> "TableJob":
    from sts.studies.classify.tables.settings import DEMO_TRIALS, make_table_job

    return make_table_job(
        model=args.model,
        features=args.features,
        times=args.times,
        published=args.published,
        # Simulated neurons lack features that few real ones have.
        skip_missing=args.skip_missing or args.demo,
        trials=args.trials or (DEMO_TRIALS if args.demo else None),
        folds=args.folds,
        group_by=args.group_by,
        seed=args.seed,
        file=args.settings,
    )


def _train(args: argparse.Namespace) -> int:
    if args.types:
        return say_types(args, flags.workspace_of(args), _source(args).data)
    job, source = _job(args), _source(args)
    if args.demo:
        from sts.datasets.demo import ensure_table

        ensure_table(source.data)
    workspace = flags.workspace_of(args)
    if args.leave_out:
        return say_left_out(args, workspace, source.data)
    if args.transfer:
        return _transfer(args, workspace, source, job)
    network = None
    if args.with_networks is not None:
        from sts.studies.classify.fusion import read_run_predictions

        # Read before training, since the folder may be the wrong one.
        network = read_run_predictions(args.with_networks)
    from sts.studies.classify.tables.training import prepare_table
    from sts.studies.classify.training import train

    trained = train(
        workspace,
        prepare_table(job, source=source, workers=args.workers),
        storage=args.storage,
        wandb=args.wandb,
        name=args.name,
    )
    say_trained(trained)
    if network is not None:
        _fuse(args, workspace, run=trained.folder, network=network)
    return Status.DONE


def _transfer(
    args: argparse.Namespace, workspace: "Workspace", source: "Source", job: "TableJob"
) -> int:
    """Run --transfer and print its table."""
    from sts.studies.classify.transfer.measure import transfer
    from sts.studies.classify.transfer.pages import transfer_table
    from sts.studies.classify.transfer.results import DEFAULT_SETS, TransferJob, describe_results

    transfer_job = TransferJob(
        features=(args.features,) if args.features else DEFAULT_SETS,
        model=job.model,
        settings=job.settings,
        skip_missing=job.chosen.skip_missing,
        group_by=job.group_by,
        seed=job.seed,
    )
    transferred = transfer(workspace, transfer_job, source=source, workers=args.workers)
    table = transfer_table(transferred.results)
    say_table(
        table.columns, [["" if value is None else value for value in row] for row in table.rows]
    )
    say()
    say(describe_results(transferred.results))
    say(f"report  {transferred.folder / 'report.html'}")
    return Status.DONE


def _fuse(
    args: argparse.Namespace, workspace: "Workspace", *, run: Path, network: "RunPredictions"
) -> None:
    """Combine the trained table with the network and print the gain."""
    from sts.studies.classify.fusion import FusionJob, fuse, read_run_predictions

    job = FusionJob(table=str(run), network=str(args.with_networks), seed=args.seed)
    fused = fuse(workspace, job, table=read_run_predictions(run), network=network)
    say()
    say_scores(HELD_OUT_TITLE, {name: groups["pooled"] for name, groups in fused.scores.items()})
    for name, comparison in fused.gains.items():
        gain = comparison.groups["pooled"].differences["weighted_f1"].difference
        say(f"gain in weighted F1 over the {name} alone: {gain.in_words()}")
    say(f"report  {fused.folder / 'report.html'}")


def _test(args: argparse.Namespace) -> int:
    from sts.studies.classify.tables.stored import TestJob, test_table

    wanted, source = _job(args), _source(args)
    job = TestJob(
        model=wanted.model,
        variant=wanted.variant,
        data=str(source.data),
        seed=args.seed,
        name=args.name,
    )
    say_tested(test_table(flags.workspace_of(args), job, source=source))
    return Status.DONE


def _predict(args: argparse.Namespace) -> int:
    from sts.studies.classify.tables.stored import TablePredictJob, predict_by_table

    flags.refuse_columns(args)
    source = new_cells_of(
        args, features=True, table=str(args.table or ""), columns=str(args.columns or "")
    )
    wanted, workspace = _job(args), flags.workspace_of(args)
    if is_for_types(args, wanted.folder(workspace.models, args.name)):
        return predict_types(args, workspace, source)
    if args.estimate_frequencies:
        raise StsError("--estimate-frequencies is for a tree of types: add --types")
    job = TablePredictJob(
        model=wanted.model,
        variant=wanted.variant,
        source=source,
        name=args.name,
        **read_coverage(args),
    )
    found = predict_by_table(workspace, job, workers=args.workers, write_nwb=args.write_nwb)
    return say_predicted(found)


MODES: dict[str, Callable[[argparse.Namespace], int]] = {
    "TRAIN": _train,
    "TEST": _test,
    "PREDICT": _predict,
}
