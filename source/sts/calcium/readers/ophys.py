"""NWB 2 files with calcium traces: RoiResponseSeries under Fluorescence or DfOverF."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import h5py
import numpy as np

from sts.base import guard
from sts.base.errors import StsError
from sts.base.types import Floats
from sts.calcium.readers.arrays import name_file
from sts.calcium.readers.common import (
    MAX_BYTES,
    SAME_RATE,
    build_recording,
    choose_series,
    clean_text,
)
from sts.calcium.recording import CalciumRecording, Reading

SERIES: Final = "RoiResponseSeries"
# Relative traces first: what was raw needs a baseline.
CONTAINERS: Final = ("DfOverF", "Fluorescence")
# The most groups a file may hold on the way to its traces.
MOST: Final = 10_000
NAMED: Final = 5


@dataclass(frozen=True, kw_only=True, eq=False)
class OphysSeries:
    """A RoiResponseSeries and where it stands."""

    container: str
    name: str
    group: Any

    @property
    def rank(self) -> tuple[int, int]:
        """Return what the likeliest series has least of."""
        data = guard.member(self.group, "data")
        known = (
            CONTAINERS.index(self.container) if self.container in CONTAINERS else len(CONTAINERS)
        )
        return known, -int(getattr(data, "size", 0) or 0)


def read_ophys(path: Path, reading: Reading) -> CalciumRecording:
    """Return a RoiResponseSeries of an NWB 2 file, the largest where none is asked for."""
    with name_file(path), guard.open_hdf5(path) as file:
        found = _series_of(file, path)
        name = choose_series([each.name for each in found], reading, "series", path)
        series = next(each for each in found if each.name == name).group
        node = guard.member(series, "data")
        values = _oriented(guard.array(node, max_bytes=MAX_BYTES), series)
        conversion, offset = guard.number(node, "conversion"), guard.number(node, "offset")
        if conversion not in (None, 1.0) or offset not in (None, 0.0):
            factor = 1.0 if conversion is None else conversion
            values = np.asarray(values * factor + (offset or 0.0), dtype=np.float64)
        rate, unit = _rate(series, values.shape[-1], reading), guard.text(node, "unit")
    others = [clean_text(each.name) for each in found if each.name != name]
    notes: tuple[str, ...] = ()
    if others and not reading.series:
        more = ", ..." if len(others) > NAMED else ""
        taken = f"{clean_text(path.name)} has {len(found)} series: {clean_text(name)} is taken"
        notes = (f"{taken}, choose with --series from {', '.join(others[:NAMED])}{more}",)
    return build_recording(
        path,
        values,
        reading=reading,
        rate_hz=rate,
        origin=f"NWB 2, {name}",
        unit=unit,
        notes=notes,
    )


def _oriented(values: Any, series: Any) -> Floats:
    """Return (neurons, frames): NWB has time first, which not every program keeps to."""
    if values.ndim == 1:
        return np.asarray(values)[None]
    if values.ndim != 2:
        return np.asarray(values)
    rois = guard.member(series, "rois")
    neurons = int(getattr(rois, "size", 0) or 0)
    turned = neurons == values.shape[0] != values.shape[1]
    return np.asarray(values if turned else values.T)


def _series_of(file: Any, path: Path) -> list[OphysSeries]:
    if not guard.text(file, "nwb_version").removeprefix("NWB-").startswith("2"):
        raise StsError(f"{path} is no NWB 2 file")
    places = [guard.follow(file, "processing"), guard.follow(file, "acquisition")]
    found = [each for place in places if place is not None for each in _below(place)]
    if not found:
        raise StsError(
            f"{path} has no {SERIES} under {' or '.join(CONTAINERS)}: calcium traces are wanted"
        )
    return sorted(found, key=lambda each: each.rank)


def _below(place: Any) -> Iterator[OphysSeries]:
    """Yield every series at or below a place."""
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
                yield OphysSeries(container=container, name=name, group=node)
            else:
                left.append((kind if kind in CONTAINERS else container, node))


def _rate(series: Any, frames: int, reading: Reading) -> float | None:
    start = guard.member(series, "starting_time")
    said = None if start is None else guard.number(start, "rate")
    times = guard.member(series, "timestamps")
    if times is None:
        return said
    name = clean_text(series.name.rpartition("/")[2])
    try:
        found = measure_rate(np.ravel(guard.array(times, max_bytes=MAX_BYTES)), frames, name)
    except StsError:
        if reading.rate_hz is None:
            raise
        return said
    if said is not None and abs(said / found - 1) > SAME_RATE:
        raise StsError(
            f"{name} says {said:g} frames a second and has timestamps at {found:g}: give a file "
            "in which they agree"
        )
    return found


def measure_rate(times_s: Floats, frames: int, name: str) -> float:
    """Return the frame rate of timestamps that are evenly spaced, or say where they are not."""
    if frames and len(times_s) != frames:
        raise StsError(f"{name} has {len(times_s)} timestamps for {frames} frames")
    steps = np.diff(times_s.astype(np.float64))
    if len(steps) == 0 or not np.isfinite(steps).all() or (steps <= 0).any():
        raise StsError(f"the timestamps of {name} do not rise: they cannot be read")
    usual = float(np.median(steps))
    # A frame that comes half a frame late is a lost one, or the beginning of another trial.
    if (odd := np.flatnonzero(np.abs(steps - usual) > usual / 2)).size:
        raise StsError(
            f"the frames of {name} are not evenly spaced: {odd.size} steps differ from the usual "
            f"{usual:.4g} s by more than half of it, the first, {steps[odd[0]]:.4g} s, behind "
            f"frame {odd[0]}: cut the recording there or fill it in"
        )
    return len(steps) / float(times_s[-1] - times_s[0])
