"""`deconvolve`: the spikes of a recording, and how well they follow the true ones."""

import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from sts.base.files import atomic_path
from sts.base.settings import to_dict
from sts.base.types import Floats, Ints
from sts.base.workspace import Workspace
from sts.calcium.fluorescence import LEAST_FRAMES, Deconvolved, deconvolve
from sts.studies.calcium.source import CalciumSource

logger = logging.getLogger("sts")

FOLDER: Final = "calcium-spikes"
# Bins in which deconvolved spikes are compared with true ones.
COMPARED_HZ: Final = 25.0


@dataclass(frozen=True, kw_only=True)
class FoundSpikes:
    """Where the spikes are, and a line a neuron."""

    path: Path
    rows: list[tuple[str, str, str]]
    """Neuron, spikes a second, correlation with the truth where it is known."""
    median: float | None = None
    """Of the correlations that are known."""


def deconvolve_recording(
    workspace: Workspace, source: CalciumSource, *, out: Path | None = None
) -> FoundSpikes:
    """Deconvolve a recording and write calcium and spikes as .npz."""
    recording = source.recording(alone=True)
    lengths = recording.lengths or (recording.traces.shape[1],) * len(recording.traces)
    found = _deconvolved(recording.traces, lengths, source)
    if not found.spikes.any():
        logger.warning(
            "no spike is found in %s: a smallest spike is in units of the traces, try "
            "--decay auto --penalty auto --baseline auto",
            recording.name,
        )
    path = out or workspace.output / FOLDER / f"{Path(source.path).stem}.npz"
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        np.savez(
            file,
            calcium=found.calcium,
            spikes=found.spikes,
            frames=np.array(lengths),
            rate_hz=np.float64(recording.rate_hz),
            unit=np.array(recording.unit),
            neurons=np.array(recording.neurons),
            settings=np.array(json.dumps(to_dict(source), sort_keys=True)),
        )
    rows, known = [], []
    for index, (name, frames) in enumerate(zip(recording.neurons, lengths, strict=True)):
        spikes = found.spikes[index, :frames]
        correlated = ""
        if recording.spikes is not None:
            value = correlate_spikes(spikes, recording.spikes[index, :frames], recording.rate_hz)
            correlated = f"{value:.3f}"
            known.append(value)
        rows.append((name, f"{(spikes > 0).mean() * recording.rate_hz:.2f}", correlated))
    finite = [value for value in known if np.isfinite(value)]
    return FoundSpikes(path=path, rows=rows, median=float(np.median(finite)) if finite else None)


def _deconvolved(traces: Floats, lengths: tuple[int, ...], source: CalciumSource) -> Deconvolved:
    """Return calcium and spikes as large as the traces, 0 behind the last frame of each."""
    if min(lengths) == traces.shape[1]:
        return deconvolve(traces, source.oasis)
    calcium, spikes = np.zeros_like(traces), np.zeros_like(traces)
    for index, frames in enumerate(lengths):
        # A trial of a second or less tells nothing: it stays without spikes.
        if frames >= LEAST_FRAMES:
            found = deconvolve(traces[index, :frames], source.oasis)
            calcium[index, :frames], spikes[index, :frames] = found.calcium, found.spikes
    return Deconvolved(calcium=calcium, spikes=spikes)


def correlate_spikes(spikes: Floats, truth: Ints | Floats, rate_hz: float) -> float:
    """Return Pearson's correlation in bins of 1/25 s; NaN where either is silent."""
    first, second = (bin_spikes(each, rate_hz) for each in (spikes, truth))
    if not (first.std() and second.std()):
        return float("nan")
    return float(np.corrcoef(first, second)[0, 1])


def bin_spikes(values: Ints | Floats, rate_hz: float) -> Floats:
    """Return sums in bins of 1/25 s, or the frames themselves where they are slower."""
    if rate_hz <= COMPARED_HZ:
        return np.asarray(values, dtype=np.float64)
    bins = (np.arange(len(values)) * COMPARED_HZ / rate_hz).astype(np.int64)
    return np.bincount(bins, weights=values).astype(np.float64)
