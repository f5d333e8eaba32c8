"""The recording of a study: read, prepared, cut, and the measures of its stretches."""

import hashlib
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from sts.base.errors import StsError
from sts.base.types import Floats
from sts.calcium.deconvolve import OasisSettings
from sts.calcium.measures import Measures, measure
from sts.calcium.preparation import Preparation, prepare
from sts.calcium.readers import read_recording
from sts.calcium.recording import Reading, Recording
from sts.calcium.windows import Cut, WindowSettings, cut_windows


@dataclass(frozen=True, kw_only=True)
class Source:
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

    def recording(self, *, alone: bool = False) -> Recording:
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
        return prepare(read_recording(Path(self.path), reading), self.preparation)


@dataclass(frozen=True, kw_only=True, eq=False)
class Cohort:
    """A recording in pieces."""

    recording: Recording
    cut: Cut
    oasis: OasisSettings

    def windows(self, part: str) -> Floats:
        """Return the windows of a stretch that do not overlap, (n, neurons, frames)."""
        return self.cut.windows[part].apart().at()  # type: ignore[index]

    def measured(self, windows: Floats) -> Measures:
        """Return the statistics of windows."""
        return measure(windows, self.recording.rate_hz, self.oasis)

    def true_windows(self, part: str) -> Floats | None:
        """Return the true spikes in those windows, None where they are not known."""
        if self.recording.spikes is None:
            return None
        starts = self.cut.windows[part].apart().starts  # type: ignore[index]
        frames = starts[:, None] + np.arange(self.cut.windows["test"].length)
        return (self.recording.spikes[:, frames].transpose(1, 0, 2) > 0).astype(np.float32)

    def fingerprint(self) -> str:
        """Return a digest of the prepared traces."""
        return hashlib.sha256(np.ascontiguousarray(self.recording.traces).tobytes()).hexdigest()


def load_cohort(source: Source) -> Cohort:
    """Read, prepare and cut a recording."""
    recording = source.recording()
    cut = cut_windows(recording.traces, recording.rate_hz, source.windows)
    cohort = Cohort(recording=recording, cut=cut, oasis=source.oasis)
    measured = cohort.measured(cohort.windows("training"))
    if not np.isfinite(measured.correlations).any():
        raise StsError(
            f"OASIS finds spikes in fewer than two neurons of {recording.name}: give a --smallest "
            f"that suits its unit (now {source.oasis.smallest:g})"
        )
    return cohort
