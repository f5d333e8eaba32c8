"""Recordings of a study: read, prepared and split for a generator, or deconvolved."""

import hashlib
import json
import logging
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import numpy as np

from sts.base.errors import StsError
from sts.base.files import atomic_path
from sts.base.settings import to_dict
from sts.base.types import Floats, Ints
from sts.base.workspace import Workspace
from sts.calcium.compare import Measures, measure_windows
from sts.calcium.fluorescence import LEAST_FRAMES, Deconvolved, OasisSettings, deconvolve
from sts.calcium.readers import read_calcium
from sts.calcium.recording import CalciumRecording, Preparation, Reading, prepare
from sts.calcium.windows import Cut, WindowSettings, cut_windows

logger = logging.getLogger("sts")

# Folder of the spikes in output/.
SPIKES_FOLDER: Final = "calcium-spikes"
# Fewest true spikes in the training stretch with which a neuron of a population is used.
FEWEST_SPIKES: Final = 3
# Rate of the bins in which detected spikes are compared with true spikes.
COMPARED_HZ: Final = 25.0


@dataclass(frozen=True, kw_only=True)
class CalciumSource:
    """A recording, and the settings for reading, preparation, division and deconvolution."""

    path: str
    rate_hz: float | None = None
    """Frame rate, if the file contains none or a wrong one."""
    series: str = ""
    """Series or array to read, if the file contains several."""
    transpose: bool = False
    """Arrays of the file are (frames, neurons)."""
    preparation: Preparation = field(default_factory=Preparation)
    windows: WindowSettings = field(default_factory=WindowSettings)
    oasis: OasisSettings = field(default_factory=OasisSettings)

    def read(self, *, alone: bool = False) -> CalciumRecording:
        """Read and prepare the recording.

        Parameters
        ----------
        alone
            Each neuron is used alone: a single one is enough, and all keep their lengths.
        """
        reading = Reading(
            rate_hz=self.rate_hz,
            series=self.series,
            transpose=self.transpose,
            least=1 if alone else 2,
            cut=not alone,
        )
        return prepare(read_calcium(Path(self.path), reading), self.preparation)


@dataclass(frozen=True, kw_only=True, eq=False)
class SplitRecording:
    """A recording cut into three stretches of windows."""

    recording: CalciumRecording
    cut: Cut
    oasis: OasisSettings

    def windows(self, part: str) -> Floats:
        """Return the windows of a stretch that do not overlap, (n, neurons, frames)."""
        return self.cut.windows[part].without_overlap().at()  # type: ignore[index]

    def measure(self, windows: Floats) -> Measures:
        """Return the statistics of windows."""
        return measure_windows(windows, self.recording.rate_hz, self.oasis)

    def find_trains(self) -> Ints:
        """Return spike counts (neurons, frames): the true ones if known, else those of OASIS."""
        if self.recording.spikes is not None:
            return self.recording.spikes
        traces = self.recording.traces
        stretches = np.cumsum(self.recording.stretches)[:-1]
        pieces = np.split(traces, stretches, axis=1) if len(stretches) else [traces]
        return np.concatenate([self.detect(piece) for piece in pieces], axis=1)

    def detect(self, traces: Floats) -> Ints:
        """Return the spikes that OASIS finds in traces (..., frames)."""
        return (deconvolve(traces, self.oasis).spikes > 0).astype(np.int64)

    def true_windows(self, part: str) -> Floats | None:
        """Return the true spikes in these windows, None if they are not known."""
        if self.recording.spikes is None:
            return None
        starts = self.cut.windows[part].without_overlap().starts  # type: ignore[index]
        frames = starts[:, None] + np.arange(self.cut.windows["test"].length)
        return (self.recording.spikes[:, frames].transpose(1, 0, 2) > 0).astype(np.float32)

    def fingerprint(self) -> str:
        """Return a digest of the prepared traces."""
        return hashlib.sha256(np.ascontiguousarray(self.recording.traces).tobytes()).hexdigest()


def load_split(source: CalciumSource) -> SplitRecording:
    """Read, prepare and cut a recording."""
    recording = source.read()
    cut = _cut(recording, source.windows)
    if recording.stretches and recording.spikes is not None:
        recording = _leave_out_silent(recording, cut)
        cut = _cut(recording, source.windows)
    cohort = SplitRecording(recording=recording, cut=cut, oasis=source.oasis)
    measured = cohort.measure(cohort.windows("training"))
    if not np.isfinite(measured.correlations).any():
        raise StsError(
            f"OASIS finds spikes in fewer than two neurons of {recording.name}: give a --smallest "
            f"that suits its unit (now {source.oasis.smallest:g})"
        )
    return cohort


def _cut(recording: CalciumRecording, settings: WindowSettings) -> Cut:
    return cut_windows(recording.traces, recording.rate_hz, settings, recording.stretches)


def _leave_out_silent(recording: CalciumRecording, cut: Cut) -> CalciumRecording:
    """Leave out neurons with few true spikes in the training stretch."""
    spikes = recording.spikes
    assert spikes is not None
    counts = sum(piece.sum(axis=1) for piece in cut.pieces("training", spikes))
    kept = np.flatnonzero(counts >= FEWEST_SPIKES)
    if len(kept) < 2:
        raise StsError(
            f"{recording.name} has {len(kept)} neurons with {FEWEST_SPIKES} spikes or more in the "
            "training stretch: 2 are needed"
        )
    if silent := len(spikes) - len(kept):
        logger.info("%d neurons are left out: too few spikes in the training stretch", silent)
    return replace(
        recording,
        traces=recording.traces[kept],
        spikes=spikes[kept],
        neurons=tuple(recording.neurons[neuron] for neuron in kept),
    )


@dataclass(frozen=True, kw_only=True)
class FoundSpikes:
    """The file of the spikes, and a summary for each neuron."""

    path: Path
    rows: list[tuple[str, str, str]]
    """Neuron, spikes per second, correlation with the true spikes or ""."""
    median: float | None = None
    """Median of the correlations."""


def deconvolve_recording(
    workspace: Workspace, source: CalciumSource, *, out: Path | None = None
) -> FoundSpikes:
    """Deconvolve a recording and write calcium and spikes as .npz."""
    recording = source.read(alone=True)
    lengths = recording.lengths or (recording.traces.shape[1],) * len(recording.traces)
    deconvolved = _deconvolve_rows(recording.traces, lengths, source)
    if not deconvolved.spikes.any():
        logger.warning(
            "no spike is found in %s: a smallest spike is in units of the traces, try "
            "--decay auto --penalty auto --baseline auto",
            recording.name,
        )
    path = out or workspace.output / SPIKES_FOLDER / f"{Path(source.path).stem}.npz"
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        np.savez(
            file,
            calcium=deconvolved.calcium,
            spikes=deconvolved.spikes,
            frames=np.array(lengths),
            rate_hz=np.float64(recording.rate_hz),
            unit=np.array(recording.unit),
            neurons=np.array(recording.neurons),
            settings=np.array(json.dumps(to_dict(source), sort_keys=True)),
        )
    rows, known = [], []
    for index, (name, frames) in enumerate(zip(recording.neurons, lengths, strict=True)):
        spikes = deconvolved.spikes[index, :frames]
        correlated = ""
        if recording.spikes is not None:
            value = correlate_spikes(spikes, recording.spikes[index, :frames], recording.rate_hz)
            correlated = f"{value:.3f}"
            known.append(value)
        rows.append((name, f"{(spikes > 0).mean() * recording.rate_hz:.2f}", correlated))
    finite = [value for value in known if np.isfinite(value)]
    return FoundSpikes(path=path, rows=rows, median=float(np.median(finite)) if finite else None)


def _deconvolve_rows(
    traces: Floats, lengths: tuple[int, ...], source: CalciumSource
) -> Deconvolved:
    """Return calcium and spikes with the shape of the traces, 0 after the last frame of each."""
    if min(lengths) == traces.shape[1]:
        return deconvolve(traces, source.oasis)
    calcium, spikes = np.zeros_like(traces), np.zeros_like(traces)
    for index, frames in enumerate(lengths):
        # A trial of a second or less is too short: it stays without spikes.
        if frames >= LEAST_FRAMES:
            result = deconvolve(traces[index, :frames], source.oasis)
            calcium[index, :frames], spikes[index, :frames] = result.calcium, result.spikes
    return Deconvolved(calcium=calcium, spikes=spikes)


def correlate_spikes(spikes: Floats, truth: Ints | Floats, rate_hz: float) -> float:
    """Return Pearson's correlation in bins of 1/25 s; NaN if one of them has no spikes."""
    first, second = (_bin_spikes(each, rate_hz) for each in (spikes, truth))
    if not (first.std() and second.std()):
        return float("nan")
    return float(np.corrcoef(first, second)[0, 1])


def _bin_spikes(values: Ints | Floats, rate_hz: float) -> Floats:
    """Return sums in bins of 1/25 s, or the values of the frames if these are longer."""
    if rate_hz <= COMPARED_HZ:
        return np.asarray(values, dtype=np.float64)
    bins = (np.arange(len(values)) * COMPARED_HZ / rate_hz).astype(np.int64)
    return np.bincount(bins, weights=values).astype(np.float64)
