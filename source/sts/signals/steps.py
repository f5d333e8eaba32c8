"""Detect the stimulus of a sweep from its current alone: long square, short square or ramp.

A sweep starts at the holding current. Steps are the constant stretches at any other current. A long
square is a step of 0.4 to 2 s without another step close to it; a test pulse before it may be
closer. A short square is a positive step of 1 to 10 ms with at most one other step before it. A
ramp is a long rise: a line is fitted to its upper part and extended down to the holding current.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

import numpy as np

from sts.base.types import Floats
from sts.recordings.recording import Sweep
from sts.signals.levels import Levels, Stretch, find_levels

# Shortest and longest duration of both kinds of steps, and shortest ramp.
LONG_STEP_S: Final = (0.4, 2.0)
SHORT_STEP_S: Final = (1e-3, 10e-3)
LEAST_RAMP_S: Final = 0.3
# Tolerance for the rounding of a duration to samples.
TOLERANCE_S: Final = 1e-3
# Shortest gap between two steps: a step that is closer still affects the voltage.
GAP_S: Final = 0.2
# Longest test pulse, and shortest gap after it: the baseline is measured in this gap.
TEST_PULSE_S: Final = 0.1
BASELINE_S: Final = 0.1
# Duration at the start of a sweep whose median is the holding current of a ramp.
HEAD_S: Final = 10e-3
# The holding current before a ramp is measured until this time before its onset.
RAMP_MARGIN_S: Final = 20e-3
# Largest deviation of a ramp from its line, as a share of its height.
BENT: Final = 0.02


@dataclass(frozen=True, kw_only=True)
class Step:
    """A stretch of constant current that differs from the holding current."""

    onset: int
    """First sample of the step."""
    end: int
    """First sample after it."""
    amplitude_pa: float
    """Relative to the holding current."""
    holding_pa: float
    rate_hz: float
    error_pa: float = 0.0
    """The error of the amplitude due to noise, in a measured current."""

    @property
    def onset_s(self) -> float:
        """Return the time of the onset in the sweep, in seconds."""
        return self.onset / self.rate_hz

    @property
    def end_s(self) -> float:
        """Return the time of the end in the sweep, in seconds."""
        return self.end / self.rate_hz

    @property
    def duration_s(self) -> float:
        """Return the duration of the step in seconds."""
        return (self.end - self.onset) / self.rate_hz


@dataclass(frozen=True, kw_only=True)
class Ramp:
    """A current that rises steadily from the holding current."""

    onset: int
    end: int
    slope_pa_per_s: float
    holding_pa: float
    rate_hz: float

    def current_at(self, sample: float) -> float:
        """Return the current in pA at a sample, relative to the holding current."""
        return self.slope_pa_per_s * (sample - self.onset) / self.rate_hz


@dataclass(frozen=True, kw_only=True)
class Stimulus:
    """The parts of the stimulus of one sweep that features need."""

    steps: tuple[Step, ...] = ()
    """All steps, except a test pulse that the file marks as one."""
    long_square: Step | None = None
    short_square: Step | None = None
    ramp: Ramp | None = None
    cut_off: bool = False
    """Whether the sweep ends within a step."""
    unused: str = ""
    """Why a sweep that resembles a long square is not used as one, "" for any other sweep."""


def stimulus_of(sweep: Sweep) -> Stimulus:
    """Return the stimulus of a sweep; a stimulus detected by the reader is not detected again."""
    if isinstance(sweep.known_stimulus, Stimulus):
        return sweep.known_stimulus
    levels = find_levels(sweep.current_pa, sweep.rate_hz)
    steps = tuple(step for step in _find_steps(levels, sweep.rate_hz) if step.end > sweep.begin)
    square = _find_long_square(steps)
    return Stimulus(
        steps=steps,
        long_square=square,
        short_square=_find_short_square(steps),
        ramp=_find_ramp(sweep, levels),
        cut_off=bool(steps) and steps[-1].end == len(sweep.current_pa),
        unused="" if square is not None else _explain_unused(steps, levels, sweep.rate_hz),
    )


def find_stimulus(current_pa: Floats, rate_hz: float) -> Stimulus | None:
    """Return the stimulus in a current, None if no feature can be measured on the sweep.

    A reader uses it to decide whether the voltage of a sweep is read.
    """
    sweep = Sweep(voltage_mv=current_pa, current_pa=current_pa, rate_hz=rate_hz, name="", number=0)
    stimulus = stimulus_of(sweep)
    is_measured = any((stimulus.long_square, stimulus.short_square, stimulus.ramp))
    # A long square of 0 pA may precede such a late step: other sweeps of the protocol show it.
    is_late = any(step.onset_s >= LONG_STEP_S[0] + GAP_S for step in stimulus.steps)
    is_wanted = is_measured or stimulus.cut_off or bool(stimulus.unused) or is_late
    return stimulus if is_wanted else None


def _find_steps(levels: Levels, rate_hz: float) -> tuple[Step, ...]:
    """Return the constant stretches that differ from the first holding current, in time order."""
    holding_pa = levels.stretches[0].level_pa
    return tuple(
        Step(
            onset=each.start,
            end=each.end,
            amplitude_pa=each.level_pa - holding_pa,
            holding_pa=holding_pa,
            rate_hz=rate_hz,
            error_pa=levels.stretches[0].error_pa + each.error_pa,
        )
        for each in levels.stretches[1:]
        if each.steady and abs(each.level_pa - holding_pa) > levels.smallest_step_pa
    )


def _find_long_square(steps: Sequence[Step]) -> Step | None:
    return next(
        (
            step
            for place, step in enumerate(steps)
            if _has_duration(step, LONG_STEP_S) and not _explain_crowding(steps, place)
        ),
        None,
    )


def _find_short_square(steps: Sequence[Step]) -> Step | None:
    # Three or more steps are another protocol, such as a train of pulses.
    if not 0 < len(steps) < 3:
        return None
    last = len(steps) - 1
    is_short = steps[last].amplitude_pa > 0 and _has_duration(steps[last], SHORT_STEP_S)
    is_alone = not _explain_crowding(steps, last) and steps[0].duration_s < LONG_STEP_S[0]
    return steps[last] if is_short and is_alone else None


def _has_duration(step: Step, seconds: tuple[float, float]) -> bool:
    # A tenth at most, so that a very short pulse is not accepted.
    slack = min(TOLERANCE_S, seconds[0] / 10)
    return seconds[0] - slack <= step.duration_s <= seconds[1] + slack


def _explain_crowding(steps: Sequence[Step], place: int) -> str:
    """Return in words what is too close to a step, "" if nothing is; a test pulse may be closer."""
    step = steps[place]
    if place + 1 < len(steps) and steps[place + 1].onset_s - step.end_s < GAP_S:
        return f"another step within {1000 * GAP_S:.0f} ms"
    if place == 0:
        return ""
    before = steps[place - 1]
    is_test_pulse = place == 1 and before.duration_s <= TEST_PULSE_S + TOLERANCE_S
    if step.onset_s - before.end_s >= (BASELINE_S if is_test_pulse else GAP_S):
        return ""
    if is_test_pulse:
        return f"a test pulse within {1000 * BASELINE_S:.0f} ms before it"
    return f"another step within {1000 * GAP_S:.0f} ms"


def _explain_unused(steps: Sequence[Step], levels: Levels, rate_hz: float) -> str:
    """Return in words why a step with the duration of a long square is not used, else ""."""
    for place, step in enumerate(steps):
        if _has_duration(step, LONG_STEP_S):
            return _explain_crowding(steps, place)
    low, high = (seconds * rate_hz for seconds in LONG_STEP_S)
    holding_pa = levels.stretches[0].level_pa
    uneven = any(
        not each.steady
        and low <= each.end - each.start <= high
        and abs(each.first_level_pa - holding_pa) > levels.smallest_step_pa
        for each in levels.stretches[1:-1]
    )
    return "its current is not constant" if uneven else ""


def _find_ramp(sweep: Sweep, levels: Levels) -> Ramp | None:
    rising = [
        stretch
        for stretch in levels.stretches
        if not stretch.steady and stretch.end - stretch.start >= LEAST_RAMP_S * sweep.rate_hz
    ]
    if not rising:
        return None
    current_pa = sweep.current_pa
    if levels.blocks is not None:
        current_pa = levels.blocks.without_hum(current_pa, 0, len(current_pa))
    fit = partial(_fit_ramp, current_pa, sweep.rate_hz, rising[-1], noise_pa=levels.noise_pa)
    # If the sweep starts with the ramp, only its first samples are at the holding current.
    head = max(1, round(HEAD_S * sweep.rate_hz))
    ramp = fit(float(np.median(current_pa[:head])))
    if ramp is None:
        return None
    # The current just before the ramp is less affected by noise and drift.
    before = current_pa[rising[-1].start : ramp.onset - round(RAMP_MARGIN_S * sweep.rate_hz)]
    if len(before) < BASELINE_S * sweep.rate_hz:
        return ramp
    return fit(float(np.median(before))) or ramp


def _fit_ramp(
    current_pa: Floats, rate_hz: float, rise: Stretch, holding_pa: float, *, noise_pa: float
) -> Ramp | None:
    """Fit a line to the upper part of a rise and extend it down to the holding current."""
    size = max(1, round(1e-3 * rate_hz))
    whole = (rise.end - rise.start) // size * size
    blocks = current_pa[rise.start : rise.start + whole].reshape(-1, size)
    level_pa = np.median(blocks, axis=1).astype(np.float64) - holding_pa
    middles = rise.start + (np.arange(len(level_pa)) + 0.5) * size - 0.5
    top_pa = float(level_pa[-max(1, len(level_pa) // 50) :].mean())
    # The fit starts at a tenth of the height: below it, noise would determine the start.
    low = np.flatnonzero(level_pa < top_pa / 10)
    begin = int(low[-1]) + 1 if len(low) else 0
    if top_pa <= noise_pa or len(level_pa) - begin < 10:
        return None
    slope, offset = np.polyfit(middles[begin:], level_pa[begin:], 1)
    misfit_pa = np.median(np.abs(level_pa[begin:] - slope * middles[begin:] - offset))
    onset = round(-offset / slope) if slope > 0 else -1
    if misfit_pa > BENT * top_pa + noise_pa or not rise.start - size <= onset < rise.end:
        return None
    if rise.end - onset < LEAST_RAMP_S * rate_hz:
        return None
    return Ramp(
        onset=max(onset, rise.start),
        end=rise.end,
        slope_pa_per_s=float(slope * rate_hz),
        holding_pa=holding_pa,
        rate_hz=rate_hz,
    )
