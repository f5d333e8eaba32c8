"""NWB 2 files with calcium traces: RoiResponseSeries under Fluorescence or DfOverF."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import h5py
import numpy as np

from sts.base.errors import StsError
from sts.calcium.readers.arrays import MAX_BYTES, made
from sts.calcium.recording import Recording
from sts.recordings import guard

SERIES: Final = "RoiResponseSeries"
# Relative traces first: what was raw needs a baseline.
CONTAINERS: Final = ("DfOverF", "Fluorescence")
# The most groups a file may hold on the way to its traces.
MOST: Final = 1000


def read_ophys(path: Path, rate_hz: float | None) -> Recording:
    """Return the largest RoiResponseSeries of an NWB 2 file, (neurons, frames)."""
    try:
        with guard.open_hdf5(path) as file:
            name, series = _choose(file, path)
            node = guard.member(series, "data")
            values = np.asarray(guard.array(node, max_bytes=MAX_BYTES), dtype=np.float64)
            values = values * (guard.number(node, "conversion") or 1.0)
            values = values + (guard.number(node, "offset") or 0.0)
            found, unit = _rate(series), guard.text(node, "unit")
    except StsError as error:
        told = str(error) if str(path) in str(error) else f"{path} {error}"
        raise StsError(told) from error
    # NWB has time first.
    return made(
        path,
        values.T if values.ndim == 2 else values,
        rate_hz=rate_hz or found,
        origin=f"NWB 2, {name}",
        unit=unit,
    )


def _choose(file: Any, path: Path) -> tuple[str, Any]:
    if not guard.text(file, "nwb_version").removeprefix("NWB-").startswith("2"):
        raise StsError(f"{path} is no NWB 2 file")
    places = [guard.follow(file, "processing"), guard.follow(file, "acquisition")]
    found = [each for place in places if place is not None for each in _series(place)]
    if not found:
        raise StsError(
            f"{path} has no {SERIES} under {' or '.join(CONTAINERS)}: calcium traces are wanted"
        )

    def rank(each: tuple[str, str, Any]) -> tuple[int, int]:
        container, _, group = each
        data = guard.member(group, "data")
        known = CONTAINERS.index(container) if container in CONTAINERS else len(CONTAINERS)
        return known, -int(getattr(data, "size", 0) or 0)

    _, name, series = min(found, key=rank)
    return name, series


def _series(place: Any) -> Iterator[tuple[str, str, Any]]:
    """Yield container, name and group of every series at or below a place."""
    left = [("", place)]
    for _ in range(MOST):
        if not left:
            return
        container, group = left.pop()
        for name in group:
            node = guard.member(group, name)
            if not isinstance(node, h5py.Group):
                continue
            kind = guard.text(node, "neurodata_type")
            if kind == SERIES:
                yield container, name, node
            else:
                left.append((kind if kind in CONTAINERS else container, node))


def _rate(series: Any) -> float | None:
    start = guard.member(series, "starting_time")
    if start is not None and (rate := guard.number(start, "rate")):
        return rate
    times = guard.member(series, "timestamps")
    if times is None:
        return None
    steps = np.diff(guard.array(times, max_bytes=MAX_BYTES))
    return float(1 / np.median(steps)) if len(steps) and np.median(steps) > 0 else None
