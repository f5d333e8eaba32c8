"""Long squares, short squares and ramps, found in the injected current alone."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from sts.base.types import Floats
from sts.recordings.recording import Sweep
from sts.signals.levels import Levels, Stretch, find_levels

LONG_S = (0.4, 2.0)
SHORT_S = (1e-3, 10e-3)
# Another step nearer than this still shows in the voltage.
APART_S = 0.2
# A test pulse before the step must leave the baseline alone.
BASELINE_S = 0.1
TEST_PULSE_S = 0.1
RAMP_S = 0.3
# What a sweep begins with tells the holding current of a ramp.
HEAD_S = 10e-3
# So long before a ramp its onset cannot be.
BEFORE_S = 20e-3
# A rise that leaves its line by more than this share of its height is no ramp.
BENT = 0.02
# Room for the rounding of a duration to samples.
SLACK_S = 1e-3


@dataclass(frozen=True, kw_only=True)
class Step:
    """A stretch of constant current away from the holding current."""

    onset: int
    """First sample of the step."""
    end: int
    """First sample after it."""
    amplitude_pa: float
    """Relative to the holding current."""
    holding_pa: float
    rate_hz: float
    error_pa: float = 0.0
    """What noise may have made of the amplitude of a measured current."""

    @property
    def onset_s(self) -> float:
        """Return the time of the onset in the sweep."""
        return self.onset / self.rate_hz

    @property
    def end_s(self) -> float:
        """Return the time of the end in the sweep."""
        return self.end / self.rate_hz

    @property
    def duration_s(self) -> float:
        """Return how long the step lasts."""
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
    """What one sweep injects, of the stimuli that features are measured on."""

    steps: tuple[Step, ...] = ()
    """Every step after a test pulse that the file itself tells apart."""
    long_square: Step | None = None
    short_square: Step | None = None
    ramp: Ramp | None = None
    cut_off: bool = False
    """Whether the sweep ends within a step."""
    unused: str = ""
    """Why a sweep that looks like a long square is none, "" where it does not look like one."""

    @property
    def is_measured(self) -> bool:
        """Tell whether any feature is measured on it."""
        return any((self.long_square, self.short_square, self.ramp))


def stimulus_of(sweep: Sweep) -> Stimulus:
    """Return what a sweep injects, judged by its current alone; reading may have found it."""
    if isinstance(sweep.found, Stimulus):
        return sweep.found
    levels = find_levels(sweep.current_pa, sweep.rate_hz)
    steps = tuple(step for step in _find_steps(levels, sweep.rate_hz) if step.end > sweep.begin)
    square = _long_square(steps)
    return Stimulus(
        steps=steps,
        long_square=square,
        short_square=_short_square(steps),
        ramp=_ramp(sweep, levels),
        cut_off=bool(steps) and steps[-1].end == len(sweep.current_pa),
        unused="" if square is not None else _why_unused(steps, levels, sweep.rate_hz),
    )


def find_stimulus(current_pa: Floats, rate_hz: float) -> Stimulus | None:
    """Return the stimulus of a sweep that is to be read, to be measured, counted or compared."""
    sweep = Sweep(voltage_mv=current_pa, current_pa=current_pa, rate_hz=rate_hz, name="", number=0)
    stimulus = stimulus_of(sweep)
    # Before a step so late there is room for a long square of 0 pA, if other sweeps have one there.
    late = any(step.onset_s >= LONG_S[0] + APART_S for step in stimulus.steps)
    wanted = stimulus.is_measured or stimulus.cut_off or bool(stimulus.unused) or late
    return stimulus if wanted else None


def _find_steps(levels: Levels, rate_hz: float) -> tuple[Step, ...]:
    """Return every stretch of constant current away from the holding current, in time order.

    The holding current is what the sweep begins with.
    """
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
        if each.steady and abs(each.level_pa - holding_pa) > levels.least_pa
    )


def _long_square(steps: Sequence[Step]) -> Step | None:
    for place, step in enumerate(steps):
        if _lasts(step, LONG_S) and _stands_alone(steps, place):
            return step
    return None


def _short_square(steps: Sequence[Step]) -> Step | None:
    # A third step makes it another protocol: a train of pulses, say.
    if not 0 < len(steps) < 3:
        return None
    last = len(steps) - 1
    short = steps[last].amplitude_pa > 0 and _lasts(steps[last], SHORT_S)
    alone = _stands_alone(steps, last) and steps[0].duration_s < LONG_S[0]
    return steps[last] if short and alone else None


def _lasts(step: Step, seconds: tuple[float, float]) -> bool:
    # The slack must not let a brief pulse count as twice as long.
    slack = min(SLACK_S, seconds[0] / 10)
    return seconds[0] - slack <= step.duration_s <= seconds[1] + slack


def _stands_alone(steps: Sequence[Step], place: int) -> bool:
    """Tell whether the neighbours leave a step room, a test pulse less than another step."""
    return not _why_crowded(steps, place)


def _why_crowded(steps: Sequence[Step], place: int) -> str:
    """Return in words what is too near to a step, "" if nothing is."""
    step = steps[place]
    if place + 1 < len(steps) and steps[place + 1].onset_s - step.end_s < APART_S:
        return f"another step within {1000 * APART_S:.0f} ms"
    if place == 0:
        return ""
    before = steps[place - 1]
    is_test_pulse = place == 1 and before.duration_s <= TEST_PULSE_S + SLACK_S
    if step.onset_s - before.end_s >= (BASELINE_S if is_test_pulse else APART_S):
        return ""
    if is_test_pulse:
        return f"a test pulse within {1000 * BASELINE_S:.0f} ms before it"
    return f"another step within {1000 * APART_S:.0f} ms"


def _why_unused(steps: Sequence[Step], levels: Levels, rate_hz: float) -> str:
    """Return in words why a sweep with a step as long as a long square is not used, else ""."""
    for place, step in enumerate(steps):
        if _lasts(step, LONG_S):
            return _why_crowded(steps, place)
    low, high = (seconds * rate_hz for seconds in LONG_S)
    holding_pa = levels.stretches[0].level_pa
    uneven = any(
        not each.steady
        and low <= each.end - each.start <= high
        and abs(each.head_pa - holding_pa) > levels.least_pa
        for each in levels.stretches[1:-1]
    )
    return "its current is not constant" if uneven else ""


def _ramp(sweep: Sweep, levels: Levels) -> Ramp | None:
    rising = [
        each
        for each in levels.stretches
        if not each.steady and each.end - each.start >= RAMP_S * sweep.rate_hz
    ]
    if not rising:
        return None
    current_pa = sweep.current_pa
    if levels.blocks is not None:
        current_pa = levels.blocks.without_hum(current_pa, 0, len(current_pa))
    fit = partial(_fitted_ramp, current_pa, sweep.rate_hz, rising[-1], noise_pa=levels.noise_pa)
    # The sweep may begin within the stretch that rises: then only its head is holding current.
    head = max(1, round(HEAD_S * sweep.rate_hz))
    found = fit(float(np.median(current_pa[:head])))
    if found is None:
        return None
    # What is known to lie before the rise tells it better than the head, through noise and drift.
    before = current_pa[rising[-1].start : found.onset - round(BEFORE_S * sweep.rate_hz)]
    if len(before) < BASELINE_S * sweep.rate_hz:
        return found
    return fit(float(np.median(before))) or found


def _fitted_ramp(
    current_pa: Floats, rate_hz: float, rise: Stretch, holding_pa: float, *, noise_pa: float
) -> Ramp | None:
    """Fit a line to the upper part of a rise and follow it down to the holding current."""
    size = max(1, round(1e-3 * rate_hz))
    whole = (rise.end - rise.start) // size * size
    blocks = current_pa[rise.start : rise.start + whole].reshape(-1, size)
    level_pa = np.median(blocks, axis=1).astype(np.float64) - holding_pa
    middles = rise.start + (np.arange(len(level_pa)) + 0.5) * size - 0.5
    top_pa = float(level_pa[-max(1, len(level_pa) // 50) :].mean())
    # From a tenth upwards: below it noise decides when the rise begins.
    low = np.flatnonzero(level_pa < top_pa / 10)
    begin = int(low[-1]) + 1 if len(low) else 0
    if top_pa <= noise_pa or len(level_pa) - begin < 10:
        return None
    slope, offset = np.polyfit(middles[begin:], level_pa[begin:], 1)
    misfit_pa = np.median(np.abs(level_pa[begin:] - slope * middles[begin:] - offset))
    onset = round(-offset / slope) if slope > 0 else -1
    if misfit_pa > BENT * top_pa + noise_pa or not rise.start - size <= onset < rise.end:
        return None
    if rise.end - onset < RAMP_S * rate_hz:
        return None
    return Ramp(
        onset=max(onset, rise.start),
        end=rise.end,
        slope_pa_per_s=float(slope * rate_hz),
        holding_pa=holding_pa,
        rate_hz=rate_hz,
    )
