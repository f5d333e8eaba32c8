"""Draw the two sweeps of a cell above their scalograms."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from sts.base.errors import StsError
from sts.base.logs import printable
from sts.base.runs import start_run
from sts.base.workspace import Workspace
from sts.datasets.build_files import make_rows, make_sweep_store
from sts.datasets.cell_files import CellFiles
from sts.datasets.cell_results import BuildSettings, process_in_sandbox
from sts.datasets.cells import require_stores
from sts.datasets.specimen_ids import name_cells
from sts.datasets.store import SweepStore, draw_one_a_class, load_store
from sts.datasets.table import CellRow
from sts.reports.figures.scalogram import draw_cell, draw_classes, picture_of


@dataclass(frozen=True, kw_only=True)
class ShowSettings:
    """The cells to draw."""

    data: str
    specimens: tuple[str, ...] = ()
    """Specimen ids or recording files; empty: one cell of each class, drawn by `seed`."""
    seed: int = 0
    reading: BuildSettings = field(default_factory=BuildSettings)
    """The settings for reading recording files."""


def show(workspace: Workspace, settings: ShowSettings) -> tuple[Path, ...]:
    """Draw the requested cells and return the pictures."""
    cells = list(_find_named(settings) if settings.specimens else _draw_of_each_class(settings))
    # A folder's name may have 255 bytes, of up to four a letter.
    what = "-".join(Path(name).stem for name in settings.specimens[:3])[:60] or "classes"
    with start_run(workspace, study="show", what=what, settings=settings) as run:
        pictures = [picture_of(cell) for cell in cells]
        drawn: list[Path] = []
        if not settings.specimens:
            drawn += draw_classes(run.figures / "classes", pictures)
        names = _choose_file_names([picture.specimen_id for picture in pictures])
        for name, picture in zip(names, pictures, strict=True):
            drawn += draw_cell(run.figures / name, picture)
        run.report({"cells": [_facts(cell) for cell in cells]})
    return tuple(run.final / path.relative_to(run.path) for path in drawn)


def _find_named(settings: ShowSettings) -> Iterator[SweepStore]:
    """Yield a store of one cell for every named specimen or recording."""
    stores: list[SweepStore] = []
    for name in settings.specimens:
        if _is_path(name):
            yield _read_file(Path(name), settings.reading)
            continue
        stores = stores or [load_store(path) for path in require_stores(Path(settings.data))]
        yield _find(stores, name, settings.data)


def _is_path(name: str) -> bool:
    """Tell whether a name is the name of a file on disk."""
    try:
        return Path(name).exists() and not Path(name).is_dir()
    except OSError:  # too long to be a path
        return False


def _read_file(path: Path, reading: BuildSettings) -> SweepStore:
    """Return a store of the cell in a recording, which is read in a sandbox."""
    name = printable(str(path))
    result = process_in_sandbox(CellFiles(name=name, paths={name: path}), reading)
    if result.store is None or result.traces is None:
        reason = "" if result.store is None else result.store.reason
        raise StsError(f"{path} cannot be shown: {reason}")
    rows = make_rows("store", [result], name_cells([result], {}), "")
    return make_sweep_store([result], [row for row in rows if isinstance(row, CellRow)])


def _find(stores: Sequence[SweepStore], specimen: str, data: str) -> SweepStore:
    for store in stores:
        here = store.specimen_id == specimen
        if here.any():
            return store.rows(here)
    examples = ", ".join(str(store.specimen_id[0]) for store in stores)
    raise StsError(
        f"no specimen {specimen!r} in the sweep stores of {data}: cells.csv there has the result "
        f"of each cell; an existing one is {examples}"
    )


def _draw_of_each_class(settings: ShowSettings) -> list[SweepStore]:
    """Return one cell of each existing class, selected by `seed`."""
    stores = [load_store(path) for path in require_stores(Path(settings.data))]
    cells = list(draw_one_a_class(stores, np.random.default_rng(settings.seed)))
    if not cells:
        raise StsError(
            f"no cell in {settings.data} has a label: name a SPECIMEN, or build with --labels"
        )
    return cells


def _facts(cell: SweepStore) -> dict[str, Any]:
    names = ("specimen_id", "donor_id", "label", "dataset", "rheobase_pa", "step_pa", "onset_s")
    return {name: getattr(cell, name)[0].item() for name in names}


def _choose_file_names(specimens: Sequence[str]) -> list[str]:
    """Return a different file name for each specimen id, which is text from outside."""
    chosen: list[str] = []
    for specimen in specimens:
        stem = "".join(c if c.isalnum() or c in "-_" else "_" for c in specimen)[:60] or "cell"
        numbered = (f"{stem}-{number}" for number in range(2, len(chosen) + 2))
        chosen.append(next(name for name in (stem, *numbered) if name not in chosen))
    return chosen
