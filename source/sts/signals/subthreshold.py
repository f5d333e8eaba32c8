"""Passive membrane: rest, sag, input resistance and time constant, by Allen's definitions."""

from collections.abc import Sequence
from typing import Final

import numpy as np
from scipy.optimize import least_squares

from sts.base.types import Floats
from sts.signals.select import LongSquare

# Duration of the baseline before the step.
PASSIVE_BASELINE_S: Final = 0.1
# Sag is measured on the sweep whose peak is closest to this voltage.
SAG_MV: Final = -100.0
# Duration over which the peak of this sweep is averaged.
SAG_AVERAGE_S: Final = 0.005
# Duration at the end of the step over which its steady level is averaged.
STEADY_S: Final = 0.03
# The fit of the time constant starts at this share of the deflection.
FIT_FROM: Final = 0.1
# Smallest deflection that is fitted, in standard deviations of the baseline.
SMALLEST_SNR: Final = 20.0
# Largest root mean square difference between the fit and the trace.
LARGEST_MISFIT_MV: Final = 1.0
# Approximate number of points that are fitted. They are means over equal bins: such means of an
# exponential are an exponential with the same time constant.
FIT_POINTS: Final = 2000


def baseline_mv(square: LongSquare, *, seconds: float = PASSIVE_BASELINE_S) -> float:
    """Return the mean voltage before the step; if the sweep starts later, over a shorter time."""
    before = _voltage_before(square, seconds)
    return float(before.mean(dtype=np.float64)) if len(before) else np.nan


def sag_and_level(squares: Sequence[LongSquare]) -> tuple[float, float]:
    """Return sag and peak voltage of the hyperpolarised sweep whose peak is closest to -100 mV."""
    levels = [float(_voltage_inside(each).min()) for each in squares]
    if not levels:
        return np.nan, np.nan
    nearest = int(np.argmin(np.abs(np.array(levels) - SAG_MV)))
    return _measure_sag(squares[nearest]), levels[nearest]


def input_resistance_mohm(squares: Sequence[LongSquare]) -> float:
    """Return the slope of the peak voltage over the current.

    With a single sweep, its baseline at 0 pA is the second point.

    Parameters
    ----------
    squares
        Hyperpolarising steps without spikes.
    """
    current_pa = [each.amplitude_pa for each in squares]
    voltage_mv = [float(_voltage_inside(each).min()) for each in squares]
    if len(squares) == 1:
        current_pa.append(0.0)
        voltage_mv.append(baseline_mv(squares[0]))
    return slope(current_pa, voltage_mv) * 1000


def slope(x: Sequence[float], y: Sequence[float]) -> float:
    """Return the least-squares slope of y over x, NaN if x does not vary."""
    from_mean = np.array(x) - np.mean(x) if len(x) else np.zeros(0)
    # Amplitudes that differ by less than 0.1 pA are equal except for rounding.
    if not len(x) or np.abs(from_mean).max() < 0.1:
        return np.nan
    return float(from_mean @ np.array(y) / (from_mean @ from_mean))


def time_constant_ms(squares: Sequence[LongSquare]) -> float:
    """Return the mean time constant of hyperpolarising steps, NaN if none can be fitted.

    Every fit ends at the peak of its sweep or at the median peak, whichever is earlier.
    """
    peaks_s = [(int(_voltage_inside(each).argmin()) / each.step.rate_hz) for each in squares]
    if not peaks_s:
        return np.nan
    latest_s = float(np.median(peaks_s))
    taus = [
        _fit_time_constant_ms(each, min(peak_s, latest_s))
        for each, peak_s in zip(squares, peaks_s, strict=True)
    ]
    fitted = [tau for tau in taus if np.isfinite(tau)]
    return float(np.mean(fitted)) if fitted else np.nan


def _voltage_before(square: LongSquare, seconds: float) -> Floats:
    onset = square.step.onset
    first = max(0, onset - round(seconds * square.step.rate_hz))
    return square.sweep.voltage_mv[first:onset]


def _voltage_inside(square: LongSquare) -> Floats:
    return square.sweep.voltage_mv[square.step.onset : square.step.end]


def _measure_sag(square: LongSquare) -> float:
    """Return the share of the deflection that is lost between its peak and the end of the step."""
    voltage_mv, rate_hz = square.sweep.voltage_mv, square.step.rate_hz
    peak = int(_voltage_inside(square).argmin()) + square.step.onset
    first = max(0, round(peak - SAG_AVERAGE_S / 2 * rate_hz))
    last = round(peak + SAG_AVERAGE_S / 2 * rate_hz)
    peak_mv = float(voltage_mv[first:last].mean(dtype=np.float64))
    late = voltage_mv[square.step.end - round(STEADY_S * rate_hz) : square.step.end]
    deflection_mv = peak_mv - baseline_mv(square, seconds=STEADY_S)
    if deflection_mv == 0:
        return np.nan
    return (peak_mv - float(late.mean(dtype=np.float64))) / deflection_mv


def _fit_time_constant_ms(square: LongSquare, until_s: float) -> float:
    """Fit one exponential from a tenth of the deflection to `until_s` after the onset."""
    inside = _voltage_inside(square)
    last = round(until_s * square.step.rate_hz)
    before = _voltage_before(square, PASSIVE_BASELINE_S)
    if not len(before):
        return np.nan
    base_mv = float(before.mean(dtype=np.float64))
    peak_mv = float(inside[last])
    if abs(base_mv - peak_mv) < SMALLEST_SNR * float(before.std(dtype=np.float64)):
        return np.nan
    deflected = np.flatnonzero(inside[:last] <= base_mv + FIT_FROM * (peak_mv - base_mv))
    if not len(deflected) or last - deflected[0] < 10:
        return np.nan
    return _fit_exponential_ms(inside[deflected[0] : last], peak_mv, square.step.rate_hz)


def _fit_exponential_ms(voltage_mv: Floats, final_mv: float, rate_hz: float) -> float:
    size = max(1, len(voltage_mv) // FIT_POINTS)
    whole = len(voltage_mv) // size * size
    points = voltage_mv[:whole].reshape(-1, size).mean(axis=1, dtype=np.float64)
    # Time can start at 0: the origin changes the height of an exponential, not its time constant.
    time_s = np.arange(len(points)) * (size / rate_hz)
    # 50 per second: a time constant of 20 ms
    guess = (float(voltage_mv[0]) - final_mv, 50.0, final_mv)
    # If no exponential fits the trace, the search may diverge.
    with np.errstate(over="ignore", invalid="ignore"):
        fit = least_squares(_misfit, guess, jac=_misfit_slopes, method="lm", args=(time_s, points))
    misfit_mv = float(np.sqrt(np.mean(fit.fun**2)))
    if not fit.success or not misfit_mv <= LARGEST_MISFIT_MV or fit.x[1] <= 0:
        return np.nan
    return float(1000 / fit.x[1])


def _misfit(parameters: Floats, time_s: Floats, voltage_mv: Floats) -> Floats:
    height, per_s, final = parameters
    fitted: Floats = final + height * np.exp(-per_s * time_s)
    return fitted - voltage_mv


def _misfit_slopes(parameters: Floats, time_s: Floats, voltage_mv: Floats) -> Floats:
    height, per_s, _ = parameters
    decay = np.exp(-per_s * time_s)
    return np.column_stack((decay, -height * time_s * decay, np.ones_like(voltage_mv)))
