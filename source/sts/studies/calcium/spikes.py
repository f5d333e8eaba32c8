"""`deconvolve`: the spikes of a recording, and how well they follow the true ones."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from sts.base.files import atomic_path
from sts.base.types import Floats, Ints
from sts.base.workspace import Workspace
from sts.calcium.deconvolve import deconvolve
from sts.calcium.readers import read_recording
from sts.calcium.recording import prepare
from sts.studies.calcium.source import Source

FOLDER: Final = "calcium-spikes"
# Bins in which deconvolved spikes are compared with true ones.
COMPARED_HZ: Final = 25.0


@dataclass(frozen=True, kw_only=True)
class Found:
    """Where the spikes are, and a line a neuron."""

    path: Path
    rows: list[tuple[str, str, str]]
    """Neuron, spikes a second, correlation with the truth where it is known."""


def find_spikes(workspace: Workspace, source: Source, *, out: Path | None = None) -> Found:
    """Deconvolve a recording and write calcium and spikes as .npz."""
    read = read_recording(Path(source.path), rate_hz=source.rate_hz)
    recording = prepare(read, source.preparation)
    found = deconvolve(recording.traces, source.oasis)
    path = out or workspace.output / FOLDER / f"{Path(source.path).stem}.npz"
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        np.savez(
            file,
            calcium=found.calcium,
            spikes=found.spikes,
            rate_hz=np.float64(recording.rate_hz),
            neurons=np.array(recording.neurons),
        )
    rates = (found.spikes > 0).mean(axis=1) * recording.rate_hz
    truth = recording.spikes
    rows = []
    for index, name in enumerate(recording.neurons):
        told = ""
        if truth is not None:
            value = correlation(found.spikes[index], truth[index], recording.rate_hz)
            told = f"{value:.3f}"
        rows.append((name, f"{rates[index]:.2f}", told))
    return Found(path=path, rows=rows)


def correlation(spikes: Floats, truth: Ints | Floats, rate_hz: float) -> float:
    """Return Pearson's correlation in bins of 1/25 s; NaN where either is silent."""
    first, second = (binned(each, rate_hz) for each in (spikes, truth))
    if not (first.std() and second.std()):
        return float("nan")
    return float(np.corrcoef(first, second)[0, 1])


def binned(values: Ints | Floats, rate_hz: float) -> Floats:
    """Return sums in bins of 1/25 s, or the frames themselves where they are slower."""
    if rate_hz <= COMPARED_HZ:
        return np.asarray(values, dtype=np.float64)
    bins = (np.arange(len(values)) * COMPARED_HZ / rate_hz).astype(np.int64)
    return np.bincount(bins, weights=values).astype(np.float64)
