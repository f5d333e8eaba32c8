"""TEST and PREDICT: a stored model on the holdout of the cells in the data, and on new cells.

New cells come from recordings, from a data set that was built, or from a table of features.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from sts.base.errors import StsError
from sts.base.logs import printable
from sts.base.runs import Run, start_run
from sts.base.workspace import Workspace
from sts.datasets.build_files import CELLS_NAME, Row, make_rows, make_sweep_store
from sts.datasets.cell_files import CellFiles
from sts.datasets.cell_results import BuildSettings, CellResult, process_cells
from sts.datasets.cells import require_stores
from sts.datasets.column_maps import read_column_map
from sts.datasets.ep_tables import (
    EpTable,
    find_ep_tables,
    join_ep_tables,
    read_ep_table,
)
from sts.datasets.series_files import find_series
from sts.datasets.specimen_ids import name_cells
from sts.datasets.store import SweepStore, load_store, merge_stores
from sts.datasets.table import OWN_TABLE, CellRow, FeatureRow, read_cells, read_features
from sts.evaluation.scores import Scores
from sts.recordings.readers import find_recordings
from sts.reports.new_cells import (
    Answers,
    PredictedCell,
    PredictResult,
    add_answers,
    list_predictions,
    write_new_cells,
)
from sts.reports.predictions import write_network_features
from sts.signals.feature_names import FEATURES
from sts.studies.classify.cohort import Cohort
from sts.studies.classify.models import FittedModel
from sts.studies.classify.nwb_copies import CopyJob, choose_copies, write_copies
from sts.studies.classify.pages import LeftOut, list_left_out, sets_section, write_test_report


@dataclass(frozen=True, kw_only=True, eq=False)
class Tested:
    """The results of TEST."""

    folder: Path
    scores: dict[str, Scores]
    left_out: tuple[LeftOut, ...] = ()


def test_model(
    workspace: Workspace,
    job: Any,
    model: FittedModel,
    cohort: Cohort[Any],
    *,
    study: str,
    left_out: tuple[LeftOut, ...] | None = None,
) -> Tested:
    """Score a stored model on the holdout and leave a report.

    Parameters
    ----------
    job
        The settings of the run, with a seed.
    left_out
        Cells of the study that could not be used; None for models that can use all.
    """
    name = model.run_name
    with start_run(workspace, study=study, what=name, settings=job) as run:
        rows = cohort.open_holdout(f"TEST of {name}, {run.final.name}")
        rng = np.random.default_rng(job.seed)
        scored = model.apply(rows)
        evaluated = cohort.evaluate(rows, model.calibrated(scored.logits), rng=rng)
        write_network_features(run.path, scored.features)
        sets = model.score_sets(evaluated.predictions)
        more = [*sets_section(sets, model.coverage), *list_left_out(run, left_out or ())]
        write_test_report(run, model.describe(), evaluated, more=more)
        run.report(
            {
                "model": {"name": name, "sha256": model.card.sha256},
                "holdout": {group: score.to_dict() for group, score in evaluated.scores.items()},
                "prediction_sets": {name: each.to_dict() for name, each in sets.items()},
                **({} if left_out is None else {"left_out": len(left_out)}),
            }
        )
    return Tested(folder=run.final, scores=evaluated.scores, left_out=left_out or ())


def refuse_other_cells(card: Any, cohort: Cohort[Any]) -> None:
    """Raise an error if the model may have been trained on cells of the holdout."""
    if not cohort.is_trained_on(str(card.data.get("training_fingerprint"))):
        raise StsError(
            f"{card.name} was trained on other cells than those of {cohort.split.origin}: scores "
            "on its holdout would mean nothing; train it again or name its --data"
        )


class Answering(Protocol):
    """What answers for new cells: a model with the cells whose status is ok."""

    def answer(self) -> Answers:
        """Return the answers of PREDICT for all cells."""

    def draw(self, run: Run, cells: Sequence[PredictedCell]) -> dict[str, list[Path]]:
        """Draw predicted cells; return the files of each picture by caption."""


def predict_cells(
    workspace: Workspace,
    job: object,
    *,
    study: str,
    name: str,
    sha256: object,
    cells: Sequence[PredictedCell],
    model: Answering | None,
    copies: CopyJob | None = None,
) -> PredictResult:
    """Predict the class of every cell, and leave a table and a page.

    Parameters
    ----------
    name, sha256
        The name of the model, and the digests of its files.
    cells
        Every file or cell that was read.
    model
        With the cells whose status is ok, in their order; None where there are none.
    copies
        How to write the results into copies of the recordings, None to write none.
    """
    targets = {} if copies is None else choose_copies(cells, copies.folder)
    with start_run(workspace, study=study, what=name, settings=job) as run:
        predicted = list(cells)
        if model is not None:
            answers = model.answer()
            predicted = add_answers(cells, answers)
            write_network_features(run.path, answers.features)
        pictures = {} if model is None else model.draw(run, predicted)
        write_new_cells(run.path, predicted, model=name, pictures=pictures)
        run.report({"model": name, "sha256": sha256, "cells": list(list_predictions(predicted))})
    lost = () if copies is None else write_copies(predicted, targets, copies, name, sha256)
    return PredictResult(folder=run.final, cells=tuple(predicted), not_written=lost)


@dataclass(frozen=True, kw_only=True)
class CellSource:
    """The source of new cells: one of the first three fields is given."""

    recordings: tuple[str, ...] = ()
    """Files, or folders of them."""
    series: str = ""
    """A pattern of files in these folders that hold one channel of one sweep each."""
    cells_from: str = ""
    """The folder of one or several built data sets, or a file of one."""
    table: str = ""
    """A table of features."""
    columns: str = ""
    """A file that says which of its columns are which features."""
    reading: BuildSettings = field(default_factory=BuildSettings)
    """The settings for reading recordings."""


def make_copy_job(source: CellSource, folder: Path | None, *, workers: int) -> CopyJob | None:
    """Return how to copy the recordings of a source with their results, None without a folder."""
    if folder is None:
        return None
    if not source.recordings:
        raise StsError("--write-nwb copies recordings: name them by --recordings")
    return CopyJob(folder=folder, reading=source.reading, workers=workers)


def find_new_sweeps(
    source: CellSource, *, workers: int = 0
) -> tuple[list[PredictedCell], SweepStore | None]:
    """Return all cells, and the sweeps of the cells with status ok, in order."""
    if source.cells_from:
        return _load_sweeps(Path(source.cells_from))
    cells, results = _read_recordings(source, workers)
    rows = make_rows("store", results, name_cells(results, {}, cells), "")
    good = [row for row in rows if isinstance(row, CellRow) and row.status == "ok"]
    read = _add_sources(_cells_of(rows), cells, results)
    return read, make_sweep_store(results, good) if good else None


def find_new_features(
    source: CellSource, *, needed: Sequence[str], workers: int = 0
) -> tuple[list[PredictedCell], EpTable | None]:
    """Return all cells, and the features of the cells with status ok, in order."""
    if source.cells_from:
        return _load_features(Path(source.cells_from), needed)
    if source.table:
        columns = read_column_map(Path(source.columns)) if source.columns else None
        table = read_ep_table(Path(source.table), needed=needed, columns=columns)
        return _cells_in(table, source.table, {}), table
    cells, results = _read_recordings(source, workers)
    rows = make_rows("features", results, name_cells(results, {}, cells), "")
    good = [row for row in rows if isinstance(row, FeatureRow) and row.status == "ok"]
    return _add_sources(_cells_of(rows), cells, results), _table_of(good) if good else None


def _read_recordings(
    source: CellSource, workers: int
) -> tuple[dict[str, CellFiles], list[CellResult]]:
    """Read all recordings in parallel; return the cells by name, and the results in their order."""
    cells = _find_cells(source)
    done = dict(process_cells(cells, source.reading, workers=workers))
    return {cell.name: cell for cell in cells}, [done[place] for place in range(len(cells))]


def _add_sources(
    predicted: Sequence[PredictedCell],
    cells: Mapping[str, CellFiles],
    results: Sequence[CellResult],
) -> list[PredictedCell]:
    """Return the cells with the files that each was read from."""
    stamps = {result.file: result.files for result in results}
    return [replace(cell, source=cells[cell.file], stamps=stamps[cell.file]) for cell in predicted]


def _find_cells(source: CellSource) -> list[CellFiles]:
    if source.series:
        folders = dict.fromkeys(source.recordings)
        found = [(folder, find_series(Path(folder), source.series)) for folder in folders]
        return [
            replace(cell, name=printable(str(Path(folder, name))))
            for folder, cells in found
            for name, cell in cells.items()
        ]
    paths = dict.fromkeys(path for name in source.recordings for path in find_recordings(name))
    names = {path: printable(str(path)) for path in paths}
    return [CellFiles(name=name, paths={name: path}) for path, name in names.items()]


def _load_sweeps(place: Path) -> tuple[list[PredictedCell], SweepStore]:
    """Return the cells of built data sets, and the other cells in cells.csv."""
    paths = [place] if place.is_file() else require_stores(place)
    tables = [path.with_name(CELLS_NAME) for path in paths]
    rows = [row for path in tables if path.is_file() for row in read_cells(path)]
    known = {row.specimen_id: row for row in rows if row.status == "ok"}
    store = merge_stores([load_store(path) for path in paths])
    cells = [
        _cell_of(known[name])
        if name in known
        else PredictedCell(file=str(paths[0]), specimen_id=name)
        for name in store.specimen_id.tolist()
    ]
    return [*cells, *_cells_of([row for row in rows if row.status != "ok"])], store


def _load_features(
    place: Path, needed: Sequence[str]
) -> tuple[list[PredictedCell], EpTable | None]:
    """Return the cells of measured data sets, and the other cells in features.csv."""
    if not place.exists():
        raise StsError(f"no folder {place}: name a data set from `data_pipeline.py build`")
    paths = [place] if place.is_file() else find_ep_tables(place)
    rows = {path: read_features(path) if path.name == OWN_TABLE else [] for path in paths}
    lost = _cells_of([row for own in rows.values() for row in own if row.status != "ok"])
    good = {path: [row for row in own if row.status == "ok"] for path, own in rows.items()}
    tables = {
        path: read_ep_table(path, needed=needed) for path in paths if good[path] or not rows[path]
    }
    if not tables:
        return lost, None
    cells: dict[str, PredictedCell] = {}
    # From the last: the first table that contains a cell has its features, and tells about it.
    for path, table in reversed(tables.items()):
        known = {row.specimen_id: row for row in good[path]}
        cells |= {cell.specimen_id: cell for cell in _cells_in(table, str(path), known)}
    whole = join_ep_tables(list(tables.values()))
    return [*(cells[name] for name in whole.specimen_id.tolist()), *lost], whole


def _cells_in(table: EpTable, file: str, known: Mapping[str, FeatureRow]) -> list[PredictedCell]:
    """Return the cells of a table, with the known facts about them."""
    cells = zip(
        table.specimen_id.tolist(), table.dataset.tolist(), table.label.tolist(), strict=True
    )
    return [
        _cell_of(known[name])
        if name in known
        else PredictedCell(file=file, specimen_id=name, dataset=dataset, label=label)
        for name, dataset, label in cells
    ]


def _cells_of(rows: Sequence[Row]) -> list[PredictedCell]:
    return [_cell_of(row) for row in rows]


def _cell_of(row: Row) -> PredictedCell:
    return PredictedCell(
        file=row.file,
        specimen_id=row.specimen_id,
        status=row.status,
        reason=row.reason,
        dataset=row.dataset,
        label=row.label,
        notes=row.flags if isinstance(row, CellRow) else row.notes,
    )


def _table_of(rows: Sequence[FeatureRow]) -> EpTable:
    return EpTable(
        specimen_id=np.array([row.specimen_id for row in rows]),
        donor_id=np.array([row.donor_id for row in rows]),
        label=np.array([row.label for row in rows]),
        dataset=np.array([row.dataset for row in rows]),
        claimed_id=np.array([row.claimed_id for row in rows]),
        X=np.array([[row.values[name] for name in FEATURES] for row in rows]),
        names=FEATURES,
    )
