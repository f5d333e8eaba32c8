"""Statistics of windows of traces or spike counts, and their differences from real ones."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.signal import lfilter, welch

from sts.base.types import Floats, Ints
from sts.calcium.fluorescence import OasisSettings, deconvolve
from sts.calcium.windows import join_windows

# Width of the bins in which spikes are counted for correlations.
BIN_S: Final = 0.5
# Time constant of van Rossum's kernel; the default of elephant.
TAU_S: Final = 1.0
# Longest lag of an autocorrelation.
LAG_S: Final = 2.0
# Number of bins of a histogram.
HISTOGRAM_BINS: Final = 30
# Field of Measures -> name and unit.
COMPARED_QUANTITIES: Final = {
    "rates_hz": "firing rate (Hz)",
    "correlations": "pairwise correlation",
    "van_rossum": "van Rossum distance",
    "intervals_s": "inter-spike interval (s)",
}
# Quantities for the selection of a model; intervals depend on the others.
SCORED: Final = ("rates_hz", "correlations", "van_rossum")
# Smallest power, relative to the largest; smaller values are set to it. Recordings that were
# smoothed or resampled have bands with only rounding errors.
LEAST_POWER: Final = 1e-4
# A generated window is a copy if it is closer to a training window than all but this fraction of
# the real windows outside training.
COPY_PART: Final = 0.01


# Key of `compare_populations` -> quantity and how the difference is measured.
POPULATION_QUANTITIES: Final = {
    "counts": "KL spikes of the population in a frame",
    "together": "KL neurons active in the same 0.5 s",
    "correlations": "RMSE pairwise correlations",
    "autocorrelation": "RMSE autocorrelation, population",
    "spectrum": "RMSE spectrum, population (dB)",
    "neuron_autocorrelation": "RMSE autocorrelation, neurons",
    "interval_means": "RMSE mean interval (s)",
    "interval_deviations": "RMSE deviation of intervals (s)",
    "rates": "RMSE rates (Hz)",
}
# Fewest intervals from which the mean and deviation of a neuron are estimated.
FEWEST_INTERVALS: Final = 3


@dataclass(frozen=True, kw_only=True, eq=False)
class Measures:
    """Statistics of windows: samples of quantities, and curves."""

    rates_hz: Floats
    """(neurons,)."""
    correlations: Floats
    """(pairs,) of counts in bins of 0.5 s; NaN if a neuron has no spikes."""
    van_rossum: Floats
    """(windows * pairs,) between the trains of two neurons in the same window."""
    intervals_s: Floats
    """Between spikes of a neuron, of all neurons."""
    covariances: Floats
    """(neurons, neurons) of frames, which have a spike or none."""
    autocorrelation: Floats
    """(lags,) mean over all traces."""
    spectrum: Floats
    """(frequencies,) mean over all traces."""


def measure_windows(traces: Floats, rate_hz: float, settings: OasisSettings) -> Measures:
    """Return the statistics of windows (n, neurons, frames), with spikes detected by OASIS."""
    trains = (deconvolve(traces, settings).spikes > 0).astype(np.float32)
    matrix = correlate_counts(trains, rate_hz)
    pairs = np.triu_indices(len(matrix), k=1)
    distances = [measure_van_rossum(train, rate_hz)[pairs] for train in trains]
    return Measures(
        rates_hz=measure_rates(trains, rate_hz),
        correlations=matrix[pairs],
        van_rossum=np.concatenate(distances),
        intervals_s=measure_intervals(trains, rate_hz),
        covariances=np.cov(join_windows(trains)),
        autocorrelation=autocorrelate(traces, round(LAG_S * rate_hz)),
        spectrum=measure_spectrum(traces),
    )


def measure_rates(trains: Floats | Ints, rate_hz: float) -> Floats:
    """Return the spikes per second of each neuron, over all windows."""
    return np.asarray(trains.mean(axis=(0, 2), dtype=np.float64) * rate_hz)


def correlate_counts(trains: Floats | Ints, rate_hz: float) -> Floats:
    """Return Pearson correlations (neurons, neurons) of counts; NaN if a neuron has no spikes."""
    counts = join_windows(bin_counts(trains, rate_hz)).astype(np.float64)
    counts -= counts.mean(axis=1, keepdims=True)
    norms = np.linalg.norm(counts, axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray((counts @ counts.T) / np.outer(norms, norms))


def bin_counts(trains: Ints | Floats, rate_hz: float) -> Floats:
    """Return sums (..., bins) over 0.5 s; frames after the last complete bin are not used."""
    frames = trains.shape[-1]
    size = min(max(round(BIN_S * rate_hz), 1), frames)
    bins = trains[..., : frames // size * size].reshape(*trains.shape[:-1], -1, size)
    return np.asarray(bins.sum(axis=-1, dtype=np.float64))


def measure_van_rossum(
    trains: Floats | Ints, rate_hz: float, others: Floats | Ints | None = None
) -> Floats:
    """Return van Rossum's distances (2001) of trains (n, frames) to each other or to others.

    Scaled as in elephant, so that a single spike has distance 1 from no spike: the squared distance
    is 2 / tau times the integral of the squared difference of the filtered trains.
    """
    first = np.asarray(trains, dtype=np.float64)
    second = first if others is None else np.asarray(others, dtype=np.float64)
    decay = float(np.exp(-1 / (rate_hz * TAU_S)))
    # Sums over pairs of spikes of exp(-|difference| / tau) are products with a filtered train.
    cross = first @ _filter_both_ways(second, decay).T
    own_first = np.einsum("nt,nt->n", first, _filter_both_ways(first, decay))
    own_second = np.einsum("nt,nt->n", second, _filter_both_ways(second, decay))
    return np.asarray(np.sqrt(np.maximum(own_first[:, None] + own_second - 2 * cross, 0.0)))


def _filter_both_ways(trains: Floats, decay: float) -> Floats:
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
    return np.array(
        [
            np.mean((rows[:, lag:] * rows[:, :-lag]).sum(axis=1) / variance)
            for lag in range(1, lags + 1)
        ]
    )


def measure_spectrum(traces: Floats) -> Floats:
    """Return the mean power spectrum of windows (n, neurons, frames), each neuron scaled to 1."""
    power = welch(traces, nperseg=min(256, traces.shape[-1]), axis=-1)[1].mean(axis=0)
    total = np.maximum(power.sum(axis=1, keepdims=True), 1e-300)
    return np.asarray((power / total).mean(axis=0))[1:]


@dataclass(frozen=True, kw_only=True)
class Likeness:
    """Differences between windows and the real ones; 0 for equal statistics."""

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
    """Return one number for all differences, 0 for equal statistics.

    Divergences of rates jump when a neuron changes its bin, errors do not: both are used.
    """
    errors = (
        likeness.rate_error,
        likeness.covariance_error,
        likeness.autocorrelation_error,
        likeness.spectrum_error_db / 10,
    )
    # Each error is mapped to below 1, so that a large error does not dominate.
    bounded = sum(error / (1 + error) for error in errors)
    return bounded + sum(likeness.divergences[name] for name in SCORED)


@dataclass(frozen=True, kw_only=True)
class Copying:
    """Distances of generated and of unseen real windows to the nearest training window.

    In units of the window's median distance to all training windows: a smooth window is near to all
    of them, a copy to one.
    """

    generated: float
    """Median over the generated windows."""
    unseen: float
    copies: float
    """Fraction of generated windows nearer than 99 % of the unseen ones; 0.01 by chance."""


def choose_edges(training: Measures) -> dict[str, Floats]:
    """Return the edges of 30 bins of each quantity, from the real training windows."""
    edges = {}
    for name in COMPARED_QUANTITIES:
        values = _keep_finite(getattr(training, name))
        low, high = (values.min(), values.max()) if len(values) else (0.0, 1.0)
        edges[name] = np.linspace(low, high if high > low else low + 1.0, HISTOGRAM_BINS + 1)
    return edges


def _keep_finite(values: Floats) -> Floats:
    return np.asarray(values[np.isfinite(values)])


def count_values(values: Floats, edges: Floats) -> Floats:
    """Return counts in bins; values outside are counted in the first or last bin."""
    inside = np.clip(_keep_finite(values), edges[0], edges[-1])
    return np.histogram(inside, bins=edges)[0].astype(float)


def measure_divergence(real: Floats, other: Floats, edges: Floats) -> float:
    """Return KL(real || other) of histograms with one count added to each bin, nats."""
    p, q = (count_values(values, edges) + 1 for values in (real, other))
    p, q = p / p.sum(), q / q.sum()
    return float(np.sum(p * np.log(p / q)))


def compare_windows(real: Measures, other: Measures, edges: Mapping[str, Floats]) -> Likeness:
    """Return the differences between windows and the real ones."""
    rate_error, covariance_error = measure_errors(real.rates_hz, real.covariances, other)
    return Likeness(
        divergences={
            name: measure_divergence(getattr(real, name), getattr(other, name), edges[name])
            for name in COMPARED_QUANTITIES
        },
        autocorrelation_error=_rms(other.autocorrelation - real.autocorrelation),
        spectrum_error_db=_compare_spectra(real.spectrum, other.spectrum),
        rate_error=rate_error,
        covariance_error=covariance_error,
    )


def _compare_spectra(real: Floats, other: Floats) -> float:
    """Return the root mean square difference of two spectra, dB."""
    faint = max(LEAST_POWER * float(real.max()), 1e-300)
    return 10 * _rms(np.log10(np.maximum(other, faint) / np.maximum(real, faint)))


def measure_errors(rates_hz: Floats, covariances: Floats, other: Measures) -> tuple[float, float]:
    """Return the median relative error of rates, and the relative error of covariances."""
    off = ~np.eye(len(rates_hz), dtype=bool)
    norm = max(float(np.linalg.norm(covariances[off])), 1e-300)
    errors = np.abs(other.rates_hz - rates_hz) / np.maximum(rates_hz, 1e-300)
    return (
        float(np.median(errors)),
        float(np.linalg.norm((other.covariances - covariances)[off])) / norm,
    )


def find_highest_hz(windows: Floats, rate_hz: float) -> float:
    """Return the highest frequency at which windows (n, neurons, frames) have power."""
    power = measure_spectrum(windows)
    top = int(np.flatnonzero(power > LEAST_POWER * power.max())[-1]) + 1
    return top / len(power) * rate_hz / 2


def _rms(values: Floats) -> float:
    return float(np.sqrt(np.mean(values**2)))


def measure_copying(generated: Floats, unseen: Floats, training: Floats) -> Copying:
    """Return how near generated and unseen windows (n, neurons, frames) are to training ones."""
    near, far = (_measure_nearness(windows, training) for windows in (generated, unseen))
    return Copying(
        generated=float(np.median(near)),
        unseen=float(np.median(far)),
        copies=float(np.mean(near < np.quantile(far, COPY_PART))),
    )


def _measure_nearness(windows: Floats, training: Floats) -> Floats:
    """Return the distance of each window to the nearest training window, over the median one."""
    first, second = (each.reshape(len(each), -1).astype(np.float64) for each in (windows, training))
    squares = (first**2).sum(axis=1)[:, None] + (second**2).sum(axis=1) - 2 * first @ second.T
    distances = np.sqrt(np.maximum(squares, 0.0))
    nearest, middle = distances.min(axis=1), np.median(distances, axis=1)
    # A window without a spike equals most training windows of a sparse population: it is no copy.
    return np.asarray(np.divide(nearest, middle, out=np.ones(len(nearest)), where=middle > 0))


@dataclass(frozen=True, kw_only=True, eq=False)
class PopulationMeasures:
    """Statistics of the spike counts of a population (Kapoor et al., 2024), windows together."""

    rates_hz: Floats
    """(neurons,)."""
    correlations: Floats
    """(pairs,) of counts in bins of 0.5 s; 0 if a neuron has no spikes."""
    interval_means_s: Floats
    """(neurons,); NaN if a neuron has fewer than three intervals."""
    interval_deviations_s: Floats
    autocorrelation: Floats
    """(lags,) of the count of the whole population."""
    spectrum: Floats
    """(frequencies,) of this count."""
    neuron_autocorrelation: Floats
    """(lags,) mean over the neurons."""
    counts: Floats
    """How many frames have 0, 1, ... spikes of all neurons."""
    together: Floats
    """How many bins of 0.5 s have 0, 1, ... neurons with a spike."""


def measure_population(trains: Ints, rate_hz: float) -> PopulationMeasures:
    """Return the statistics of spike counts in windows (n, neurons, frames)."""
    matrix = correlate_counts(trains, rate_hz)
    active = (bin_counts(trains, rate_hz) > 0).sum(axis=1)
    means, deviations = _summarise_intervals(trains, rate_hz)
    lags = round(LAG_S * rate_hz)
    population = trains.sum(axis=1)
    return PopulationMeasures(
        rates_hz=measure_rates(trains, rate_hz),
        correlations=np.nan_to_num(matrix[np.triu_indices(len(matrix), k=1)]),
        interval_means_s=means,
        interval_deviations_s=deviations,
        autocorrelation=_autocorrelate_counts(population[:, None], lags),
        spectrum=measure_spectrum(population[:, None].astype(np.float64)),
        neuron_autocorrelation=_autocorrelate_counts(trains, lags),
        counts=np.bincount(population.ravel()).astype(float),
        together=np.bincount(active.ravel()).astype(float),
    )


def _summarise_intervals(trains: Ints, rate_hz: float) -> tuple[Floats, Floats]:
    """Return mean and deviation of the intervals of each neuron, (neurons,) each."""
    found = [measure_intervals(trains[:, [neuron]], rate_hz) for neuron in range(trains.shape[1])]
    enough = [each if len(each) >= FEWEST_INTERVALS else np.array([np.nan]) for each in found]
    return np.array([each.mean() for each in enough]), np.array([each.std() for each in enough])


def _autocorrelate_counts(trains: Ints, lags: int) -> Floats:
    """Return the mean autocorrelation over neurons, at 1 to `lags` frames.

    Means are those of all windows together: in a short window without a spike they say nothing.
    """
    rows = trains - trains.mean(axis=(0, 2), keepdims=True)
    frames = trains.shape[-1]
    lags = min(lags, frames - 1)
    # Sums of products at all lags; zeros are added, so that ends do not meet.
    power = np.abs(np.fft.rfft(rows, n=2 * frames, axis=-1)) ** 2
    products = np.fft.irfft(power.sum(axis=0), axis=-1)[:, : lags + 1]
    means = products / (frames - np.arange(lags + 1))
    return np.asarray((means[:, 1:] / np.maximum(means[:, :1], 1e-300)).mean(axis=0))


def compare_populations(real: PopulationMeasures, other: PopulationMeasures) -> dict[str, float]:
    """Return the differences of a population from the real one, by POPULATION_QUANTITIES."""
    return {
        "counts": measure_count_divergence(real.counts, other.counts),
        "together": measure_count_divergence(real.together, other.together),
        "correlations": _rms(other.correlations - real.correlations),
        "autocorrelation": _rms(other.autocorrelation - real.autocorrelation),
        "spectrum": _compare_spectra(real.spectrum, other.spectrum),
        "neuron_autocorrelation": _rms(other.neuron_autocorrelation - real.neuron_autocorrelation),
        "interval_means": _compare_known(real.interval_means_s, other.interval_means_s),
        "interval_deviations": _compare_known(
            real.interval_deviations_s, other.interval_deviations_s
        ),
        "rates": _rms(other.rates_hz - real.rates_hz),
    }


def measure_count_divergence(real: Floats, other: Floats) -> float:
    """Return KL(real || other) of two distributions of counts, nats.

    Half a count is added where one of them has any: else a single rare count would be infinite.
    """
    size = max(len(real), len(other))
    p, q = (np.pad(each, (0, size - len(each))) for each in (real, other))
    seen = (p + q) > 0
    p, q = p[seen] + 0.5, q[seen] + 0.5
    p, q = p / p.sum(), q / q.sum()
    return float(np.sum(p * np.log(p / q)))


def _compare_known(real: Floats, other: Floats) -> float:
    """Return the root mean square difference where both are known; NaN if nowhere."""
    both = np.isfinite(real) & np.isfinite(other)
    return _rms(other[both] - real[both]) if both.any() else float("nan")
