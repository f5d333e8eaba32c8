"""What a build leaves in the folder of a data set, and how a later build picks it up again."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import Any, Final

import numpy as np

from sts.base.errors import StsError
from sts.base.files import read_json, write_json
from sts.base.types import Floats
from sts.datasets.cell_files import FileStamp
from sts.datasets.journal import Outcomes
from sts.datasets.labels import CellLabel
from sts.datasets.naming import NOTES, NamedCell, name_cells
from sts.datasets.outcomes import DOUBLE, BuildSettings, Outcome, Verdict
from sts.datasets.store import SweepStore, load_store, write_store
from sts.datasets.table import (
    CellRow,
    FeatureRow,
    read_cells,
    read_features,
    write_cells,
    write_features,
)
from sts.signals.resample import PAIR_SHAPE

PRODUCTS: Final = {"store": "sweeps.h5", "features": "features.csv"}
CELLS_NAME: Final = "cells.csv"
MANIFEST_NAME: Final = "manifest.json"
# What a manifest keeps of who a cell is, as its own files say it.
WHO: Final = ("file", "specimen_id", "donor_id", "claims_id", "ignored_id", "was_read")
# Whose version may change what is written.
PACKAGES: Final = ("h5py", "numpy", "scipy")

Row = CellRow | FeatureRow
Rows = Sequence[Row]


@dataclass(frozen=True, kw_only=True)
class EarlierBuild:
    """What an earlier build left: the outcome of every file, and the rows as they stand."""

    outcomes: tuple[Outcome, ...]
    rows: dict[str, Rows]
    same_settings: bool


def read_earlier_build(
    out: Path, settings: BuildSettings, products: Sequence[str]
) -> EarlierBuild | None:
    """Return what is there of the products, None if any of them is missing."""
    paths = [out / PRODUCTS[product] for product in products]
    if not all(path.is_file() for path in paths):
        return None
    manifest = _read_manifest(out)
    for product, path in zip(products, paths, strict=True):
        if product not in manifest:
            raise StsError(
                f"{path} was not made by this command: choose another --out, or --force to replace "
                "it"
            )
    rows: dict[str, Rows] = {}
    if "store" in products:
        rows["store"] = read_cells(out / CELLS_NAME)
    if "features" in products:
        rows["features"] = read_features(out / PRODUCTS["features"])
    traces = _traces(out) if "store" in products else {}
    return EarlierBuild(
        outcomes=tuple(_outcomes(_known(manifest[products[0]], out), rows, traces)),
        rows=rows,
        same_settings=all(
            manifest[product]["settings"] == settings.of(product) for product in products
        ),
    )


def write_products(
    out: Path, settings: BuildSettings, outcomes: Iterable[Outcome], rows: Mapping[str, Rows]
) -> None:
    """Write the products; killed in between, the journal still holds what they are made of."""
    products = tuple(rows)
    for product in products:
        (out / PRODUCTS[product]).unlink(missing_ok=True)
    files: list[dict[str, Any]] = []
    who: list[dict[str, Any]] = []
    for outcome in outcomes:
        files += [asdict(stamp) for stamp in outcome.files]
        own = [stamp.file for stamp in outcome.files]
        who.append({"files": own} | {name: getattr(outcome, name) for name in WHO})
    section = {"versions": _versions(), "files": files, "cells": who}
    sections = {product: {"settings": settings.of(product), **section} for product in rows}
    write_json(out / MANIFEST_NAME, _read_manifest(out) | sections)
    features = [
        replace(row, times=settings.times)
        for row in rows.get("features", ())
        if isinstance(row, FeatureRow)
    ]
    cells = [row for row in rows.get("store", ()) if isinstance(row, CellRow)]
    if features:
        write_features(out / PRODUCTS["features"], features)
    if cells:
        write_cells(out / CELLS_NAME, cells)
    if good := [row for row in cells if row.status == "ok"]:
        write_store(out / PRODUCTS["store"], store_of(outcomes, good))


def make_rows(
    product: str, outcomes: Iterable[Outcome], labels: Mapping[str, CellLabel], dataset: str
) -> Rows:
    """Return the lines of one product, its cells named among themselves."""
    return make_named_rows(product, outcomes, name_cells(outcomes, labels), dataset)


def make_named_rows(
    product: str, outcomes: Iterable[Outcome], names: Sequence[NamedCell], dataset: str
) -> Rows:
    """Return the lines of cells.csv (`store`) or of features.csv (`features`).

    Parameters
    ----------
    names
        Who the cells are, the same for all products.
    dataset
        Where a cell comes from whose label does not say it.
    """
    make: Callable[[Outcome, Verdict], Row] = _cell_row if product == "store" else _feature_row
    rows: list[Row] = []
    for outcome, who in zip(outcomes, names, strict=True):
        verdict: Verdict = getattr(outcome, product)
        if who.double_of and verdict.status == "ok":
            verdict = Verdict(status="excluded", reason=f"{DOUBLE}: from {who.double_of}")
        verdict = replace(verdict, flags=(*who.notes, *verdict.flags))
        rows.append(
            replace(
                make(outcome, verdict),
                specimen_id=who.specimen_id,
                donor_id=who.donor_id,
                label=who.label,
                dataset=who.dataset or dataset,
                file=outcome.file,
                status=verdict.status,
                reason=verdict.reason,
            )
        )
    return rows


def _cell_row(outcome: Outcome, verdict: Verdict) -> CellRow:
    values: dict[str, Any] = dict(verdict.values)
    for name in ("rheobase_sweep", "second_sweep"):
        values[name] = int(values[name]) if name in values else None
    return CellRow(specimen_id="", status=verdict.status, flags=verdict.flags, **values)


def _feature_row(outcome: Outcome, verdict: Verdict) -> FeatureRow:
    return FeatureRow(
        specimen_id="", status=verdict.status, values=verdict.values, notes=verdict.flags
    )


def store_of(outcomes: Iterable[Outcome], good: Sequence[CellRow]) -> SweepStore:
    """Return the store of the cells whose rows are given, all of them `ok`."""
    return SweepStore(
        traces=_traces_of(outcomes, {row.file: place for place, row in enumerate(good)}),
        specimen_id=np.array([row.specimen_id for row in good]),
        donor_id=np.array([row.donor_id for row in good]),
        label=np.array([row.label for row in good]),
        dataset=np.array([row.dataset for row in good]),
        rheobase_pa=np.array([row.rheobase_pa for row in good]),
        step_pa=np.array([row.step_pa for row in good]),
        onset_s=np.array([row.onset_s for row in good]),
    )


def store_of_one(cell: Outcome, traces: Floats, values: Mapping[str, float]) -> SweepStore:
    """Return a store of the one cell that was just read."""
    return SweepStore(
        traces=traces[np.newaxis],
        specimen_id=np.array([cell.specimen_id]),
        donor_id=np.array([cell.donor_id]),
        label=np.array([""]),
        dataset=np.array([""]),
        rheobase_pa=np.array([values["rheobase_pa"]]),
        step_pa=np.array([values["step_pa"]]),
        onset_s=np.array([values["onset_s"]]),
    )


def _traces_of(outcomes: Iterable[Outcome], places: Mapping[str, int]) -> Any:
    """Return the traces of some files, each at its place, or what reads them from the journal."""
    if isinstance(outcomes, Outcomes):
        return outcomes.traces_of(places)
    traces = np.empty((len(places), *PAIR_SHAPE), np.float32)
    for outcome in outcomes:
        if outcome.file not in places:
            continue
        if outcome.traces is None:
            raise ValueError(f"{outcome.file} is ok but has no traces")
        traces[places[outcome.file]] = outcome.traces
    return traces


def _known(section: Mapping[str, Any], out: Path) -> dict[str, Outcome]:
    """Return what a manifest says of every cell, without what was made of it."""
    if "cells" not in section:
        raise StsError(f"{out} was built by an earlier version: add --force to build it anew")
    stamps = {entry["file"]: FileStamp(**entry) for entry in section["files"]}
    return {
        cell["file"]: Outcome(
            files=tuple(stamps[file] for file in cell["files"]),
            **{name: cell[name] for name in WHO},
        )
        for cell in section["cells"]
    }


def _outcomes(
    known: Mapping[str, Outcome], rows: Mapping[str, Rows], traces: Mapping[str, Floats]
) -> Iterator[Outcome]:
    """Yield the outcomes that rows were made of, for cells that stand in the manifest."""
    by_file: dict[str, dict[str, Row]] = {}
    for product, own in rows.items():
        for row in own:
            by_file.setdefault(row.file, {})[product] = row
    for file, row_of in by_file.items():
        if file not in known or set(row_of) != set(rows):
            continue
        verdicts: dict[str, Any] = {name: _verdict_of(row) for name, row in row_of.items()}
        stored = row_of.get("store")
        yield replace(
            known[file],
            traces=traces.get(stored.specimen_id) if stored and stored.status == "ok" else None,
            **verdicts,
        )


def _verdict_of(row: Row) -> Verdict:
    if isinstance(row, FeatureRow):
        flags, values = row.notes, dict(row.values) if row.status == "ok" else {}
    else:
        flags = row.flags
        names = ("rheobase_pa", "step_pa", "onset_s", "rheobase_sweep", "second_sweep")
        values = {name: float(getattr(row, name)) for name in names if row.status == "ok"}
    # Who a cell is depends on all the others; it is found out anew.
    flags = tuple(flag for flag in flags if not flag.startswith(NOTES))
    return Verdict(status=row.status, reason=row.reason, flags=flags, values=values)


def _traces(out: Path) -> dict[str, Floats]:
    store = load_store(out / PRODUCTS["store"])
    return dict(zip(store.specimen_id.tolist(), store.traces, strict=True))


def _read_manifest(out: Path) -> dict[str, Any]:
    path = out / MANIFEST_NAME
    manifest: dict[str, Any] = read_json(path) if path.is_file() else {}
    return manifest


def _versions() -> dict[str, str]:
    from sts import __version__

    return {"sts": __version__} | {name: metadata.version(name) for name in PACKAGES}
