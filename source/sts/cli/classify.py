"""Common parts of sts_pipeline.py and baseline_pipeline.py: modes, flags of new cells, results."""

import argparse
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sts.cli import flags
from sts.cli.flags import reading_of, refuse_selection
from sts.cli.run import Status, complain, parse_arguments, run_command, say, say_table

if TYPE_CHECKING:
    from sts.evaluation.scores import Scores
    from sts.reports.new_cells import PredictedCell, PredictResult
    from sts.studies.classify.stored import CellSource, Tested
    from sts.studies.classify.training import Trained

HELD_OUT_TITLE: Final = "held-out cells"
# Number of printed cells with a warning or without an answer.
MOST_LINES: Final = 10


def run_mode(
    parser: argparse.ArgumentParser,
    argv: Sequence[str] | None,
    modes: Mapping[str, Callable[[argparse.Namespace], int]],
    *,
    taken_by: Mapping[str, Iterable[str]],
    check: Callable[[argparse.Namespace], None] = lambda args: None,
) -> int:
    """Run the command of the mode that was typed and return its exit status.

    Parameters
    ----------
    taken_by
        The modes that use an option; an option without an entry belongs to all.
    check
        Refuses options that contradict each other, before the options of the mode are checked.
    """
    args = parse_arguments(parser, argv)
    typed = flags.given_options(parser, sys.argv[1:] if argv is None else argv)

    def start(args: argparse.Namespace) -> int:
        check(args)
        flags.check_mode(typed, args.mode, taken_by)
        return modes[args.mode](args)

    return run_command(args, start)


def add_new_cells(group: "argparse._ActionsContainer") -> None:
    """Add the flags that name the cells of PREDICT."""
    group.add_argument(
        "--recordings",
        nargs="+",
        default=(),
        metavar="FILE",
        help="PREDICT: recordings, or folders of them",
    )
    group.add_argument(
        "--write-nwb",
        type=Path,
        metavar="DIR",
        help="PREDICT: write a copy of each recording there, as NWB 2 with tables of its spikes, "
        "features and prediction",
    )
    flags.add_series(group)
    group.add_argument(
        "--cells-from",
        metavar="DIR",
        help="PREDICT: a data set that `data_pipeline.py build` or `features` made, with or "
        "without labels",
    )
    group.add_argument(
        "--coverage",
        type=float,
        metavar="SHARE",
        help="share of new cells whose prediction set contains the true type (default: 0.9)",
    )


def add_workers(parser: "argparse._ActionsContainer", what: str) -> None:
    """Add the number of processes; `what` describes their work."""
    parser.add_argument(
        "--workers",
        type=flags.workers,
        default=0,
        metavar="N",
        help=f"{what} (default: as many as the cores this process may use)",
    )


def new_cells_of(
    args: argparse.Namespace, *, features: bool, table: str = "", columns: str = ""
) -> "CellSource":
    """Return the source of the cells of PREDICT; exactly one must be given."""
    from sts.base.errors import StsError
    from sts.studies.classify.stored import CellSource

    sources = [bool(args.recordings), bool(args.cells_from), bool(table)]
    if sum(sources) != 1:
        more = " or --table CSV" if features else ""
        raise StsError(
            "name the cells to predict by one of --recordings FILE..., --cells-from DIR"
            f"{more}; {sum(sources) or 'none'} of them were given"
        )
    if args.series and not args.recordings:
        raise StsError("--series says which files of --recordings FOLDER are a cell: name a folder")
    if args.write_nwb and not args.recordings:
        raise StsError("--write-nwb copies recordings: name them by --recordings")
    if not args.recordings:
        refuse_selection(args, "these cells were measured before")
    return CellSource(
        recordings=tuple(args.recordings),
        series=args.series,
        cells_from=args.cells_from or "",
        table=table,
        columns=columns,
        reading=reading_of(args, store=not features, features=features),
    )


def read_coverage(args: argparse.Namespace) -> dict[str, float]:
    """Return the coverage of prediction sets as a setting of a job, {} for the default."""
    from sts.base.errors import StsError

    if args.coverage is None:
        return {}
    if not 0 < args.coverage < 1:
        raise StsError(f"--coverage must lie between 0 and 1, not {args.coverage:g}")
    return {"coverage": args.coverage}


def say_predicted(found: "PredictResult") -> int:
    """Print the predicted classes, warnings and failures; return the exit status."""
    from sts.reports.new_cells import POSSIBLE

    with_reasons = any(cell.because for cell in found.cells)
    with_sets = any(cell.possible is not None for cell in found.cells)
    header = ("specimen", "class", "probability", *([POSSIBLE] if with_sets else []))
    header += ("unlike training",)
    say_table(
        (*header, "because") if with_reasons else header,
        [
            _row(cell, with_sets=with_sets, with_reasons=with_reasons)
            for cell in found.cells
            if cell.prediction
        ],
    )
    _say_types(found)
    _complain([f"warning: {cell.warning()}" for cell in found.cells if cell.unlike_training])
    lost = [cell for cell in found.cells if not cell.prediction]
    _complain([f"{cell.status}: {cell.file or cell.specimen_id}: {cell.reason}" for cell in lost])
    _complain([f"no copy: {line}" for line in found.not_written])
    say(f"table   {found.folder / 'predictions.csv'}")
    say(f"report  {found.folder / 'report.html'}")
    failed = found.not_written or any(cell.status == "failed" for cell in lost)
    return Status.PARTIAL if failed or len(lost) == len(found.cells) else Status.DONE


def _row(cell: "PredictedCell", *, with_sets: bool, with_reasons: bool) -> list[str]:
    because = "; ".join(reason.in_words() for reason in cell.because)
    unlike = {None: "unknown", True: "yes", False: "no"}[cell.unlike_training]
    return [
        *(cell.specimen_id or cell.file, cell.prediction, f"{cell.probability:.3f}"),
        *([cell.set_in_words()] if with_sets else []),
        unlike,
        *([because] if with_reasons else []),
    ]


def _say_types(found: "PredictResult") -> None:
    """Print what a tree of types says of each cell."""
    from sts.reports.type_answers import name_set

    typed = [(cell.specimen_id or cell.file, cell.types) for cell in found.cells if cell.types]
    if not typed:
        return
    say()
    coverage = typed[0][1].coverage
    say(f"sets that hold the true type of {coverage:.0%} of cells like the training cells:")
    levels = [f"possible {each.level}" for each in typed[0][1].levels[1:]]
    say_table(
        ("specimen", "safe answer", *levels, "nearest prototypes"),
        [
            (name, each.in_words(), *map(name_set, each.levels[1:]), each.nearest_in_words())
            for name, each in typed
        ],
    )


def _complain(lines: list[str]) -> None:
    for line in lines[:MOST_LINES]:
        complain(line)
    if len(lines) > MOST_LINES:
        complain(f"and {len(lines) - MOST_LINES} more such cells, in the table")


def say_scores(title: str, scores: "Mapping[str, Scores]") -> None:
    """Print a line for each name, then the notes on the scores; the title describes the cells."""
    from sts.reports.tables import notes_on_scores

    say_table(
        (title, "cells", "balanced accuracy", "weighted F1", "accuracy", "ECE"),
        [
            (
                name,
                score.cells,
                score.balanced_accuracy.in_words(),
                score.weighted_f1.in_words(),
                score.accuracy.in_words(),
                score.ece.in_brief(),
            )
            for name, score in scores.items()
        ],
    )
    for note in notes_on_scores(scores):
        say(f"note: {note}")


def say_trained(trained: "Trained") -> None:
    """Print the scores of a training: of the holdout first, then of the folds."""
    from sts.reports.trained import name_out_of_fold

    say_scores(HELD_OUT_TITLE, trained.scores)
    say()
    say_scores(name_out_of_fold(trained.trials), trained.out_of_fold)
    say(f"model   {trained.model}")
    say(f"report  {trained.folder / 'report.html'}")


def say_tested(tested: "Tested") -> None:
    """Print the scores of a stored model on held-out cells."""
    say_scores(HELD_OUT_TITLE, tested.scores)
    say(f"report  {tested.folder / 'report.html'}")
