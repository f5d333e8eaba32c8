"""The features of first spikes: of any sweep, and of short squares and ramps together.

The strong currents of short squares need care at the threshold.
"""

import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from sts.base.types import Ints
from sts.recordings.recording import Sweep
from sts.signals.candidates import Detection, derivative
from sts.signals.long_squares import shared_amplitudes
from sts.signals.spikes import Spikes, find_spikes
from sts.signals.steps import Ramp, Step

SPIKE_FEATURES: Final = (
    "upstroke_downstroke_ratio",
    "peak_v",
    "peak_t",
    "trough_v",
    "trough_t",
    "fast_trough_v",
    "fast_trough_t",
    "slow_trough_v",
    "slow_trough_t",
    "threshold_v",
    "threshold_i",
    "threshold_t",
)
# The first ms of a short square charges the membrane faster than some spikes rise:
CHARGE_S: Final = 1e-3
# a spike must outrun the charging, and its threshold lie above what charging leaves.
OUTRUN: Final = 1.1
LEFT: Final = 1.2
LEAST_FRACTION: Final = 0.1
# The filter spreads the edge of the pulse over what comes before it.
SPREAD_S: Final = 1e-3


def read_first_spike(spikes: Spikes, *, onset: int, rate_hz: float) -> dict[str, float]:
    """Return the features of the first spike but its current, times in s from the onset."""

    def seconds(indices: Ints) -> float:
        return (int(indices[0]) - onset) / rate_hz if indices[0] >= 0 else np.nan

    return {
        "upstroke_downstroke_ratio": float(spikes.upstroke_downstroke_ratio[0]),
        "peak_v": float(spikes.peak_v[0]),
        "peak_t": seconds(spikes.peak_index),
        "trough_v": float(spikes.trough_v[0]),
        "trough_t": seconds(spikes.trough_index),
        "fast_trough_v": float(spikes.fast_trough_v[0]),
        "fast_trough_t": seconds(spikes.fast_trough_index),
        "slow_trough_v": float(spikes.slow_trough_v[0]),
        "slow_trough_t": seconds(spikes.slow_trough_index),
        "threshold_v": float(spikes.threshold_v[0]),
        "threshold_t": seconds(spikes.threshold_index),
    }


def mean_values(sweeps: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Return the mean of every feature over the sweeps that have it; none from no sweeps."""
    if not sweeps:
        return {}
    table = np.array([[sweep[name] for name in SPIKE_FEATURES] for sweep in sweeps])
    with warnings.catch_warnings():
        # A column without a value has a missing mean.
        warnings.simplefilter("ignore", RuntimeWarning)
        means = np.nanmean(table, axis=0)
    return dict(zip(SPIKE_FEATURES, means.tolist(), strict=True))


def short_square_spikes(short_squares: Sequence[tuple[Sweep, Step]]) -> dict[str, float]:
    """Return the mean features of the first spikes of short squares; empty where none fires.

    The current is that of the amplitude at which most sweeps fire, of equals the lowest.
    """
    if not short_squares:
        return {}
    detection = _detection(short_squares)
    values, amplitudes = [], []
    shared = shared_amplitudes([step for _, step in short_squares])
    for (sweep, step), shared_pa in zip(short_squares, shared, strict=True):
        spikes = _spikes(sweep, step, detection)
        if len(spikes):
            amplitudes.append(round(shared_pa))
            values.append(
                read_first_spike(spikes, onset=step.onset, rate_hz=step.rate_hz)
                | {"threshold_i": shared_pa}
            )
    if not values:
        return {}
    counts = Counter(amplitudes)
    usual = min(counts, key=lambda amplitude: (-counts[amplitude], amplitude))
    currents = [each["threshold_i"] for each in values if round(each["threshold_i"]) == usual]
    return mean_values(values) | {"threshold_i": float(np.mean(currents))}


def ramp_spikes(ramps: Sequence[tuple[Sweep, Ramp]]) -> dict[str, float]:
    """Return the mean features of the first spikes of ramps; empty where none fires."""
    values = []
    for sweep, ramp in ramps:
        spikes = find_spikes(
            sweep.voltage_mv, sweep.rate_hz, start=ramp.onset, end=len(sweep.voltage_mv)
        )
        if len(spikes):
            current_pa = ramp.current_at(float(spikes.threshold_index[0]))
            values.append(
                read_first_spike(spikes, onset=ramp.onset, rate_hz=ramp.rate_hz)
                | {"threshold_i": current_pa}
            )
    return mean_values(values)


def _detection(short_squares: Sequence[tuple[Sweep, Step]]) -> Detection:
    """Return the criteria of a spike on top of the passive charging that all sweeps share."""
    rises, ends = zip(*(_charging(sweep, step) for sweep, step in short_squares), strict=True)
    cutoff = OUTRUN * float(np.median(rises))
    plain = Detection(min_rise=cutoff)
    found = [_spikes(sweep, step, plain) for sweep, step in short_squares]
    upstrokes = np.concatenate([spikes.upstroke for spikes in found])
    if not len(upstrokes):
        return Detection(min_rise=cutoff, threshold_fraction=LEAST_FRACTION)
    fraction = LEFT * float(np.median(ends)) / float(upstrokes.mean())
    return Detection(min_rise=cutoff, threshold_fraction=max(LEAST_FRACTION, fraction))


def _charging(sweep: Sweep, step: Step) -> tuple[float, float]:
    """Return the largest dV/dt in the first ms of a pulse, and dV/dt at its end."""
    charge = round(CHARGE_S * step.rate_hz)
    first = max(0, step.onset - 5 * charge)
    dvdt = derivative(sweep.voltage_mv[first : step.end + 5 * charge], sweep.rate_hz)
    onset = step.onset - first
    return float(dvdt[onset : onset + charge].max()), float(dvdt[onset + charge])


def _spikes(sweep: Sweep, step: Step, detection: Detection) -> Spikes:
    """Find the spikes that a short square evokes, to the end of the sweep."""
    start = max(0, step.onset - round(SPREAD_S * step.rate_hz))
    return find_spikes(
        sweep.voltage_mv,
        sweep.rate_hz,
        start=start,
        end=len(sweep.voltage_mv),
        detection=detection,
    )
