"""All electrophysiology features of a cell, under their published names.

Passive properties are measured on silent long squares, the rhythm on the hero sweep, the shape of
a spike on the first spike of the rheobase sweep, and of short squares and ramps on the mean of
their first spikes.
"""

import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from sts.base.errors import CellExcluded, one_of
from sts.base.types import Floats, Ints
from sts.recordings.recording import Sweep
from sts.signals.analysis import Analysis
from sts.signals.feature_names import FEATURES, SPIKE_FEATURES, TIME_FEATURES, TIME_FRAMES
from sts.signals.select import (
    LongSquare,
    find_hero,
    find_long_squares,
    find_rheobase,
    keep_lengths,
    list_amplitudes,
    share_amplitudes,
)
from sts.signals.spikes import Detection, Spikes, derivative, filter_fits, find_spikes
from sts.signals.steps import Step
from sts.signals.subthreshold import (
    PASSIVE_BASELINE_S,
    baseline_mv,
    input_resistance_mohm,
    sag_and_level,
    slope,
    time_constant_ms,
)

# Passive properties are measured on steps between -100 and 0 pA, without both limits. A measured
# amplitude of -100 pA can be -99 pA in the file.
PASSIVE_PA: Final = (-99.0, 0.0)
# Largest difference between the rheobase and the amplitude below it that is not noted.
WIDE_PA: Final = 50.0
# Duration at the start of a short square in which the current charges the membrane, sometimes
# faster than a spike rises.
CHARGE_S: Final = 1e-3
# Smallest dV/dt of a spike, as a multiple of the largest dV/dt during the charging.
RISE_OVER_CHARGING: Final = 1.1
# dV/dt at the threshold of a spike, as a multiple of dV/dt at the end of the charging.
THRESHOLD_OVER_CHARGING: Final = 1.2
# Smallest dV/dt at the threshold, as a share of the mean upstroke.
SMALLEST_FRACTION: Final = 0.1
# The filter spreads the edge of a pulse to this time before it.
SPREAD_S: Final = 1e-3


@dataclass(frozen=True, kw_only=True)
class Measured:
    """The features of one cell."""

    values: dict[str, float]
    """Every name of FEATURES; NaN is missing."""
    notes: tuple[str, ...] = ()
    """Unusual properties of the measurement, in words."""


def measure_features(
    analysis: Analysis, *, lengths_s: tuple[float, float] | None = None
) -> Measured:
    """Measure all features of a cell; exclude a cell without a spike on a long square.

    Parameters
    ----------
    lengths_s
        Use only long squares of these lengths; None: use all.
    """
    squares = find_long_squares(analysis)
    if lengths_s is not None:
        squares = keep_lengths(squares, lengths_s)
    rheobase = find_rheobase(squares)
    if rheobase is None:
        amplitudes = list_amplitudes(squares)
        raise CellExcluded(f"no spike: no long square evokes one, amplitudes are {amplitudes}")
    step = rheobase.step
    first_spikes = {
        "long_square": _read_first_spike(
            rheobase.spikes, onset=step.onset, rate_hz=step.rate_hz, current_pa=step.amplitude_pa
        ),
        "short_square": _measure_short_square_spikes(analysis),
        "ramp": _measure_ramp_spikes(analysis),
    }
    values = dict.fromkeys(FEATURES, np.nan)
    values |= _measure_membrane(squares) | _measure_firing(squares, rheobase)
    for stimulus, spike in first_spikes.items():
        values |= {f"{name}_{stimulus}": value for name, value in spike.items()}
    # Stored commands can be inexact, such as 79.99999 pA.
    currents = {name: round(values[name], 3) for name in values if name.startswith("threshold_i_")}
    return Measured(values=values | currents, notes=_list_notes(squares, rheobase, values))


def absolute_times(values: Mapping[str, float], frame: str) -> dict[str, float]:
    """Return features with times from the start of the sweep, as in a published table."""
    onset_s = TIME_FRAMES[one_of(frame, TIME_FRAMES, "frame of times")]
    return {
        name: value + onset_s if name in TIME_FEATURES else value for name, value in values.items()
    }


def _measure_membrane(squares: Sequence[LongSquare]) -> dict[str, float]:
    silent = [each for each in squares if not len(each.spikes)]
    gentle = [each for each in silent if PASSIVE_PA[0] < each.rank[0] < PASSIVE_PA[1]]
    sag, level_mv = sag_and_level([each for each in silent if each.amplitude_pa < 0])
    baselines = np.array([baseline_mv(each) for each in squares])
    known = baselines[np.isfinite(baselines)]
    return {
        "vrest": float(known.mean()) if len(known) else np.nan,
        "ri": input_resistance_mohm(gentle),
        "tau": time_constant_ms(gentle),
        "sag": sag,
        "vm_for_sag": level_mv,
    }


def _measure_firing(squares: Sequence[LongSquare], rheobase: LongSquare) -> dict[str, float]:
    firing = [each for each in squares if each.fires]
    hero = find_hero(firing, rheobase)
    intervals_ms = np.diff(hero.spikes.threshold_index) * (1000 / hero.step.rate_hz)
    first = int(hero.spikes.threshold_index[0]) - hero.step.onset
    return {
        "f_i_curve_slope": slope(
            [each.amplitude_pa for each in firing], [_measure_rate_per_s(each) for each in firing]
        ),
        "adaptation": _measure_adaptation(intervals_ms),
        "latency": first / hero.step.rate_hz,
        "avg_isi": float(intervals_ms.mean()) if len(intervals_ms) else np.nan,
    }


def _measure_adaptation(intervals: Floats) -> float:
    """Return the mean normalised difference of successive intervals, NaN for less than two."""
    if len(intervals) < 2:
        return np.nan
    return float(np.mean(np.diff(intervals) / (intervals[1:] + intervals[:-1])))


def _measure_rate_per_s(square: LongSquare) -> float:
    """Return the number of spikes of a long square per second of its step."""
    begins = square.spikes.threshold_index
    step = square.step
    return float(np.sum((begins >= step.onset) & (begins <= step.end)) / step.duration_s)


def _read_first_spike(
    spikes: Spikes, *, onset: int, rate_hz: float, current_pa: float
) -> dict[str, float]:
    """Return the features of the first spike, times in s from the onset."""

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
        "threshold_i": current_pa,
        "threshold_t": seconds(spikes.threshold_index),
    }


def _average_features(sweeps: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Return the mean of every feature over the sweeps that have it; {} without sweeps."""
    if not sweeps:
        return {}
    table = np.array([[sweep[name] for name in SPIKE_FEATURES] for sweep in sweeps])
    with warnings.catch_warnings():
        # numpy warns of a column without values; its mean is NaN.
        warnings.simplefilter("ignore", RuntimeWarning)
        means = np.nanmean(table, axis=0)
    return dict(zip(SPIKE_FEATURES, means.tolist(), strict=True))


def _measure_ramp_spikes(analysis: Analysis) -> dict[str, float]:
    """Return the mean features of the first spikes of ramps; empty if there is no spike."""
    values = []
    for each in analysis.sweeps:
        sweep, ramp = each.sweep, each.stimulus.ramp
        if ramp is None:
            continue
        spikes = find_spikes(
            sweep.voltage_mv, sweep.rate_hz, start=ramp.onset, end=len(sweep.voltage_mv)
        )
        if len(spikes):
            current_pa = ramp.current_at(float(spikes.threshold_index[0]))
            values.append(
                _read_first_spike(
                    spikes, onset=ramp.onset, rate_hz=ramp.rate_hz, current_pa=current_pa
                )
            )
    return _average_features(values)


def _measure_short_square_spikes(analysis: Analysis) -> dict[str, float]:
    """Return the mean features of the first spikes of short squares; empty without a spike.

    The current is the amplitude at which most sweeps fire; of several, the lowest.
    """
    short_squares = [
        (each.sweep, step)
        for each in analysis.sweeps
        if (step := each.stimulus.short_square) is not None
    ]
    if not short_squares:
        return {}
    detection = find_short_square_criteria(short_squares)
    values = []
    shared = share_amplitudes([step for _, step in short_squares])
    for (sweep, step), shared_pa in zip(short_squares, shared, strict=True):
        spikes = find_evoked_spikes(sweep, step, detection)
        if len(spikes):
            values.append(
                _read_first_spike(
                    spikes, onset=step.onset, rate_hz=step.rate_hz, current_pa=shared_pa
                )
            )
    if not values:
        return {}
    counts = Counter(round(each["threshold_i"]) for each in values)
    usual = min(counts, key=lambda amplitude: (-counts[amplitude], amplitude))
    currents = [each["threshold_i"] for each in values if round(each["threshold_i"]) == usual]
    return _average_features(values) | {"threshold_i": float(np.mean(currents))}


def find_short_square_criteria(short_squares: Sequence[tuple[Sweep, Step]]) -> Detection:
    """Return the criteria that separate a spike from the charging of the membrane."""
    rises, ends = zip(
        *(_measure_charging(sweep, step) for sweep, step in short_squares), strict=True
    )
    min_rise = RISE_OVER_CHARGING * float(np.median(rises))
    plain = Detection(min_rise=min_rise)
    upstrokes = np.concatenate(
        [find_evoked_spikes(sweep, step, plain).upstroke for sweep, step in short_squares]
    )
    if not len(upstrokes):
        return Detection(min_rise=min_rise, threshold_fraction=SMALLEST_FRACTION)
    fraction = THRESHOLD_OVER_CHARGING * float(np.median(ends)) / float(upstrokes.mean())
    return Detection(min_rise=min_rise, threshold_fraction=max(SMALLEST_FRACTION, fraction))


def _measure_charging(sweep: Sweep, step: Step) -> tuple[float, float]:
    """Return the largest dV/dt in the first ms of a pulse, and dV/dt at the end of this ms."""
    charge = round(CHARGE_S * step.rate_hz)
    first = max(0, step.onset - 5 * charge)
    dvdt = derivative(sweep.voltage_mv[first : step.end + 5 * charge], sweep.rate_hz)
    onset = step.onset - first
    return float(dvdt[onset : onset + charge].max()), float(dvdt[onset + charge])


def find_evoked_spikes(sweep: Sweep, step: Step, detection: Detection) -> Spikes:
    """Return the spikes from the start of a short square to the end of the sweep."""
    return find_spikes(
        sweep.voltage_mv,
        sweep.rate_hz,
        start=max(0, step.onset - round(SPREAD_S * step.rate_hz)),
        end=len(sweep.voltage_mv),
        detection=detection,
    )


def _bracket_rheobase(squares: Sequence[LongSquare], rheobase: LongSquare) -> tuple[float, float]:
    """Return the highest amplitude (pA) without a spike below the rheobase, and the rheobase.

    Without current a cell is silent, so the first is at least 0.
    """
    top_pa = rheobase.amplitude_pa
    silent = [each.amplitude_pa for each in squares if not each.fires]
    return max([0.0, *(pa for pa in silent if pa < top_pa)]), top_pa


def _list_notes(
    squares: Sequence[LongSquare], rheobase: LongSquare, values: Mapping[str, float]
) -> tuple[str, ...]:
    rates_hz = sorted({each.sweep.rate_hz for each in squares})
    notes = [
        f"10 kHz filter skipped: the rate is {rate_hz / 1000:.6g} kHz"
        for rate_hz in rates_hz
        if not filter_fits(rate_hz)
    ]
    shortest_s = min(each.step.onset_s for each in squares)
    if round(shortest_s * 1000) < round(PASSIVE_BASELINE_S * 1000):
        notes.append(f"baseline of {shortest_s * 1000:.3g} ms instead of 100 ms")
    below_pa, rheobase_pa = _bracket_rheobase(squares, rheobase)
    if rheobase_pa - below_pa > WIDE_PA:
        notes.append(
            f"the rheobase is uncertain: no long square between {below_pa:.6g} and "
            f"{rheobase_pa:.6g} pA"
        )
    durations = sorted({f"{each.step.duration_s:.3g}" for each in squares}, key=float)
    if durations != ["1"]:
        notes.append(f"long squares last {', '.join(durations)} s")
    reasons = {
        "ri": "no ri and tau: no silent long square between -100 and 0 pA",
        "sag": "no sag: no silent hyperpolarising long square",
        "f_i_curve_slope": "no f_i_curve_slope: only one amplitude fires",
        "threshold_v_short_square": "no short square with a spike",
        "threshold_v_ramp": "no ramp with a spike",
    }
    return (*notes, *(reason for name, reason in reasons.items() if np.isnan(values[name])))
