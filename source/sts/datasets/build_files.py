"""The files that a build writes into the folder of a data set, and how a later build reads them."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import Any, Final

import numpy as np

from sts import __version__
from sts.base.errors import StsError
from sts.base.files import read_json, write_json
from sts.base.types import Floats
from sts.datasets.cell_files import FileStamp
from sts.datasets.cell_results import (
    LEFT_OUT,
    SECOND_RECORDING,
    BuildSettings,
    CellResult,
    ProductResult,
)
from sts.datasets.partial_build import KeptResults
from sts.datasets.specimen_ids import NOTES, NamedCell
from sts.datasets.store import NUMBER_FIELDS, TEXTS, SweepStore, load_store, write_store
from sts.datasets.table import (
    AMOUNTS,
    SWEEP_COLUMNS,
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
# The identity of a cell from its own files, stored in the manifest.
IDENTITY_FIELDS: Final = ("file", "specimen_id", "donor_id", "claims_id", "ignored_id", "was_read")
# Packages whose version can change the products; the manifest contains their versions.
PACKAGES: Final = ("h5py", "numpy", "scipy")

Row = CellRow | FeatureRow
ProductRows = Sequence[Row]


@dataclass(frozen=True, kw_only=True)
class EarlierBuild:
    """An earlier build: the result of every cell, and the rows of its tables."""

    results: tuple[CellResult, ...]
    rows: dict[str, ProductRows]
    same_settings: bool


def read_earlier_build(
    out: Path, settings: BuildSettings, products: Sequence[str]
) -> EarlierBuild | None:
    """Return the products of an earlier build, None if any of them is missing."""
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
    rows: dict[str, ProductRows] = {}
    traces: dict[str, Floats] = {}
    if "store" in products:
        rows["store"] = read_cells(out / CELLS_NAME)
        store = load_store(out / PRODUCTS["store"])
        traces = dict(zip(store.specimen_id.tolist(), store.traces, strict=True))
    if "features" in products:
        rows["features"] = read_features(out / PRODUCTS["features"])
    known = _read_identities(manifest[products[0]], out)
    return EarlierBuild(
        results=tuple(_restore_results(known, rows, traces)),
        rows=rows,
        same_settings=all(
            manifest[product]["settings"] == settings.of(product) for product in products
        ),
    )


def write_products(
    out: Path,
    settings: BuildSettings,
    results: Iterable[CellResult],
    rows: Mapping[str, ProductRows],
) -> None:
    """Write the products; if the process is killed, the partial build still has all results."""
    for product in rows:
        (out / PRODUCTS[product]).unlink(missing_ok=True)
    files: list[dict[str, Any]] = []
    who: list[dict[str, Any]] = []
    for result in results:
        files += [asdict(stamp) for stamp in result.files]
        own = [stamp.file for stamp in result.files]
        who.append({"files": own} | {name: getattr(result, name) for name in IDENTITY_FIELDS})
    versions = {name: metadata.version(name) for name in PACKAGES}
    section = {"versions": {"sts": __version__} | versions, "files": files, "cells": who}
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
        write_store(out / PRODUCTS["store"], make_sweep_store(results, good))


def make_rows(
    product: str,
    results: Iterable[CellResult],
    names: Sequence[NamedCell],
    dataset: str,
    *,
    excluded: Mapping[str, str] | None = None,
) -> ProductRows:
    """Return the lines of cells.csv (`store`) or of features.csv (`features`).

    Parameters
    ----------
    names
        Who the cells are, the same for all products.
    dataset
        The data set of cells whose label names none.
    excluded
        The ids of cells that the user leaves out, with the user's notes.
    """
    rows: list[Row] = []
    for result, who in zip(results, names, strict=True):
        own: ProductResult = getattr(result, product)
        if who.double_of and own.status == "ok":
            own = ProductResult(
                status="excluded", reason=f"{SECOND_RECORDING}: from {who.double_of}"
            )
        elif own.status == "ok" and who.specimen_id in (excluded or {}):
            note = (excluded or {})[who.specimen_id]
            own = ProductResult(status="excluded", reason=f"{LEFT_OUT}: {note}".removesuffix(": "))
        texts: dict[str, Any] = {
            "specimen_id": who.specimen_id,
            "donor_id": who.donor_id,
            "label": who.label,
            "dataset": who.dataset or dataset,
            "claimed_id": who.claimed_id,
            "file": result.file,
            "status": own.status,
            "reason": own.reason,
        }
        notes = (*who.notes, *own.flags)
        if product == "features":
            rows.append(FeatureRow(**texts, values=own.values, notes=notes))
            continue
        values: dict[str, Any] = dict(own.values)
        values |= {name: int(values[name]) for name in SWEEP_COLUMNS if name in values}
        rows.append(CellRow(**texts, **values, flags=notes))
    return rows


def make_sweep_store(results: Iterable[CellResult], good: Sequence[CellRow]) -> SweepStore:
    """Return the store of the cells whose rows are given, all of them `ok`."""
    columns: dict[str, Any] = {
        name: np.array([getattr(row, name) for row in good]) for name in (*TEXTS, *NUMBER_FIELDS)
    }
    places = {row.file: place for place, row in enumerate(good)}
    if isinstance(results, KeptResults):
        # The traces are read from disk while the store is written.
        return SweepStore(**columns | {"traces": results.traces_of(places)})
    traces = np.empty((len(places), *PAIR_SHAPE), np.float32)
    for result in results:
        if result.file in places:
            if result.traces is None:
                raise ValueError(f"{result.file} is ok but has no traces")
            traces[places[result.file]] = result.traces
    return SweepStore(traces=traces, **columns)


def _read_identities(section: Mapping[str, Any], out: Path) -> dict[str, CellResult]:
    """Return the identity of every cell of a manifest, without its results."""
    if "cells" not in section:
        raise StsError(f"{out} was built by an earlier version: add --force to build it anew")
    stamps = {entry["file"]: FileStamp(**entry) for entry in section["files"]}
    return {
        cell["file"]: CellResult(
            files=tuple(stamps[file] for file in cell["files"]),
            **{name: cell[name] for name in IDENTITY_FIELDS},
        )
        for cell in section["cells"]
    }


def _restore_results(
    known: Mapping[str, CellResult], rows: Mapping[str, ProductRows], traces: Mapping[str, Floats]
) -> Iterator[CellResult]:
    """Yield the results of the rows, for cells in the manifest."""
    by_file: dict[str, dict[str, Row]] = {}
    for product, own in rows.items():
        for row in own:
            by_file.setdefault(row.file, {})[product] = row
    for file, row_of in by_file.items():
        if file not in known or set(row_of) != set(rows):
            continue
        results: dict[str, Any] = {name: _restore_result(row) for name, row in row_of.items()}
        stored = row_of.get("store")
        yield replace(
            known[file],
            traces=traces.get(stored.specimen_id) if stored and stored.status == "ok" else None,
            **results,
        )


def _restore_result(row: Row) -> ProductResult:
    values: dict[str, float] = {}
    if isinstance(row, FeatureRow):
        flags = row.notes
        if row.status == "ok":
            values = dict(row.values)
    else:
        flags = row.flags
        if row.status == "ok":
            values = {name: float(getattr(row, name)) for name in (*AMOUNTS, *SWEEP_COLUMNS)}
    # The identity of a cell depends on all other cells, and is determined again.
    flags = tuple(flag for flag in flags if not flag.startswith(NOTES))
    return ProductResult(status=row.status, reason=row.reason, flags=flags, values=values)


def _read_manifest(out: Path) -> dict[str, Any]:
    path = out / MANIFEST_NAME
    manifest: dict[str, Any] = read_json(path) if path.is_file() else {}
    return manifest
