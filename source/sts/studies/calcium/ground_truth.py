"""`dg`: simulated calcium of a population with known rates and covariances."""

import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np

from sts.base.errors import StsError
from sts.base.runs import start_run
from sts.base.types import Floats, Ints
from sts.base.workspace import Workspace
from sts.calcium.arrays import write_hdf5
from sts.calcium.dichotomised import (
    DichotomisedGaussian,
    SpikeStatistics,
    dichotomised_gaussian,
    draw_statistics,
    measure_spike_statistics,
    read_statistics,
)
from sts.calcium.fluorescence import (
    CalciumModel,
    OasisSettings,
    deconvolve,
    estimate_noise,
    simulate_fluorescence,
)
from sts.calcium.lorenz import simulate_lorenz_spikes
from sts.calcium.readers import read_calcium
from sts.calcium.recording import CalciumRecording, Preparation, prepare

logger = logging.getLogger("sts")

_STUDY: Final = "calcium-dg"
# Folder of the simulated recordings in data/.
SIMULATED_FOLDER: Final = "calcium"
# Largest number of pairs that a warning names.
WARNED_PAIRS: Final = 20
# Largest number of values (neurons times frames): that of the largest recording.
MOST_VALUES: Final = 2**30
# Settings that detect spikes in traces in units of their noise.
IN_NOISE: Final = OasisSettings(decay=None, smallest=3.0, baseline=None)
# Number of time constants after which frames are treated as independent.
APART: Final = 4.0
# Name and frames of the demo; with fewer, chance would change the correlations of the test stretch.
DEMO: Final = "demo"
DEMO_FRAMES: Final = 400_000


@dataclass(frozen=True, kw_only=True)
class GroundTruthJob:
    """The settings of a simulated population."""

    name: str = "ground-truth"
    neurons: int = 100
    frames: int = 200_000
    rate_hz: float = 24.0
    """Frames per second."""
    mean_hz: float = 2.0
    """Mean of rates that are drawn."""
    correlation: float = 0.5
    """Fraction of the latent variance common to all neurons, if statistics are drawn."""
    memory_s: float = 0.0
    calcium: CalciumModel = field(default_factory=CalciumModel)
    given: str = ""
    """A JSON file of rates_hz and covariances or correlations; "": they are drawn."""
    measured: str = ""
    """A recording from which rates and covariances are taken."""
    clip: bool = False
    lorenz: bool = False
    """Counts follow a Lorenz system instead of a dichotomised Gaussian."""
    seed: int = 0

    def __post_init__(self) -> None:
        """Raise an error for settings that contradict each other."""
        if self.given and self.measured:
            raise StsError("statistics are either given or measured: leave one of them out")
        if self.lorenz and (self.given or self.measured or self.memory_s or self.clip):
            raise StsError("a Lorenz system has its own statistics: leave the given ones out")
        if self.lorenz and self.frames < 2:
            raise StsError("a Lorenz system needs at least 2 frames")
        if self.frames < 1 or self.neurons < 2 or self.rate_hz <= 0:
            raise StsError(
                "at least 2 neurons, 1 frame and a frame rate above 0 are needed, not "
                f"{self.neurons}, {self.frames} and {self.rate_hz:g}"
            )
        drawn = not (self.given or self.measured or self.lorenz)
        if drawn and not 0 < self.mean_hz < self.rate_hz / 2:
            raise StsError(
                f"the mean rate must be above 0 and below half of the {self.rate_hz:g} frames a "
                f"second, not {self.mean_hz:g} Hz"
            )
        if self.neurons * self.frames > MOST_VALUES:
            raise StsError(
                f"{self.neurons} neurons of {self.frames} frames take too much memory: "
                f"at most {MOST_VALUES:.0e} values are allowed"
            )


@dataclass(frozen=True, kw_only=True, eq=False)
class GroundTruth:
    """The simulated recording, and its differences from the requested statistics."""

    data: Path
    folder: Path
    """Run folder."""
    found: dict[str, Any]


def make_ground_truth(
    workspace: Workspace, job: GroundTruthJob, *, out: Path | None = None
) -> GroundTruth:
    """Simulate spikes and calcium, write them to data/calcium and compare their statistics."""
    path = out or workspace.data / SIMULATED_FOLDER / f"{job.name}.h5"
    rng = np.random.default_rng(job.seed)
    with start_run(workspace, study=_STUDY, what=job.name, settings=job) as run:
        if job.lorenz:
            spikes = simulate_lorenz_spikes(job.neurons, job.frames, rng)
            _write_truth(path, job, spikes, rng)
            described: dict[str, Any] = {
                "neurons": job.neurons,
                "frames": job.frames,
                "mean_count": float(spikes.mean()),
                "largest_count": int(spikes.max()),
            }
            run.report({"ground_truth": described, "data": path})
            return GroundTruth(data=path, folder=run.final, found=described)
        gaussian = dichotomised_gaussian(
            _get_statistics(job, rng), clip=job.clip, memory_s=job.memory_s
        )
        for each in gaussian.beyond[:WARNED_PAIRS]:
            logger.warning(
                "neurons %d and %d ask for a covariance of %.3g: moved to its bound %.3g",
                each.first,
                each.second,
                each.asked,
                each.attainable,
            )
        spikes = gaussian.sample(job.frames, rng)
        asked = gaussian.statistics
        more = {"rates_hz": asked.rates_hz, "covariances": asked.covariances}
        _write_truth(path, job, spikes, rng, **more)
        described = describe_truth(gaussian, spikes)
        run.report({"ground_truth": described, "data": path})
    return GroundTruth(data=path, folder=run.final, found=described)


def _write_truth(
    path: Path, job: GroundTruthJob, spikes: Ints, rng: np.random.Generator, **more: Floats
) -> None:
    """Write spikes with the traces that they cause."""
    if path.exists():
        logger.warning("%s exists already: it is replaced", path)
    recording = CalciumRecording(
        name=path.name,
        traces=simulate_fluorescence(spikes, job.calcium, rng),
        rate_hz=job.rate_hz,
        neurons=tuple(map(str, range(len(spikes)))),
        unit="spike",
        spikes=spikes,
    )
    write_hdf5(path, recording, **more)


def make_demo_truth(seed: int = 0) -> GroundTruthJob:
    """Return the population of the demo."""
    return GroundTruthJob(
        name=DEMO, neurons=16, frames=DEMO_FRAMES, mean_hz=2.0, correlation=0.6, seed=seed
    )


def ensure_demo_truth(workspace: Workspace, seed: int = 0) -> Path:
    """Write the population of the demo, unless it is there, and return its path."""
    path = workspace.data / SIMULATED_FOLDER / f"{DEMO}.h5"
    if not path.is_file():
        make_ground_truth(workspace, make_demo_truth(seed), out=path)
    return path


def _get_statistics(job: GroundTruthJob, rng: np.random.Generator) -> SpikeStatistics:
    if job.given:
        return read_statistics(Path(job.given), rate_hz=job.rate_hz)
    if job.measured:
        return _measure_recording(Path(job.measured), job.rate_hz)
    return draw_statistics(
        job.neurons,
        rng,
        rate_hz=job.rate_hz,
        mean_hz=job.mean_hz,
        correlation=job.correlation,
    )


def _measure_recording(path: Path, rate_hz: float) -> SpikeStatistics:
    """Return the statistics of a recording: of its true spikes, else of the spikes from OASIS."""
    # Files of these kinds contain no frame rate: the requested rate is assumed.
    without_rate = path.is_dir() or path.suffix.lower() == ".npy"
    found = read_calcium(path, rate_hz=rate_hz if without_rate else None)
    recording = prepare(found, Preparation(rate_hz=rate_hz))
    spikes: Floats | Ints | None = recording.spikes
    if spikes is None:
        # The unit of the file is unknown, so that each trace is scaled by its noise.
        noise = np.array([estimate_noise(trace) for trace in recording.traces])
        scaled = recording.traces / np.maximum(noise, np.finfo(np.float32).tiny)[:, None]
        spikes = deconvolve(scaled, IN_NOISE).spikes
    return measure_spike_statistics(spikes, rate_hz=recording.rate_hz)


def describe_truth(gaussian: DichotomisedGaussian, spikes: Ints) -> dict[str, Any]:
    """Return the errors of rates and covariances; those of covariances in standard errors."""
    asked = gaussian.statistics
    rates = spikes.mean(axis=1, dtype=np.float64) * asked.rate_hz
    # With memory, frames depend on each other: only distant frames are used, whose error is known.
    stride = max(int(np.ceil(APART * gaussian.memory_s * asked.rate_hz)), 1)
    binary = spikes[:, ::stride].astype(np.float32)
    frames = binary.shape[1]
    together = (binary @ binary.T).astype(np.float64) / frames
    chances = binary.mean(axis=1, dtype=np.float64)
    covariances = together - np.outer(chances, chances)
    pairs = np.triu_indices(len(rates), k=1)
    z = ((covariances - asked.covariances) / _estimate_errors(asked, frames))[pairs]
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


def _estimate_errors(asked: SpikeStatistics, frames: int) -> Floats:
    """Return the standard errors of covariances of `frames` independent frames, (n, n)."""
    p, q = asked.chances[:, None], asked.chances
    both = asked.covariances + p * q
    # The mean square of (x - p)(y - q) over the four states of a pair in a frame.
    squared = (
        both * (1 - p) ** 2 * (1 - q) ** 2
        + (p - both) * (1 - p) ** 2 * q**2
        + (q - both) * p**2 * (1 - q) ** 2
        + (1 - p - q + both) * p**2 * q**2
    )
    return np.sqrt(np.maximum(squared - asked.covariances**2, 1e-300) / frames)
