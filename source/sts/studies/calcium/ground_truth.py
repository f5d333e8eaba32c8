"""`dg`: calcium of a population whose rates and covariances are known."""

import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np

from sts.base.errors import StsError
from sts.base.runs import start_run
from sts.base.types import Floats, Ints
from sts.base.workspace import Workspace
from sts.calcium.dichotomised import DichotomisedGaussian, dichotomised_gaussian
from sts.calcium.fluorescence import (
    CalciumModel,
    OasisSettings,
    deconvolve,
    estimate_noise,
    simulate_fluorescence,
)
from sts.calcium.preparation import Preparation, prepare
from sts.calcium.readers import read_calcium
from sts.calcium.readers.arrays import write_hdf5
from sts.calcium.recording import CalciumRecording
from sts.calcium.statistics import (
    SpikeStatistics,
    draw_statistics,
    measure_spike_statistics,
    read_statistics,
)

logger = logging.getLogger("sts")

STUDY: Final = "calcium-dg"
FOLDER: Final = "calcium"
NAMED: Final = 20
# Neurons times frames: as many numbers of 4 bytes as a recording may have.
MOST_VALUES: Final = 2**30
# How spikes of a recording in units of its noise are found.
IN_NOISE: Final = OasisSettings(decay=None, smallest=3.0, baseline=None)
# Frames so many time constants apart are independent.
APART: Final = 4.0


@dataclass(frozen=True, kw_only=True)
class GroundTruthJob:
    """What is to be made up."""

    name: str = "ground-truth"
    neurons: int = 100
    frames: int = 200_000
    rate_hz: float = 24.0
    """Frames a second."""
    mean_hz: float = 2.0
    """Of the rates that are drawn."""
    correlation: float = 0.5
    """Part of the latent variance that neurons share, where statistics are drawn."""
    memory_s: float = 0.0
    calcium: CalciumModel = field(default_factory=CalciumModel)
    given: str = ""
    """A JSON file of rates_hz and covariances or correlations; "" draws them."""
    measured: str = ""
    """A recording whose rates and covariances are taken."""
    clip: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse what contradicts itself."""
        if self.given and self.measured:
            raise StsError("statistics are either given or measured: leave one of them out")
        if self.frames < 1 or self.neurons < 2 or self.rate_hz <= 0:
            raise StsError(
                "at least 2 neurons, 1 frame and a frame rate above 0 are wanted, not "
                f"{self.neurons}, {self.frames} and {self.rate_hz:g}"
            )
        drawn = not (self.given or self.measured)
        if drawn and not 0 < self.mean_hz < self.rate_hz / 2:
            raise StsError(
                f"the mean rate must be above 0 and below half of the {self.rate_hz:g} frames a "
                f"second, not {self.mean_hz:g} Hz"
            )
        if self.neurons * self.frames > MOST_VALUES:
            raise StsError(
                f"{self.neurons} neurons of {self.frames} frames take more memory than is sane: "
                f"at most {MOST_VALUES:.0e} values are made at once"
            )


@dataclass(frozen=True, kw_only=True, eq=False)
class GroundTruth:
    """What was made, and how near it came to what was asked."""

    data: Path
    folder: Path
    """Of the run."""
    found: dict[str, Any]


def make_ground_truth(
    workspace: Workspace, job: GroundTruthJob, *, out: Path | None = None
) -> GroundTruth:
    """Make spikes and calcium, write them to data/calcium and say how near they came."""
    path = out or workspace.data / FOLDER / f"{job.name}.h5"
    rng = np.random.default_rng(job.seed)
    with start_run(workspace, study=STUDY, what=job.name, settings=job) as run:
        gaussian = dichotomised_gaussian(
            _statistics(job, rng), clip=job.clip, memory_s=job.memory_s
        )
        for each in gaussian.beyond[:NAMED]:
            logger.warning(
                "neurons %d and %d ask for a covariance of %.3g: moved to its bound %.3g",
                each.first,
                each.second,
                each.asked,
                each.attainable,
            )
        spikes = gaussian.sample(job.frames, rng)
        traces = simulate_fluorescence(spikes, job.calcium, rng)
        n = len(spikes)
        recording = CalciumRecording(
            name=path.name,
            traces=traces,
            rate_hz=job.rate_hz,
            neurons=tuple(map(str, range(n))),
            unit="spike",
            spikes=spikes,
        )
        asked = gaussian.statistics
        write_hdf5(path, recording, rates_hz=asked.rates_hz, covariances=asked.covariances)
        found = describe_truth(gaussian, spikes)
        run.report({"ground_truth": found, "data": path})
    return GroundTruth(data=path, folder=run.final, found=found)


def _statistics(job: GroundTruthJob, rng: np.random.Generator) -> SpikeStatistics:
    if job.given:
        return read_statistics(Path(job.given), rate_hz=job.rate_hz)
    if job.measured:
        return _measured(Path(job.measured), job.rate_hz)
    return draw_statistics(
        job.neurons,
        rng,
        rate_hz=job.rate_hz,
        mean_hz=job.mean_hz,
        correlation=job.correlation,
    )


def _measured(path: Path, rate_hz: float) -> SpikeStatistics:
    """Return the statistics of a recording: of its true spikes, else of what OASIS finds."""
    # These name no frame rate: they are taken to have the one that is asked for.
    nameless = path.is_dir() or path.suffix.lower() == ".npy"
    found = read_calcium(path, rate_hz=rate_hz if nameless else None)
    recording = prepare(found, Preparation(rate_hz=rate_hz))
    spikes: Floats | Ints | None = recording.spikes
    if spikes is None:
        # In units of each trace's noise, since those of a stranger's file may be any.
        noise = np.array([estimate_noise(trace) for trace in recording.traces])
        scaled = recording.traces / np.maximum(noise, np.finfo(np.float32).tiny)[:, None]
        spikes = deconvolve(scaled, IN_NOISE).spikes
    return measure_spike_statistics(spikes, rate_hz=recording.rate_hz)


def describe_truth(gaussian: DichotomisedGaussian, spikes: Ints) -> dict[str, Any]:
    """Return how far rates and covariances are from what was asked, in units of chance too."""
    asked = gaussian.statistics
    rates = spikes.mean(axis=1, dtype=np.float64) * asked.rate_hz
    # What is remembered makes frames alike: those far apart are left, whose error is known.
    stride = max(int(np.ceil(APART * gaussian.memory_s * asked.rate_hz)), 1)
    binary = spikes[:, ::stride].astype(np.float32)
    frames = binary.shape[1]
    together = (binary @ binary.T).astype(np.float64) / frames
    chances = binary.mean(axis=1, dtype=np.float64)
    found = together - np.outer(chances, chances)
    pairs = np.triu_indices(len(rates), k=1)
    z = ((found - asked.covariances) / covariance_errors(asked, frames))[pairs]
    return {
        "neurons": len(rates),
        "frames": spikes.shape[1],
        "pairs_beyond_bound": len(gaussian.beyond),
        "latent_distance": gaussian.latent.distance,
        "latent_largest_change": gaussian.latent.largest_change,
        "largest_rate_error": float(np.abs(rates / asked.rates_hz - 1).max()),
        "covariance_z_mean": float(z.mean()),
        "covariance_z_deviation": float(z.std()),
    }


def covariance_errors(asked: SpikeStatistics, frames: int) -> Floats:
    """Return the standard errors of covariances measured on so many independent frames, (n, n)."""
    p, q = asked.chances[:, None], asked.chances
    both = asked.covariances + p * q
    # The mean square of (x - p)(y - q) over the four things that a pair can do.
    squared = (
        both * (1 - p) ** 2 * (1 - q) ** 2
        + (p - both) * (1 - p) ** 2 * q**2
        + (q - both) * p**2 * (1 - q) ** 2
        + (1 - p - q + both) * p**2 * q**2
    )
    return np.sqrt(np.maximum(squared - asked.covariances**2, 1e-300) / frames)
