"""The reader of NWB 2 files with calcium traces: RoiResponseSeries of Fluorescence or DfOverF."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import h5py
import numpy as np

from sts.base import guard
from sts.base.errors import StsError
from sts.base.types import Floats
from sts.calcium.arrays import name_file
from sts.calcium.recording import (
    MAX_RECORDING_BYTES,
    SAME_RATE,
    CalciumRecording,
    Reading,
    build_recording,
    choose_series,
    clean_text,
)

SERIES: Final = "RoiResponseSeries"
# Kinds of containers, the preferred one first: raw fluorescence would need a baseline.
CONTAINERS: Final = ("DfOverF", "Fluorescence")
# Largest number of groups that are searched in a file.
MOST_GROUPS: Final = 10_000
# Number of other series that a note names.
NAMED_SERIES: Final = 5


@dataclass(frozen=True, kw_only=True, eq=False)
class OphysSeries:
    """A RoiResponseSeries and the kind of its container."""

    container: str
    name: str
    group: Any

    @property
    def rank(self) -> tuple[int, int]:
        """Return a sort key: the preferred kind of container first, then the largest series."""
        data = guard.member(self.group, "data")
        known = (
            CONTAINERS.index(self.container) if self.container in CONTAINERS else len(CONTAINERS)
        )
        return known, -int(getattr(data, "size", 0) or 0)


def read_ophys(path: Path, reading: Reading) -> CalciumRecording:
    """Return a RoiResponseSeries of an NWB 2 file: the requested one, else the most likely."""
    with name_file(path), guard.open_hdf5(path) as file:
        candidates = _find_series(file, path)
        name = choose_series([candidate.name for candidate in candidates], reading, "series", path)
        series = next(candidate for candidate in candidates if candidate.name == name).group
        node = guard.member(series, "data")
        values = _orient(guard.array(node, max_bytes=MAX_RECORDING_BYTES), series)
        conversion, offset = guard.number(node, "conversion"), guard.number(node, "offset")
        if conversion not in (None, 1.0) or offset not in (None, 0.0):
            factor = 1.0 if conversion is None else conversion
            values = np.asarray(values * factor + (offset or 0.0), dtype=np.float64)
        rate = _read_rate(series, values.shape[-1], reading)
        unit = guard.text(node, "unit")
    others = [clean_text(candidate.name) for candidate in candidates if candidate.name != name]
    notes: tuple[str, ...] = ()
    if others and not reading.series:
        more = ", ..." if len(others) > NAMED_SERIES else ""
        taken = f"{clean_text(path.name)} has {len(candidates)} series: {clean_text(name)} is taken"
        notes = (f"{taken}, choose with --series from {', '.join(others[:NAMED_SERIES])}{more}",)
    return build_recording(
        path,
        values,
        reading=reading,
        rate_hz=rate,
        origin=f"NWB 2, {name}",
        unit=unit,
        notes=notes,
    )


def _orient(values: Any, series: Any) -> Floats:
    """Return (neurons, frames): in NWB time comes first, but some programs write it second."""
    if values.ndim == 1:
        return np.asarray(values)[None]
    if values.ndim != 2:
        return np.asarray(values)
    rois = guard.member(series, "rois")
    neurons = int(getattr(rois, "size", 0) or 0)
    neurons_first = neurons == values.shape[0] != values.shape[1]
    return np.asarray(values if neurons_first else values.T)


def _find_series(file: Any, path: Path) -> list[OphysSeries]:
    """Return all series of a file, the most likely first."""
    if not guard.text(file, "nwb_version").removeprefix("NWB-").startswith("2"):
        raise StsError(f"{path} is no NWB 2 file")
    places = [guard.follow(file, "processing"), guard.follow(file, "acquisition")]
    candidates = [each for place in places if place is not None for each in _walk(place)]
    if not candidates:
        raise StsError(
            f"{path} has no {SERIES} under {' or '.join(CONTAINERS)}: calcium traces are needed"
        )
    return sorted(candidates, key=lambda each: each.rank)


def _walk(place: Any) -> Iterator[OphysSeries]:
    """Yield every series in a group and in the groups below it."""
    left = [("", place)]
    for _ in range(MOST_GROUPS):
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


def _read_rate(series: Any, frames: int, reading: Reading) -> float | None:
    """Return the frame rate from timestamps, else the stored one; the two must agree."""
    start = guard.member(series, "starting_time")
    stored = None if start is None else guard.number(start, "rate")
    times = guard.member(series, "timestamps")
    if times is None:
        return stored
    name = clean_text(series.name.rpartition("/")[2])
    try:
        measured = _measure_rate(
            np.ravel(guard.array(times, max_bytes=MAX_RECORDING_BYTES)), frames, name
        )
    except StsError:
        if reading.rate_hz is None:
            raise
        return stored
    if stored is not None and abs(stored / measured - 1) > SAME_RATE:
        raise StsError(
            f"{name} states {stored:g} frames a second and has timestamps at {measured:g}: give a "
            "file in which they agree"
        )
    return measured


def _measure_rate(times_s: Floats, frames: int, name: str) -> float:
    """Return the frame rate of timestamps, which must be evenly spaced."""
    if frames and len(times_s) != frames:
        raise StsError(f"{name} has {len(times_s)} timestamps for {frames} frames")
    steps = np.diff(times_s.astype(np.float64))
    if len(steps) == 0 or not np.isfinite(steps).all() or (steps <= 0).any():
        raise StsError(f"the timestamps of {name} do not rise: they cannot be read")
    usual = float(np.median(steps))
    # A gap of more than half a frame means that a frame is missing, or that a new trial begins.
    if (odd := np.flatnonzero(np.abs(steps - usual) > usual / 2)).size:
        raise StsError(
            f"the frames of {name} are not evenly spaced: {odd.size} steps differ from the usual "
            f"{usual:.4g} s by more than half of it, the first, {steps[odd[0]]:.4g} s, behind "
            f"frame {odd[0]}: cut the recording there or fill it in"
        )
    return len(steps) / float(times_s[-1] - times_s[0])
