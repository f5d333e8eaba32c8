"""The flags that name new cells, and what is printed of them: the same for every model."""

import argparse
from typing import TYPE_CHECKING

from sts.cli import flags
from sts.cli.flags import reading_of, refuse_selection
from sts.cli.run import Status, complain, say, say_table

if TYPE_CHECKING:
    from sts.reports.called import Called, Prediction
    from sts.studies.classify.new_cells import CellSource

# Cells without an answer, and cells unlike the training cells, that are named on the screen.
LINES = 10


def add_new_cells(group: "argparse._ActionsContainer") -> None:
    """Add what names the cells to be called."""
    group.add_argument(
        "--recordings",
        nargs="+",
        default=(),
        metavar="FILE",
        help="PREDICT: recordings, or folders of them",
    )
    group.add_argument(
        "--cells-from",
        metavar="DIR",
        help="PREDICT: a data set that `data_pipeline.py build` or `features` made, with or "
        "without labels",
    )


def add_workers(parser: "argparse._ActionsContainer", what: str) -> None:
    """Add the number of processes."""
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
    """Return where the cells to be called come from; exactly one place must be named."""
    from sts.base.errors import StsError
    from sts.studies.classify.new_cells import CellSource

    given = [bool(args.recordings), bool(args.cells_from), bool(table)]
    if sum(given) != 1:
        more = " or --table CSV" if features else ""
        raise StsError(
            "name the cells to predict by one of --recordings FILE..., --cells-from DIR"
            f"{more}; {sum(given) or 'none'} of them was given"
        )
    if not args.recordings:
        refuse_selection(args, "these cells were measured before")
    return CellSource(
        recordings=tuple(args.recordings),
        cells_from=args.cells_from or "",
        table=table,
        columns=columns,
        reading=reading_of(args, store=not features, features=features),
    )


def say_called(found: "Prediction") -> int:
    """Print what was called, and what could not be; return the exit status."""
    reasons = any(each.because for each in found.called)
    header = ("specimen", "class", "probability", "unlike training")
    say_table(
        (*header, "because") if reasons else header,
        [_row(each, reasons=reasons) for each in found.called if each.prediction],
    )
    _complain([f"warning: {each.warning()}" for each in found.called if each.unlike_training])
    lost = [each for each in found.called if not each.prediction]
    _complain([f"{each.status}: {each.file or each.specimen_id}: {each.reason}" for each in lost])
    say(f"table   {found.folder / 'predictions.csv'}")
    say(f"report  {found.folder / 'report.html'}")
    failed = any(each.status == "failed" for each in lost)
    return Status.PARTIAL if failed or len(lost) == len(found.called) else Status.DONE


def _row(each: "Called", *, reasons: bool) -> list[str]:
    because = "; ".join(why.in_words() for why in each.because)
    strange = {None: "unknown", True: "yes", False: "no"}[each.unlike_training]
    row = [each.specimen_id or each.file, each.prediction, f"{each.probability:.3f}", strange]
    return [*row, because] if reasons else row


def _complain(lines: list[str]) -> None:
    for line in lines[:LINES]:
        complain(line)
    if len(lines) > LINES:
        complain(f"and {len(lines) - LINES} more like these, in the table")
