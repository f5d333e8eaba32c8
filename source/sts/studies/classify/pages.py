"""The reports of TRAIN and TEST: figures, predictions and report.html."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from sts.base.files import write_csv
from sts.base.runs import Run
from sts.evaluation.calibration import Calibration
from sts.evaluation.scores import POOLED, ClassSetScores, Scores
from sts.reports.figures.scores import draw_confusion
from sts.reports.page import Block, Picture, Section, Table, write_page
from sts.reports.predictions import PREDICTIONS, write_predictions
from sts.reports.tables import class_table, headline, notes_on_scores, score_table
from sts.reports.trained import (
    all_models_section,
    calibration_section,
    out_of_fold_section,
    search_blocks,
)
from sts.search.trials import SearchResult
from sts.studies.classify.cohort import Evaluated

CAVEAT: Final = (
    "Do not use the pooled figure alone: class and data set of origin are related in these cells, "
    "so a {kind} may gain by recognising the data set of a cell. Compare the columns."
)
_LEFT_OUT: Final = "left-out.csv"
# Largest number of left-out cells in a report.
LISTED_LEFT_OUT: Final = 20


@dataclass(frozen=True, kw_only=True)
class Description:
    """The description of a model on a page, without its scores."""

    title: str
    subtitle: str
    caveats: tuple[str, ...]
    settings: Table


@dataclass(frozen=True, kw_only=True)
class LeftOut:
    """A cell of a study that cannot be used, and why."""

    specimen_id: str
    label: str
    dataset: str
    reason: str


def write_test_report(
    run: Run,
    model: Description,
    evaluated: Evaluated,
    *,
    more: Sequence[Section] = (),
    last: Sequence[Section] = (),
) -> None:
    """Write the page of an evaluation on held-out cells, and the predictions.

    Parameters
    ----------
    more, last
        Sections before the settings of the model, and after them.
    """
    write_predictions(run.path / PREDICTIONS, evaluated.predictions)
    matrix = draw_confusion(run.figures / "confusion", evaluated.scores)
    blocks: list[Block] = [
        headline(evaluated.scores[POOLED]),
        *model.caveats,
        score_table(evaluated.scores),
        Picture(files=matrix, caption="Held-out cells: true class in rows, predicted in columns."),
        class_table(evaluated.scores),
        *notes_on_scores(evaluated.scores),
    ]
    settings = Section("Settings", [model.settings])
    write_page(
        run.path / "report.html",
        model.title,
        subtitle=model.subtitle,
        sections=[Section("Holdout", blocks), *more, settings, *last],
    )


def training_sections(
    run: Run,
    searched: SearchResult,
    *,
    out_of_fold: Mapping[str, Scores],
    calibration: Calibration,
    models: Path,
    curves: Sequence[Block] = (),
) -> list[Section]:
    """Return the sections of a training: folds and search, calibration, and all models."""
    blocks = [*curves, *search_blocks(run.figures, searched)]
    return [
        out_of_fold_section(out_of_fold, len(searched.trials), blocks),
        calibration_section(run, calibration),
        all_models_section(run.figures, models),
    ]


def sets_section(sets: Mapping[str, ClassSetScores], coverage: float) -> list[Section]:
    """Return the section of a report on prediction sets; none without sets."""
    if not sets:
        return []
    table = Table(
        columns=["cells", "number", "true class in the set", "classes in a set", "empty sets"],
        rows=[
            [name, f"{one.cells:,}", one.coverage.in_words(), f"{one.size:.2f}", f"{one.empty:.1%}"]
            for name, one in sets.items()
        ],
        caption="Held-out cells: all, those of each data set, and those of each class.",
    )
    text = (
        f"The set of a cell holds all classes that are possible for it: the true class of "
        f"{coverage:.0%} of new cells of every class, if they are like the cells that were kept "
        "aside. This is not promised for a single data set, nor for other laboratories."
    )
    return [Section("Prediction sets", [text, table])]


def list_left_out(run: Run, left_out: Sequence[LeftOut]) -> list[Section]:
    """Write the list of the cells that could not be used; return its section of a report."""
    if not left_out:
        return []
    lines = [asdict(cell) for cell in left_out]
    write_csv(run.path / _LEFT_OUT, list(lines[0]), lines)
    rows = [list(line.values()) for line in lines[:LISTED_LEFT_OUT]]
    table = Table(
        columns=list(lines[0]),
        rows=rows,
        caption=f"{len(rows)} of {len(lines)} cells; all are in {_LEFT_OUT}.",
    )
    return [Section("Cells left out", [table])]
