"""All electrophysiology features of a cell, under their published names."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from sts.base.errors import CellExcluded, one_of
from sts.base.types import Floats
from sts.signals.analysis import Analysis
from sts.signals.candidates import filter_fits
from sts.signals.first_spikes import (
    SPIKE_FEATURES,
    ramp_spikes,
    read_first_spike,
    short_square_spikes,
)
from sts.signals.long_squares import (
    LongSquare,
    amplitudes_in_words,
    hero_of,
    long_squares_of,
    rheobase_of,
    squares_of_length,
)
from sts.signals.spikes import Spikes
from sts.signals.subthreshold import (
    BASELINE_S,
    baseline_mv,
    input_resistance_mohm,
    sag_and_level,
    slope,
    time_constant_ms,
)

CELL_FEATURES: Final = (
    "vrest",
    "ri",
    "sag",
    "tau",
    "vm_for_sag",
    "f_i_curve_slope",
    "adaptation",
    "latency",
    "avg_isi",
)
STIMULI: Final = ("long_square", "ramp", "short_square")
FEATURES: Final = CELL_FEATURES + tuple(
    f"{name}_{stimulus}" for stimulus in STIMULI for name in SPIKE_FEATURES
)
"""The published features: times `*_t_*` in s from the stimulus onset, voltages in mV, currents
in pA, `ri` in MOhm, `tau` and `avg_isi` in ms, `latency` in s, `f_i_curve_slope` in spikes/s/pA."""
TIMES: Final = tuple(name for name in FEATURES if "_t_" in name)

# What times may count from. Where the published tables have the onset of every stimulus: spikes on
# ramps of 25 pA/s lie at threshold_i / 25 after 0.4975 and 1.020 s (medians), nearly none on short
# squares earlier than 0.500 and 1.022 s, so that one onset holds for all three stimuli.
ONSET: Final = "onset"
PUBLISHED_ONSET_S: Final = {"PatchSeq": 0.50, "PatchClamp": 1.02}
TIME_FRAMES: Final = {ONSET: 0.0} | PUBLISHED_ONSET_S
# Passive properties are measured on steps between -100 and 0 pA, both left out. A measured -100 pA
# may read like -99 pA.
PASSIVE_PA: Final = (-99.0, 0.0)


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What was measured on one cell."""

    values: dict[str, float]
    """Every name of FEATURES; NaN is missing."""
    notes: tuple[str, ...] = ()
    """What is unusual about the measurement, in words."""


def measure_features(
    analysis: Analysis, *, lengths_s: tuple[float, float] | None = None
) -> Measured:
    """Measure all features of a cell; one without a spike on a long square is excluded.

    Parameters
    ----------
    lengths_s
        Take only long squares of these lengths; None takes all.
    """
    squares = long_squares_of(analysis)
    if lengths_s is not None:
        squares = squares_of_length(squares, lengths_s)
    rheobase = rheobase_of(squares)
    if rheobase is None:
        amplitudes = amplitudes_in_words(squares)
        raise CellExcluded(f"no spike: no long square evokes one, amplitudes are {amplitudes}")
    values = dict.fromkeys(FEATURES, np.nan)
    values |= _passive(squares) | _firing(squares, rheobase)
    values |= _named(_rheobase_spike(rheobase), "long_square")
    values |= _named(short_square_spikes(analysis.short_squares), "short_square")
    values |= _named(ramp_spikes(analysis.ramps), "ramp")
    # Commands read like 79.99999 pA.
    currents = {name: round(values[name], 3) for name in values if name.startswith("threshold_i_")}
    return Measured(values=values | currents, notes=_notes(squares, values))


def absolute_times(values: Mapping[str, float], frame: str) -> dict[str, float]:
    """Return features whose times count from the sweep's begin, as a published table has them."""
    onset_s = TIME_FRAMES[one_of(frame, TIME_FRAMES, "frame of times")]
    return {name: value + onset_s if name in TIMES else value for name, value in values.items()}


def _passive(squares: Sequence[LongSquare]) -> dict[str, float]:
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


def _firing(squares: Sequence[LongSquare], rheobase: LongSquare) -> dict[str, float]:
    firing = [each for each in squares if each.fires]
    hero = hero_of(firing, rheobase)
    intervals = _intervals_ms(hero.spikes, hero.step.rate_hz)
    first = int(hero.spikes.threshold_index[0]) - hero.step.onset
    return {
        "f_i_curve_slope": slope(
            [each.amplitude_pa for each in firing], [_rate_per_s(each) for each in firing]
        ),
        "adaptation": _adaptation(intervals),
        "latency": first / hero.step.rate_hz,
        "avg_isi": float(intervals.mean()) if len(intervals) else np.nan,
    }


def _intervals_ms(spikes: Spikes, rate_hz: float) -> Floats:
    """Return the intervals between successive thresholds."""
    return np.diff(spikes.threshold_index) * (1000 / rate_hz)


def _adaptation(intervals: Floats) -> float:
    """Return the mean normalised difference of successive intervals, NaN for fewer than two."""
    if len(intervals) < 2:
        return np.nan
    return float(np.mean(np.diff(intervals) / (intervals[1:] + intervals[:-1])))


def _rate_per_s(square: LongSquare) -> float:
    """Return the spikes of a long square per second of its step."""
    begins = square.spikes.threshold_index
    step = square.step
    return float(np.sum((begins >= step.onset) & (begins <= step.end)) / step.duration_s)


def _rheobase_spike(rheobase: LongSquare) -> dict[str, float]:
    step = rheobase.step
    return read_first_spike(rheobase.spikes, onset=step.onset, rate_hz=step.rate_hz) | {
        "threshold_i": step.amplitude_pa
    }


def _named(values: Mapping[str, float], stimulus: str) -> dict[str, float]:
    return {f"{name}_{stimulus}": value for name, value in values.items()}


def _notes(squares: Sequence[LongSquare], values: Mapping[str, float]) -> tuple[str, ...]:
    rates_hz = sorted({each.sweep.rate_hz for each in squares})
    notes = [
        f"10 kHz filter skipped: the rate is {rate_hz / 1000:.6g} kHz"
        for rate_hz in rates_hz
        if not filter_fits(rate_hz)
    ]
    shortest_s = min(each.step.onset_s for each in squares)
    if round(shortest_s * 1000) < round(BASELINE_S * 1000):
        notes.append(f"baseline of {shortest_s * 1000:.3g} ms instead of 100 ms")
    durations = sorted({f"{each.step.duration_s:.3g}" for each in squares}, key=float)
    if durations != ["1"]:
        notes.append(f"long squares last {', '.join(durations)} s")
    return (*notes, *_missing(values))


def _missing(values: Mapping[str, float]) -> list[str]:
    reasons = {
        "ri": "no ri and tau: no silent long square between -100 and 0 pA",
        "sag": "no sag: no silent hyperpolarising long square",
        "f_i_curve_slope": "no f_i_curve_slope: only one amplitude fires",
        "threshold_v_short_square": "no short square with a spike",
        "threshold_v_ramp": "no ramp with a spike",
    }
    return [reason for name, reason in reasons.items() if np.isnan(values[name])]
