"""The sweep store: the data set of the study in one HDF5 file, loaded whole."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import h5py
import numpy as np

from sts.base import guard
from sts.base.errors import StsError
from sts.base.guard import new_hdf5
from sts.base.types import CLASSES, Bools, Floats, Ints, Texts
from sts.datasets.table import CLAIMED
from sts.signals.resample import RATE_HZ, SAMPLES, WINDOW_S

STORE_FORMAT: Final = "sts-sweeps 1"
TEXTS: Final = ("specimen_id", "donor_id", "label", "dataset", "claimed_id")
NUMBER_FIELDS: Final = ("rheobase_pa", "step_pa", "onset_s")
SETTINGS: Final = ("rate_hz", "window_s")
# Number of rows of traces that are read at once: 20 MB.
ROWS_AT_ONCE: Final = 512


@dataclass(frozen=True, kw_only=True, eq=False)
class SweepStore:
    """The two sweeps of n cells, and their identity; row i of every array belongs to cell i."""

    traces: Floats
    """(n, 2, 4800) float32, mV: rheobase sweep and second sweep, from 0.1 s before the onset."""
    specimen_id: Texts
    donor_id: Texts
    """Empty if unknown, as are `label` and `dataset`."""
    label: Texts
    dataset: Texts
    claimed_id: Texts
    """The id in the file if other files have it too; the cell is then named by its file."""
    rheobase_pa: Floats
    step_pa: Floats
    """Amplitude of the second sweep."""
    onset_s: Floats
    """Time of the onset of the step in the recording of the rheobase sweep."""
    rate_hz: float = RATE_HZ
    window_s: float = WINDOW_S

    def __len__(self) -> int:
        return len(self.specimen_id)

    def rows(self, which: Bools | Ints) -> "SweepStore":
        """Return the store of the cells that a mask or indices choose, in that order."""
        arrays = {name: getattr(self, name)[which] for name in ("traces", *TEXTS, *NUMBER_FIELDS)}
        return SweepStore(**arrays, rate_hz=self.rate_hz, window_s=self.window_s)


def write_store(path: str | Path, store: SweepStore) -> None:
    """Write a store, completely or not at all; its traces are read a few rows at a time."""
    path = Path(path)
    if fault := fault_of(store):
        raise StsError(f"cannot write {path}: {fault}")
    with new_hdf5(path) as file:
        file.attrs["format"] = STORE_FORMAT
        for name in SETTINGS:
            file.attrs[name] = getattr(store, name)
        # Not compressed: noise cannot be compressed much, and the store is read very often.
        traces = file.create_dataset("traces", store.traces.shape, store.traces.dtype)
        for first, rows in _few_at_once(store.traces):
            traces[first : first + len(rows)] = rows
        for name in TEXTS:
            file.create_dataset(
                name, data=getattr(store, name).astype(object), dtype=h5py.string_dtype()
            )
        for name in NUMBER_FIELDS:
            file[name] = getattr(store, name)


def load_store(path: str | Path, rows: Ints | None = None) -> SweepStore:
    """Load a store into memory and check its content.

    Parameters
    ----------
    rows
        The rows to load, ascending; default: all. The sweeps of other rows are not read.
    """
    path = Path(path)
    try:
        with guard.open_hdf5(path) as file:
            store = _read(file, max_bytes=path.stat().st_size, rows=rows)
    except StsError as error:
        raise StsError(f"the sweep store {path} {error}") from error
    if fault := fault_of(store):
        raise StsError(f"the sweep store {path} is not sound: {fault}; build it again")
    return store


def _read(file: Any, *, max_bytes: int, rows: Ints | None = None) -> SweepStore:
    form = guard.text(file, "format")
    if form != STORE_FORMAT:
        raise StsError(
            f"is of format {form or 'unknown'!r}, expected {STORE_FORMAT!r}: build it again"
        )
    nodes = {name: guard.member(file, name) for name in ("traces", *NUMBER_FIELDS)}
    settings = {name: guard.number(file, name) for name in SETTINGS}
    missing = [name for name, value in {**nodes, **settings}.items() if value is None]
    if missing:
        raise StsError(f"lacks {', '.join(missing)}: build it again")
    parts: dict[str, Any] = settings | read_cell_texts(file, max_bytes=max_bytes)
    if rows is None:
        parts |= {name: guard.array(node, max_bytes=max_bytes) for name, node in nodes.items()}
        return SweepStore(**parts)
    traces = nodes.pop("traces")
    guard.check_claim(traces, max_bytes=max_bytes)
    parts |= {name: guard.array(node, max_bytes=max_bytes) for name, node in nodes.items()}
    texts = {name: parts[name][rows] for name in (*TEXTS, *NUMBER_FIELDS)}
    return SweepStore(**parts | texts | {"traces": np.asarray(traces[rows])})


def read_cell_texts(file: Any, *, max_bytes: int) -> dict[str, Texts]:
    """Return the identity of the cells of an open sweep store: an array for each of TEXTS."""
    texts: dict[str, Texts] = {}
    for name in TEXTS:
        node = guard.member(file, name)
        # Stores of earlier versions do not contain it.
        if node is None and name == CLAIMED:
            texts[name] = np.full(len(texts["specimen_id"]), "", dtype=np.str_)
            continue
        if node is None:
            raise StsError(f"lacks {name}: build it again")
        guard.check_claim(node, max_bytes=max_bytes)
        texts[name] = np.array(node.asstr()[()], dtype=np.str_)
    return texts


def merge_stores(stores: Sequence[SweepStore]) -> SweepStore:
    """Return one store of all cells; a specimen in two stores is an error."""
    if len(stores) == 1:
        return stores[0]
    arrays: dict[str, Any] = {
        name: np.concatenate([getattr(store, name) for store in stores])
        for name in ("traces", *TEXTS, *NUMBER_FIELDS)
    }
    ids, times = np.unique(arrays["specimen_id"], return_counts=True)
    if (times > 1).any():
        raise StsError(f"specimen {ids[times > 1][0]} is in two sweep stores: name the one to use")
    return SweepStore(**arrays)


def draw_one_a_class(
    stores: Sequence[SweepStore], rng: np.random.Generator
) -> Iterator[SweepStore]:
    """Yield a store of one cell for each class that has cells, drawn by chance."""
    for label in CLASSES:
        places = [(store, row) for store in stores for row in np.flatnonzero(store.label == label)]
        if places:
            store, row = places[rng.integers(len(places))]
            yield store.rows(np.array([row]))


def fault_of(store: SweepStore) -> str | None:
    """Return the fault of a store in words, None if it has none."""
    n = len(store)
    if (store.rate_hz, store.window_s) != (RATE_HZ, WINDOW_S):
        return (
            f"{store.window_s:g} s at {store.rate_hz:g} Hz, "
            f"expected {WINDOW_S:g} s at {RATE_HZ:g} Hz"
        )
    shapes = {"traces": (n, 2, SAMPLES)} | dict.fromkeys((*TEXTS, *NUMBER_FIELDS), (n,))
    for name, shape in shapes.items():
        if (actual := getattr(store, name).shape) != shape:
            return f"{name} has shape {actual}, expected {shape}"
    kinds = {"traces": "f4"} | dict.fromkeys(TEXTS, "U") | dict.fromkeys(NUMBER_FIELDS, "f8")
    for name, kind in kinds.items():
        if not getattr(store, name).dtype.str[1:].startswith(kind):
            return f"{name} is of type {getattr(store, name).dtype}"
    return _fault_of_rows(store)


def _fault_of_rows(store: SweepStore) -> str | None:
    ids, times = np.unique(store.specimen_id, return_counts=True)
    if (times > 1).any():
        return f"specimen {ids[times > 1][0]} is there {times.max()} times"
    if (store.specimen_id == "").any():
        return f"row {int(np.argmax(store.specimen_id == ''))} has no specimen id"
    if strange := set(store.label.tolist()) - {*CLASSES, ""}:
        return f"unknown class {min(strange)!r}, the classes are {', '.join(CLASSES)}"
    for name in ("traces", *NUMBER_FIELDS):
        if (row := _first_unsound(getattr(store, name))) is not None:
            return f"{name} of specimen {store.specimen_id[row]} contain NaN or Inf"
    return None


def _first_unsound(values: Floats) -> int | None:
    for first, rows in _few_at_once(values):
        # A float64 sum of float32 numbers is finite only if all are finite, and needs no array.
        with np.errstate(invalid="ignore"):
            sums = rows.sum(axis=tuple(range(1, rows.ndim)), dtype=np.float64)
        if not np.isfinite(sums).all():
            return first + int(np.argmin(np.isfinite(sums)))
    return None


def _few_at_once(values: Floats) -> Iterator[tuple[int, Floats]]:
    """Yield the values in blocks of rows, with the number of the first row."""
    for first in range(0, len(values), ROWS_AT_ONCE):
        yield first, values[first : first + ROWS_AT_ONCE]
