"""Statistics of spike trains and traces, by window, neuron and pair."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.signal import lfilter, welch

from sts.base.types import Floats, Ints
from sts.calcium.deconvolve import OasisSettings, deconvolve

BIN_S: Final = 0.5
# Time constant of van Rossum's kernel, as elephant has it by default.
TAU_S: Final = 1.0
# How far an autocorrelation is followed.
LAG_S: Final = 2.0


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


def measure(traces: Floats, rate_hz: float, settings: OasisSettings) -> Measures:
    """Return the statistics of windows (n, neurons, frames), whose spikes OASIS finds."""
    trains = (deconvolve(traces, settings).spikes > 0).astype(np.float32)
    matrix = correlation_matrix(trains, rate_hz)
    pairs = np.triu_indices(len(matrix), k=1)
    distances = [van_rossum(each, rate_hz)[pairs] for each in trains]
    return Measures(
        rates_hz=firing_rates(trains, rate_hz),
        correlations=matrix[pairs],
        van_rossum=np.concatenate(distances),
        intervals_s=intervals(trains, rate_hz),
        covariances=np.cov(joined(trains)),
        autocorrelation=autocorrelation(traces, round(LAG_S * rate_hz)),
        spectrum=spectrum(traces),
    )


def joined(trains: Floats | Ints) -> Floats:
    """Return the windows of each neuron one after the other, (neurons, n * frames)."""
    return np.asarray(np.swapaxes(trains, 0, 1).reshape(trains.shape[1], -1))


def firing_rates(trains: Floats | Ints, rate_hz: float) -> Floats:
    """Return spikes a second of each neuron, over all windows."""
    return np.asarray(trains.mean(axis=(0, 2), dtype=np.float64) * rate_hz)


def binned(trains: Floats | Ints, rate_hz: float, bin_s: float = BIN_S) -> Floats:
    """Return counts (neurons, bins) in bins that lie within a window; what is left over is cut."""
    size = max(round(bin_s * rate_hz), 1)
    n, neurons, frames = trains.shape
    kept = trains[..., : frames // size * size].reshape(n, neurons, -1, size)
    return joined(kept.sum(axis=-1))


def correlation_matrix(trains: Floats | Ints, rate_hz: float) -> Floats:
    """Return Pearson correlations (neurons, neurons) of counts; NaN where a neuron is silent."""
    counts = binned(trains, rate_hz).astype(np.float64)
    counts -= counts.mean(axis=1, keepdims=True)
    norms = np.linalg.norm(counts, axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray((counts @ counts.T) / np.outer(norms, norms))


def van_rossum(
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


def intervals(trains: Floats | Ints, rate_hz: float) -> Floats:
    """Return all times between a spike and the next of the same neuron and window."""
    frames = trains.shape[-1]
    rows, at = np.nonzero(trains.reshape(-1, frames))
    same = rows[1:] == rows[:-1]
    return np.asarray(np.diff(at)[same] / rate_hz)


def autocorrelation(traces: Floats, lags: int) -> Floats:
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


def spectrum(traces: Floats) -> Floats:
    """Return the mean power spectrum of windows (n, neurons, frames), neurons counting alike."""
    power = welch(traces, nperseg=min(256, traces.shape[-1]), axis=-1)[1].mean(axis=0)
    return np.asarray((power / power.sum(axis=1, keepdims=True)).mean(axis=0))[1:]
