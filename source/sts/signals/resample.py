"""The window of 1.2 s around a step, resampled to 4 kHz by a band-limited filter.

The filter is a sinc with a Kaiser window. The ratio of the rates determines the grid of its taps,
which are shifted by a fraction of a sample, so that every output is exactly at its time. Beyond its
ends a trace is continued by its first and last sample.
"""

import math
from fractions import Fraction
from functools import lru_cache
from typing import TYPE_CHECKING, Final

import numpy as np
from scipy import signal

from sts.base.errors import CellFailed
from sts.base.types import Floats

if TYPE_CHECKING:
    # Networks import the constants of this module without the code that analyses recordings.
    from sts.recordings.recording import Sweep
    from sts.signals.select import SweepPair
    from sts.signals.steps import Step

# Rate, duration and number of samples of a window, and its duration before the onset.
RATE_HZ: Final = 4000.0
WINDOW_S: Final = 1.2
BEFORE_S: Final = 0.1
SAMPLES: Final = 4800
# Shape of the windows of the two sweeps of a cell.
PAIR_SHAPE: Final = (2, SAMPLES)

# Highest frequency that passes and lowest that is stopped, as shares of the output rate: at 4 kHz,
# 1.5 kHz passes and there is no aliasing.
PASS, STOP = 0.375, 0.5
STOP_DB: Final = 90.0
# Largest denominator of the ratio of rates. Unusual ratios are rounded to it: in a window, this
# shifts a sample by at most a fifth of an input sample, and by nothing at the rates of amplifiers.
LARGEST_DENOMINATOR: Final = 4000


def sample_at(
    trace: Floats, rate_hz: float, *, first: float, count: int, level: float = 0.0
) -> Floats:
    """Return `count` band-limited samples of a trace, which is continued beyond its ends.

    Parameters
    ----------
    first
        Position of the first output in the trace, in input samples or fractions of them.
    level
        An offset that is subtracted before the filter and added after it, so that the rounding of
        the taps does not change it.
    """
    if rate_hz < RATE_HZ * (1 - 1e-6):
        raise CellFailed(
            f"sampled at {rate_hz / 1000:.6g} kHz: at least {RATE_HZ / 1000:g} kHz is needed; "
            "leave this recording out"
        )
    ratio = Fraction(rate_hz / RATE_HZ).limit_denominator(LARGEST_DENOMINATOR)
    down, up = ratio.numerator, ratio.denominator
    whole = math.floor(first + 1e-6)
    fraction = max(0.0, first - whole)
    if ratio == 1 and fraction < 1e-6:
        return _continue(trace, whole, whole + count).astype(np.float64)
    half = _count_half_taps(rate_hz)
    # The first outputs need earlier samples: `lead` input samples are added, their outputs removed.
    lead = -(-2 * half // down) * down
    start = whole + half - lead
    needed = lead + math.ceil(count * ratio) + 2 * half + 2
    piece = _continue(trace, start, start + needed).astype(np.float64) - level
    taps = _compute_taps(rate_hz, up, half, round(fraction, 9))
    filtered = signal.upfirdn(taps, piece, up=up, down=down)
    skipped = lead * up // down
    return np.asarray(filtered[skipped : skipped + count]) + level


def cut_window(sweep: "Sweep", step: "Step") -> tuple[Floats, tuple[str, ...]]:
    """Return 1.2 s of voltage at 4 kHz with the onset at 0.1 s, and flags if it was continued.

    Sample k is exactly at onset - 0.1 s + k / 4000 s.
    """
    rate_hz = sweep.rate_hz
    first = step.onset - BEFORE_S * rate_hz
    baseline = sweep.voltage_mv[max(0, round(first)) : step.onset]
    level_mv = float(np.mean(baseline if len(baseline) else sweep.voltage_mv[:1], dtype=np.float64))
    window = sample_at(sweep.voltage_mv, rate_hz, first=first, count=SAMPLES, level=level_mv)
    return window.astype(np.float32), _list_flags(sweep, step)


def cut_pair(pair: "SweepPair") -> tuple[Floats, tuple[str, ...]]:
    """Return the windows of both sweeps, (2, 4800) float32 in mV, and their flags."""
    windows, flags = zip(
        *(cut_window(sweep, step) for sweep, step in zip(pair.sweeps, pair.steps, strict=True)),
        strict=True,
    )
    # A flag that both sweeps have is returned once.
    return np.stack(windows), tuple(dict.fromkeys(flag for each in flags for flag in each))


def _list_flags(sweep: "Sweep", step: "Step") -> tuple[str, ...]:
    flags = []
    if round(step.onset_s * 1000, 1) < BEFORE_S * 1000:
        flags.append(f"baseline of {step.onset_s * 1000:.3g} ms continued to 100 ms")
    after_s = (len(sweep.voltage_mv) - step.onset) / sweep.rate_hz
    wanted_s = WINDOW_S - BEFORE_S
    if round(after_s * 1000, 1) < round(wanted_s * 1000, 1):
        flags.append(f"sweep ends {after_s:.3g} s after the onset, continued to {wanted_s:.3g} s")
    return tuple(flags)


def _continue(trace: Floats, start: int, stop: int) -> Floats:
    """Return the samples from `start` until before `stop`; the edges repeat beyond the trace."""
    inside = trace[max(0, start) : max(0, stop)]
    if not len(inside):
        inside = trace[-1:] if start >= len(trace) else trace[:1]
        return np.full(stop - start, inside[0])
    before = max(0, -start)
    return np.pad(inside, (before, stop - start - before - len(inside)), mode="edge")


def _count_half_taps(rate_hz: float) -> int:
    """Return half of the length of the filter, in input samples (Kaiser, 1974)."""
    width = 2 * np.pi * (STOP - PASS) * RATE_HZ / rate_hz
    return math.ceil((STOP_DB - 7.95) / (2.285 * width) / 2) + 1


@lru_cache(maxsize=32)
def _compute_taps(rate_hz: float, up: int, half: int, fraction: float) -> Floats:
    """Return the windowed sinc on a grid `up` times finer, shifted by a fraction of a sample."""
    position = np.arange(2 * half * up + 1) / up - half + fraction
    cutoff = (PASS + STOP) * RATE_HZ / rate_hz
    beta = signal.kaiser_beta(STOP_DB)
    inside = np.maximum(1 - (position / half) ** 2, 0)
    taps: Floats = cutoff * np.sinc(cutoff * position) * np.i0(beta * np.sqrt(inside)) / np.i0(beta)
    return taps
