"""The arguments of baseline_pipeline.py and what it prints."""

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from sts import __version__
from sts.base.logs import program
from sts.cli import flags
from sts.cli.called import add_new_cells, add_workers, new_cells_of, say_called
from sts.cli.flags import SELECTION, add_selection
from sts.cli.run import Status, parse_arguments, run
from sts.cli.scores import say_tested, say_trained
from sts.cli.transfer import add_transfer, check_transfer, network_of, say_fusion, say_transfer

if TYPE_CHECKING:
    from sts.studies.classify.tables.cells import Source
    from sts.studies.classify.tables.settings import TableJob

MODELS = ("lightgbm", "extra-trees", "hist-boosting", "svm", "logistic", "stack")


# The modes that look at an option; one that is not named belongs to all.
TAKEN_BY = {
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
    "with_networks": ("TRAIN",),
    "workers": ("TRAIN", "PREDICT"),
    "recordings": ("PREDICT",),
    "cells_from": ("PREDICT",),
}
TAKEN_BY |= dict.fromkeys(SELECTION, ("PREDICT",))


def main(argv: Sequence[str] | None = None) -> int:
    """Run baseline_pipeline.py with these arguments and return its exit status."""
    parser = make_baseline_parser()
    args = parse_arguments(parser, argv)
    given = flags.given_options(parser, sys.argv[1:] if argv is None else argv)
    return run(partial(_start, args, given), root=args.root, demo=args.demo)


def _start(args: argparse.Namespace, given: Mapping[str, str]) -> int:
    from sts.base.logs import set_up

    set_up(args.verbose - args.quiet)
    check_transfer(args)
    flags.check_mode(given, args.mode, TAKEN_BY)
    return MODES[args.mode](args)


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
    add_transfer(parser)
    _add_cells(parser)
    return parser


def _add_model(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("which model")
    group.add_argument(
        "--model",
        type=str.lower,
        default="lightgbm",
        metavar="NAME",
        help=f"{', '.join(MODELS)} (default: first)",
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
        help="what times count from: the stimulus onset (default) or the begin of the sweep, which "
        "tells the data set; absolute is for reproducing the published figure only",
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
    add_workers(group, "folds, or recordings, side by side")
    group.add_argument(
        "--storage",
        metavar="URL",
        help="where trials are kept: an SQLite file (default, in output/baseline), or "
        "postgresql://... or mysql://...",
    )
    group.add_argument(
        "--group-by",
        choices=("specimen", "donor"),
        help="what stands on one side of a split and in one fold only (default: donor where donors "
        "are known; with --published: specimen)",
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
        # Simulated neurons lack what few real ones have.
        skip_missing=args.skip_missing or args.demo,
        trials=args.trials or (DEMO_TRIALS if args.demo else None),
        folds=args.folds,
        group_by=args.group_by,
        seed=args.seed,
        file=args.settings,
    )


def _train(args: argparse.Namespace) -> int:
    job, source = _job(args), _source(args)
    if args.demo:
        from sts.datasets.demo import ensure_table

        ensure_table(source.data)
    workspace = flags.workspace_of(args)
    if args.transfer:
        return say_transfer(args, workspace, source, job)
    network = network_of(args)
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
        say_fusion(args, workspace, run=trained.folder, network=network)
    return Status.DONE


def _test(args: argparse.Namespace) -> int:
    from sts.studies.classify.tables.looking import TestJob, test_table

    wanted, source = _job(args), _source(args)
    job = TestJob(
        model=wanted.model,
        variant=wanted.variant,
        data=str(source.data),
        seed=args.seed,
        name=args.name,
    )
    tested = test_table(flags.workspace_of(args), job, source=source)
    say_tested(tested)
    return Status.DONE


def _predict(args: argparse.Namespace) -> int:
    from sts.studies.classify.tables.looking import TablePredictJob, predict_by_table

    flags.refuse_columns(args)
    source = new_cells_of(
        args, features=True, table=str(args.table or ""), columns=str(args.columns or "")
    )
    wanted = _job(args)
    job = TablePredictJob(model=wanted.model, variant=wanted.variant, source=source, name=args.name)
    return say_called(predict_by_table(flags.workspace_of(args), job, workers=args.workers))


MODES: dict[str, Callable[[argparse.Namespace], int]] = {
    "TRAIN": _train,
    "TEST": _test,
    "PREDICT": _predict,
}
