"""Gather all that is known of the cells of a data folder, and write the viewer."""

import hashlib
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import numpy as np

from sts.base.errors import StsError
from sts.base.files import read_json
from sts.base.settings import Bounds, CheckedSettings
from sts.base.types import Floats
from sts.base.workspace import Workspace
from sts.datasets.build_files import CELLS_NAME
from sts.datasets.cells import cells_in, find_stores, find_tables
from sts.datasets.ep_tables import EpTable, load_ep_tables
from sts.datasets.feature_sets import UNITS
from sts.datasets.store import SweepStore, load_store
from sts.datasets.table import CellRow, read_cells
from sts.reports.predictions import NETWORK_FEATURES, read_network_features
from sts.reports.viewer.answers import CellAnswer, read_answers
from sts.reports.viewer.page import CellView, ViewerContent, write_viewer
from sts.studies.data.cell_map import CellMap, MapKind, find_quartiles, map_cells, measure_bands

VIEW_NAME: Final = "view.html"
ANSWERS_NAME: Final = "predictions.csv"
# A page of as many cells has about 30 MB; browsers open it within seconds.
MAX_CELLS: Final = 4500

# What places the cells: "auto" takes the features of the network where the run has them.
MapSource = Literal["auto", "network", "table"]

logger = logging.getLogger("sts")


@dataclass(frozen=True, kw_only=True)
class ViewJob(CheckedSettings):
    """What to show, and how."""

    data: Path
    run: Path | None = None
    """The folder of a run; its predictions are shown."""
    out: Path | None = None
    """Default: `view.html` in the folder of the run, else in the data folder."""
    map_kind: MapKind = "pca"
    map_from: MapSource = "auto"
    seed: int = 0
    max_cells: Annotated[int, Bounds(1, 20_000)] = MAX_CELLS
    """Cells of a page; more cells are divided into several pages."""


@dataclass(frozen=True, kw_only=True)
class Viewed:
    """The pages that were written, and what is on them."""

    paths: tuple[Path, ...]
    cells: int
    with_sweeps: int
    with_answers: int
    map_words: str


def view_cells(job: ViewJob) -> Viewed:
    """Write the viewer of a data folder."""
    answers = {} if job.run is None else read_answers(_find_answers(job.run))
    views = gather_cells(job.data, answers)
    if not views:
        raise StsError(
            f"no cell to view in {job.data}: build recordings into it with `data_pipeline.py build "
            "FOLDER --out DIR`, or name a data folder with --data"
        )
    table = _load_features(job.data)
    X = _values_of(views, table)
    places = place_by_network(views, answers, job) or _place_cells(views, X, job)
    path = job.out or (job.run or job.data) / VIEW_NAME
    content = ViewerContent(
        title=f"Cells of {'/'.join(job.data.resolve().parts[-2:])}",
        key=hashlib.sha256(str(job.data.resolve()).encode()).hexdigest()[:16],
        run=_name_run(job.run),
        command=_name_command(job),
        cells=views,
        X=X,
        names=table.names if table else (),
        units=[UNITS[name] for name in table.names] if table else (),
        points=places.points,
        map_words=places.words,
        neighbours=places.neighbours,
        quartiles=find_quartiles(X, np.array([view.label for view in views], dtype=np.str_)),
    )
    return Viewed(
        paths=tuple(write_viewer(path, content, max_cells=job.max_cells)),
        cells=len(views),
        with_sweeps=sum(view.traces is not None for view in views),
        with_answers=sum(view.answer is not None for view in views),
        map_words=places.words,
    )


def find_run(workspace: Workspace, run: Path) -> Path:
    """Return the folder of a run, which may be named from here or from the workspace."""
    for path in (run, workspace.root / run, workspace.output / run):
        if path.is_dir():
            return path
    raise StsError(f"no folder {run}: name the folder of a run, such as output/sts/.../...")


def find_data_of_run(run: Path) -> Path | None:
    """Return the folder whose cells a run of PREDICT has read; None if its settings name none."""
    settings = read_json(run / "settings.json") if (run / "settings.json").is_file() else {}
    source = settings.get("source") if isinstance(settings, dict) else None
    if not isinstance(source, dict):
        return None
    named = str(source.get("cells_from") or "")
    path = Path(named)
    folder = path.parent if path.suffix else path
    return folder if named and folder.is_dir() else None


def gather_cells(data: Path, answers: Mapping[str, CellAnswer]) -> list[CellView]:
    """Return every cell of a data folder and of a run, by data set and id."""
    views: dict[str, CellView] = {}
    if find_stores(data) or find_tables(data):
        known = cells_in(data)
        columns = (known.specimen_id, known.dataset, known.label, known.donor_id)
        for specimen, dataset, label, donor in zip(
            *(column.tolist() for column in columns), strict=True
        ):
            views[specimen] = CellView(
                specimen_id=specimen, dataset=dataset, label=label, donor_id=donor
            )
    for store in map(load_store, find_stores(data)):
        _add_sweeps(views, store)
    for row in _read_rows(data):
        _add_row(views, row)
    for specimen, answer in answers.items():
        _add_answer(views, specimen, answer)
    return sorted(views.values(), key=lambda view: (view.dataset, view.specimen_id))


def _add_sweeps(views: dict[str, CellView], store: SweepStore) -> None:
    for row, specimen in enumerate(store.specimen_id.tolist()):
        # A specimen in two stores is shown as the first has it; `check` names it.
        if specimen in views and views[specimen].traces is None:
            views[specimen] = replace(
                views[specimen],
                traces=store.traces[row],
                amplitudes_pa=(float(store.rheobase_pa[row]), float(store.step_pa[row])),
            )


def _read_rows(data: Path) -> Iterator[CellRow]:
    for path in (data / CELLS_NAME, *sorted(data.glob(f"*/{CELLS_NAME}"))):
        if path.is_file():
            yield from read_cells(path)


def _add_row(views: dict[str, CellView], row: CellRow) -> None:
    """Add what became of a recording: why it has no sweeps, or what is unusual."""
    specimen = row.specimen_id or row.file
    if not specimen:
        return
    known = views.get(specimen)
    if known is None:
        views[specimen] = CellView(
            specimen_id=specimen,
            dataset=row.dataset,
            label=row.label,
            donor_id=row.donor_id,
            status=row.status,
            reason=row.reason,
            notes=row.flags,
        )
    elif row.status == "ok" or known.traces is None:
        notes = dict.fromkeys((*known.notes, *row.flags))
        views[specimen] = replace(known, status=row.status, reason=row.reason, notes=tuple(notes))


def _add_answer(views: dict[str, CellView], specimen: str, answer: CellAnswer) -> None:
    known = views.get(specimen)
    if known is None:
        known = CellView(
            specimen_id=specimen,
            dataset=answer.dataset,
            label=answer.truth,
            status=answer.status,
            reason=answer.reason,
        )
    notes = (*known.notes, answer.notes) if answer.notes else known.notes
    views[specimen] = replace(known, answer=answer, notes=notes)


def _load_features(data: Path) -> EpTable | None:
    paths = find_tables(data)
    return load_ep_tables(paths) if paths else None


def _values_of(views: Sequence[CellView], table: EpTable | None) -> Floats:
    """Return the features of the cells, (cells, features), NaN where there are none."""
    if table is None:
        return np.empty((len(views), 0))
    places = {specimen: row for row, specimen in enumerate(table.specimen_id.tolist())}
    values = np.full((len(views), len(table.names)), np.nan)
    for row, view in enumerate(views):
        if view.specimen_id in places:
            values[row] = table.X[places[view.specimen_id]]
    return values


def place_by_network(
    views: Sequence[CellView], answers: Mapping[str, CellAnswer], job: ViewJob
) -> CellMap | None:
    """Return the map by the features of the network of the run; None if the run has none."""
    if job.run is None or job.map_from == "table":
        return None
    # The features are in the order of the table of predictions, the views in that of their ids.
    predicted = [specimen for specimen, answer in answers.items() if answer.prediction]
    features = read_network_features(job.run, len(predicted))
    if features is None and job.map_from == "network":
        raise StsError(
            f"no {NETWORK_FEATURES} in {job.run}: runs of `sts_pipeline.py` keep the features of "
            "their network, since version 0.2"
        )
    if features is None:
        return None
    places = {view.specimen_id: row for row, view in enumerate(views)}
    values = np.full((len(views), features.shape[1]), np.nan)
    values[[places[specimen] for specimen in predicted]] = features
    return map_cells(values, "features of the network", kind=job.map_kind, seed=job.seed)


def _place_cells(views: Sequence[CellView], X: Floats, job: ViewJob) -> CellMap:
    """Return the map by features or, without a table of features, by the spectra of sweeps."""
    if X.shape[1]:
        return map_cells(X, "features", kind=job.map_kind, seed=job.seed)
    rows = [row for row, view in enumerate(views) if view.traces is not None]
    if not rows:
        return map_cells(X, "features")
    strengths = measure_bands(np.stack([_traces_of(views[row]) for row in rows]))
    bands = np.full((len(views), strengths.shape[1]), np.nan)
    bands[rows] = strengths
    logger.info("no table of features: the map shows the spectra of the sweeps")
    what = "strengths of frequency bands of both sweeps (no table of features is there)"
    return map_cells(bands, what, kind=job.map_kind, seed=job.seed)


def _traces_of(view: CellView) -> Floats:
    if view.traces is None:
        raise ValueError(f"{view.specimen_id} has no sweeps")
    return view.traces


def _find_answers(run: Path) -> Path:
    path = run / ANSWERS_NAME
    if not path.is_file():
        raise StsError(f"no {ANSWERS_NAME} in {run}: name the folder of a finished run")
    return path


def _name_run(run: Path | None) -> str:
    return "" if run is None else "/".join(run.resolve().parts[-3:])


def _name_command(job: ViewJob) -> str:
    words: list[Any] = ["data_pipeline.py view --data", job.data.name]
    if job.run is not None:
        words += ["--run", _name_run(job.run)]
    return " ".join(map(str, words))
