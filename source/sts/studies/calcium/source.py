"""The recording of a study: read, prepared, cut, and the measures of its stretches."""

import hashlib
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from sts.base.errors import StsError
from sts.base.types import Floats
from sts.calcium.compare import (
    Measures,
    choose_edges,
    compare_windows,
    measure_windows,
    score_likeness,
)
from sts.calcium.fluorescence import OasisSettings
from sts.calcium.preparation import Preparation, prepare
from sts.calcium.readers import read_calcium
from sts.calcium.recording import CalciumRecording, Reading
from sts.calcium.windows import Cut, WindowSettings, cut_windows


@dataclass(frozen=True, kw_only=True)
class CalciumSource:
    """Which recording, and what is done to it."""

    path: str
    rate_hz: float | None = None
    """Of a file that names none, or a wrong one."""
    series: str = ""
    """Which one of a file that has several."""
    transpose: bool = False
    """Arrays of the file are (frames, neurons)."""
    preparation: Preparation = field(default_factory=Preparation)
    windows: WindowSettings = field(default_factory=WindowSettings)
    oasis: OasisSettings = field(default_factory=OasisSettings)

    def recording(self, *, alone: bool = False) -> CalciumRecording:
        """Read and prepare the recording.

        Parameters
        ----------
        alone
            Neurons are treated each alone: one will do, and all keep their lengths.
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
    """A recording in pieces."""

    recording: CalciumRecording
    cut: Cut
    oasis: OasisSettings

    def windows(self, part: str) -> Floats:
        """Return the windows of a stretch that do not overlap, (n, neurons, frames)."""
        return self.cut.windows[part].without_overlap().at()  # type: ignore[index]

    def measured(self, windows: Floats) -> Measures:
        """Return the statistics of windows."""
        return measure_windows(windows, self.recording.rate_hz, self.oasis)

    def true_windows(self, part: str) -> Floats | None:
        """Return the true spikes in those windows, None where they are not known."""
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
    recording = source.recording()
    cut = cut_windows(recording.traces, recording.rate_hz, source.windows)
    cohort = SplitRecording(recording=recording, cut=cut, oasis=source.oasis)
    measured = cohort.measured(cohort.windows("training"))
    if not np.isfinite(measured.correlations).any():
        raise StsError(
            f"OASIS finds spikes in fewer than two neurons of {recording.name}: give a --smallest "
            f"that suits its unit (now {source.oasis.smallest:g})"
        )
    return cohort


class ValidationScore:
    """Scores generated windows by the validation stretch, never the test stretch.

    The best model is chosen by it.
    """

    def __init__(self, cohort: SplitRecording) -> None:
        self._cohort = cohort
        self.count = len(cohort.windows("validation"))
        self._edges = choose_edges(cohort.measured(cohort.windows("training")))
        self._real = cohort.measured(cohort.windows("validation"))

    def __call__(self, windows: Floats) -> float:
        """Return how unlike the validation windows these are; lower is better."""
        return score_likeness(
            compare_windows(self._real, self._cohort.measured(windows), self._edges)
        )
