"""Statistics of windows of traces, how far two kinds of windows are apart, and control windows."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.signal import lfilter, welch

from sts.base.types import Floats, Ints
from sts.calcium.fluorescence import OasisSettings, deconvolve

BIN_S: Final = 0.5
# Time constant of van Rossum's kernel, as elephant has it by default.
TAU_S: Final = 1.0
# How far an autocorrelation is followed.
LAG_S: Final = 2.0
BINS: Final = 30
# Quantity -> what it is called, and its unit.
QUANTITIES: Final = {
    "rates_hz": "firing rate (Hz)",
    "correlations": "pairwise correlation",
    "van_rossum": "van Rossum distance",
    "intervals_s": "inter-spike interval (s)",
}
# What a model is chosen by; intervals between spikes follow from the others.
SCORED: Final = ("rates_hz", "correlations", "van_rossum")
# Power below this part of the largest is taken for it: recordings that were smoothed or resampled
# have bands of nothing, in which only rounding errors differ.
SILENT: Final = 1e-4
# A generated window counts as a copy where it is nearer to a training window than this part of
# the real windows that were not trained on.
COPY_PART: Final = 0.01


@dataclass(frozen=True, kw_only=True, eq=False)
class Measures:
    """What is known of some windows: samples of quantities, and curves."""

    rates_hz: Floats
    """(neurons,)."""
    correlations: Floats
    """(pairs,) of counts in bins of 0.5 s; NaN where a neuron is silent."""
    van_rossum: Floats
    """(windows * pairs,) between the trains of two neurons in the same window."""
    intervals_s: Floats
    """Between spikes of a neuron, all neurons together."""
    covariances: Floats
    """(neurons, neurons) of frames with a spike or none."""
    autocorrelation: Floats
    """(lags,) of the traces, mean of all."""
    spectrum: Floats
    """(frequencies,) of the traces, mean of all."""


def measure_windows(traces: Floats, rate_hz: float, settings: OasisSettings) -> Measures:
    """Return the statistics of windows (n, neurons, frames), whose spikes OASIS finds."""
    trains = (deconvolve(traces, settings).spikes > 0).astype(np.float32)
    matrix = correlate_counts(trains, rate_hz)
    pairs = np.triu_indices(len(matrix), k=1)
    distances = [measure_van_rossum(each, rate_hz)[pairs] for each in trains]
    return Measures(
        rates_hz=measure_rates(trains, rate_hz),
        correlations=matrix[pairs],
        van_rossum=np.concatenate(distances),
        intervals_s=measure_intervals(trains, rate_hz),
        covariances=np.cov(join_windows(trains)),
        autocorrelation=autocorrelate(traces, round(LAG_S * rate_hz)),
        spectrum=measure_spectrum(traces),
    )


def join_windows(trains: Floats | Ints) -> Floats:
    """Return the windows of each neuron one after the other, (neurons, n * frames)."""
    return np.asarray(np.swapaxes(trains, 0, 1).reshape(trains.shape[1], -1))


def measure_rates(trains: Floats | Ints, rate_hz: float) -> Floats:
    """Return spikes a second of each neuron, over all windows."""
    return np.asarray(trains.mean(axis=(0, 2), dtype=np.float64) * rate_hz)


def sum_in_bins(trains: Floats | Ints, rate_hz: float, bin_s: float = BIN_S) -> Floats:
    """Return counts (neurons, bins) in bins that lie within a window; what is left over is cut."""
    size = max(round(bin_s * rate_hz), 1)
    n, neurons, frames = trains.shape
    kept = trains[..., : frames // size * size].reshape(n, neurons, -1, size)
    return join_windows(kept.sum(axis=-1))


def correlate_counts(trains: Floats | Ints, rate_hz: float) -> Floats:
    """Return Pearson correlations (neurons, neurons) of counts; NaN where a neuron is silent."""
    counts = sum_in_bins(trains, rate_hz).astype(np.float64)
    counts -= counts.mean(axis=1, keepdims=True)
    norms = np.linalg.norm(counts, axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray((counts @ counts.T) / np.outer(norms, norms))


def measure_van_rossum(
    trains: Floats | Ints, rate_hz: float, others: Floats | Ints | None = None
) -> Floats:
    """Return van Rossum's distances (2001) of trains (n, frames) to one another or to others.

    Scaled so that a single spike is at distance 1 from silence, as in elephant: the squared
    distance is 2 / tau times the integral of the squared difference of the filtered trains.
    """
    first = np.asarray(trains, dtype=np.float64)
    second = first if others is None else np.asarray(others, dtype=np.float64)
    decay = float(np.exp(-1 / (rate_hz * TAU_S)))
    # Sums over pairs of spikes of exp(-|difference| / tau) are products with a filtered train.
    cross = first @ _both_ways(second, decay).T
    own_first = np.einsum("nt,nt->n", first, _both_ways(first, decay))
    own_second = np.einsum("nt,nt->n", second, _both_ways(second, decay))
    return np.asarray(np.sqrt(np.maximum(own_first[:, None] + own_second - 2 * cross, 0.0)))


def _both_ways(trains: Floats, decay: float) -> Floats:
    coefficients = [1.0], [1.0, -decay]
    forward = lfilter(*coefficients, trains, axis=1)
    backward = lfilter(*coefficients, trains[:, ::-1], axis=1)[:, ::-1]
    return np.asarray(forward + backward - trains)


def measure_intervals(trains: Floats | Ints, rate_hz: float) -> Floats:
    """Return all times between a spike and the next of the same neuron and window."""
    frames = trains.shape[-1]
    rows, at = np.nonzero(trains.reshape(-1, frames))
    same = rows[1:] == rows[:-1]
    return np.asarray(np.diff(at)[same] / rate_hz)


def autocorrelate(traces: Floats, lags: int) -> Floats:
    """Return the mean autocorrelation of windows (n, neurons, frames) at 1 to `lags` frames."""
    rows = traces.reshape(-1, traces.shape[-1]).astype(np.float64)
    rows = rows - rows.mean(axis=1, keepdims=True)
    variance = np.maximum((rows**2).sum(axis=1), 1e-300)
    lags = min(lags, rows.shape[1] - 1)
    found = [
        np.mean((rows[:, lag:] * rows[:, :-lag]).sum(axis=1) / variance)
        for lag in range(1, lags + 1)
    ]
    return np.array(found)


def measure_spectrum(traces: Floats) -> Floats:
    """Return the mean power spectrum of windows (n, neurons, frames), neurons counting alike."""
    power = welch(traces, nperseg=min(256, traces.shape[-1]), axis=-1)[1].mean(axis=0)
    return np.asarray((power / power.sum(axis=1, keepdims=True)).mean(axis=0))[1:]


@dataclass(frozen=True, kw_only=True)
class Likeness:
    """How far some windows are from the real ones; 0 is alike."""

    divergences: dict[str, float]
    """Quantity -> KL(real || these), nats."""
    autocorrelation_error: float
    """Root mean square over the lags."""
    spectrum_error_db: float
    """Root mean square over the frequencies."""
    rate_error: float
    """Median over the neurons of |difference| / real rate."""
    covariance_error: float
    """Of the frames' covariances: norm of the difference over the norm of the real ones."""


def score_likeness(likeness: Likeness) -> float:
    """Return one number for all differences, in which none outweighs the others; 0 is alike.

    Divergences of rates move in leaps of a neuron from bin to bin, errors do not: both count.
    """
    errors = (
        likeness.rate_error,
        likeness.covariance_error,
        likeness.autocorrelation_error,
        likeness.spectrum_error_db / 10,
    )
    # Each below 1, or the first that goes wrong would decide alone.
    bounded = sum(error / (1 + error) for error in errors)
    return bounded + sum(likeness.divergences[name] for name in SCORED)


@dataclass(frozen=True, kw_only=True)
class Copying:
    """Distances to the nearest training window, of generated and of real unseen ones.

    Each in units of the window's median distance to all training windows: a smooth window is near
    to all of them, a copy to one.
    """

    generated: float
    """Median."""
    unseen: float
    copies: float
    """Part of the generated windows nearer than all but 1 % of the unseen ones; 0.01 is chance."""


def choose_edges(training: Measures) -> dict[str, Floats]:
    """Return the edges of 30 bins of each quantity, from the real training windows."""
    edges = {}
    for name in QUANTITIES:
        values = drop_unknown(getattr(training, name))
        low, high = (values.min(), values.max()) if len(values) else (0.0, 1.0)
        edges[name] = np.linspace(low, high if high > low else low + 1.0, BINS + 1)
    return edges


def drop_unknown(values: Floats) -> Floats:
    """Return the values that are numbers."""
    return np.asarray(values[np.isfinite(values)])


def count_values(values: Floats, edges: Floats) -> Floats:
    """Return counts in bins; what lies outside counts into the first or last."""
    return np.histogram(np.clip(drop_unknown(values), edges[0], edges[-1]), bins=edges)[0].astype(
        float
    )


def measure_divergence(real: Floats, other: Floats, edges: Floats) -> float:
    """Return KL(real || other) of histograms with one count added to each bin, nats."""
    p, q = (count_values(values, edges) + 1 for values in (real, other))
    p, q = p / p.sum(), q / q.sum()
    return float(np.sum(p * np.log(p / q)))


def compare_windows(real: Measures, other: Measures, edges: Mapping[str, Floats]) -> Likeness:
    """Return how far some windows are from the real ones."""
    faint = SILENT * float(real.spectrum.max())
    ratio = np.log10(np.maximum(other.spectrum, faint) / np.maximum(real.spectrum, faint))
    off = ~np.eye(len(real.rates_hz), dtype=bool)
    norm = max(float(np.linalg.norm(real.covariances[off])), 1e-300)
    rates = np.maximum(real.rates_hz, 1e-300)
    return Likeness(
        divergences={
            name: measure_divergence(getattr(real, name), getattr(other, name), edges[name])
            for name in QUANTITIES
        },
        autocorrelation_error=_rms(other.autocorrelation - real.autocorrelation),
        spectrum_error_db=10 * _rms(ratio),
        rate_error=float(np.median(np.abs(other.rates_hz - real.rates_hz) / rates)),
        covariance_error=float(np.linalg.norm((other.covariances - real.covariances)[off])) / norm,
    )


def find_highest_hz(windows: Floats, rate_hz: float) -> float:
    """Return the highest frequency at which windows (n, neurons, frames) have any power."""
    power = measure_spectrum(windows)
    top = int(np.flatnonzero(power > SILENT * power.max())[-1]) + 1
    return top / len(power) * rate_hz / 2


def _rms(values: Floats) -> float:
    return float(np.sqrt(np.mean(values**2)))


def measure_copying(generated: Floats, unseen: Floats, training: Floats) -> Copying:
    """Return how near generated and unseen windows (n, neurons, frames) come to training ones."""
    near, far = (measure_nearness(windows, training) for windows in (generated, unseen))
    return Copying(
        generated=float(np.median(near)),
        unseen=float(np.median(far)),
        copies=float(np.mean(near < np.quantile(far, COPY_PART))),
    )


def measure_nearness(windows: Floats, training: Floats) -> Floats:
    """Return each window's distance to the nearest training window over that to the median one."""
    first, second = (each.reshape(len(each), -1).astype(np.float64) for each in (windows, training))
    squares = (first**2).sum(axis=1)[:, None] + (second**2).sum(axis=1) - 2 * first @ second.T
    distances = np.sqrt(np.maximum(squares, 0.0))
    return np.asarray(distances.min(axis=1) / np.median(distances, axis=1))


def shuffle_phases(windows: Floats, rng: np.random.Generator) -> Floats:
    """Return windows (n, neurons, frames) with the phases of their spectra moved at random.

    All neurons of a window are moved alike (Prichard and Theiler, 1994): spectra and linear
    correlations stay, the shape of a transient is lost.
    """
    frames = windows.shape[-1]
    spectra = np.fft.rfft(windows, axis=-1)
    phases = rng.uniform(0, 2 * np.pi, (len(windows), 1, spectra.shape[-1]))
    # The mean, and the highest frequency of an even number of frames, are real.
    phases[..., 0] = 0
    if frames % 2 == 0:
        phases[..., -1] = 0
    moved = np.fft.irfft(spectra * np.exp(1j * phases), n=frames, axis=-1)
    return np.asarray(moved, dtype=np.float32)


def shuffle_neurons(windows: Floats, rng: np.random.Generator) -> Floats:
    """Return windows in which each neuron is as it was at some other time than its neighbours.

    Every neuron stays what it is alone; nothing is left that neurons do together.
    """
    n, neurons, _ = windows.shape
    order = rng.permuted(np.tile(np.arange(n), (neurons, 1)), axis=1).T
    return np.asarray(windows[order, np.arange(neurons)])
