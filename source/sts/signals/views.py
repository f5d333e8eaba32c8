"""What there is to judge of a sweep: its baseline, its end, and how noisy and steady they are."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from sts.base.types import Floats
from sts.recordings.recording import Sweep
from sts.signals.analysis import AnalysedSweep
from sts.signals.steps import Step

FAST_S: Final = 1.5e-3
SLOW_S: Final = 0.5
# After an earlier step the membrane needs so long to be back.
BACK_S: Final = 0.1
# Less of a baseline tells nothing.
LEAST_S: Final = 0.01
# Drift is judged by the end of a sweep that goes on for so long after its step. Where less is left
# the cell may still be answering to the step, and the baseline must have been on the same way.
LONG_TAIL_S: Final = 0.75
SHORT_TAIL_S: Final = 0.1
SAME_WAY: Final = (0.5, 2.0)
# So far above the baseline it is a spike.
SPIKE_MV: Final = 30.0


@dataclass(frozen=True, kw_only=True, eq=False)
class SweepView:
    """A sweep as the rules look at it."""

    sweep: Sweep
    step: Step | None
    """Its long square."""
    cut_off: bool
    onset: int
    """Where its stimulus begins."""
    baseline: Floats
    rest_mv: float
    """The median of the baseline, NaN where there is none."""
    fires_before: bool
    """Whether the cell fires without a stimulus."""
    tail: Floats
    is_long_tail: bool


def view_of(analysed: AnalysedSweep) -> SweepView | None:
    """Return what there is to judge of a sweep, None where nothing is measured on it."""
    sweep, stimulus = analysed.sweep, analysed.stimulus
    steps = stimulus.steps
    first = stimulus.long_square or stimulus.short_square or stimulus.ramp
    if first is None and not stimulus.cut_off:
        return None
    onset = first.onset if first is not None else steps[-1].onset
    over = max([step.end for step in steps], default=len(sweep.voltage_mv))
    after = len(sweep.voltage_mv) - over
    long_tail = after >= LONG_TAIL_S * sweep.rate_hz
    length = SLOW_S * sweep.rate_hz if long_tail else after / 2
    enough = after >= SHORT_TAIL_S * sweep.rate_hz and stimulus.long_square is not None
    baseline = _baseline(sweep, onset, steps)
    rest_mv = float(np.median(baseline)) if len(baseline) else np.nan
    return SweepView(
        sweep=sweep,
        step=stimulus.long_square,
        cut_off=stimulus.cut_off,
        onset=onset,
        baseline=baseline,
        rest_mv=rest_mv,
        fires_before=bool(len(baseline)) and bool(baseline.max() > rest_mv + SPIKE_MV),
        tail=sweep.voltage_mv[-round(length) :] if enough else sweep.voltage_mv[:0],
        is_long_tail=long_tail,
    )


def _baseline(sweep: Sweep, onset: int, steps: Sequence[Step]) -> Floats:
    """Return up to half a second before the onset, without an earlier step and its echo."""
    rate_hz = sweep.rate_hz
    before = [step.end for step in steps if step.end <= onset]
    free = max([sweep.begin, *(end + round(BACK_S * rate_hz) for end in before)])
    first = max(0, onset - round(SLOW_S * rate_hz), min(free, onset - round(BACK_S * rate_hz)))
    baseline = sweep.voltage_mv[first:onset]
    return baseline if len(baseline) >= LEAST_S * rate_hz else baseline[:0]


def fast_noise_mv(view: SweepView) -> float:
    """Return the median deviation within 1.5 ms of the baseline, 0 where there is none."""
    return float(np.median(deviations_mv(view, FAST_S)))


def deviations_mv(view: SweepView, seconds: float) -> Floats:
    """Return the deviations within so many seconds of the baseline, 0 where there is none."""
    size = max(2, round(seconds * view.sweep.rate_hz))
    whole = len(view.baseline) // size * size
    if not whole:
        return np.zeros(1)
    # float32 holds differences far better than potentials.
    deviations: Floats = (view.baseline[:whole] - view.baseline[0]).reshape(-1, size).std(axis=1)
    return deviations


def slow_noise_mv(view: SweepView) -> float:
    """Return the deviation of the baseline, 0 where there is none or the cell fires in it."""
    if not len(view.baseline) or view.fires_before:
        return 0.0
    return float(view.baseline.std(dtype=np.float64))


def drift_mv(view: SweepView) -> float:
    """Return how far the end of a sweep lies from its baseline, 0 where that cannot be told."""
    if not len(view.baseline) or not len(view.tail) or view.fires_before:
        return 0.0
    return float(np.median(view.tail)) - view.rest_mv


def is_on_the_way(view: SweepView, shift_mv: float) -> bool:
    """Tell whether the slope of the baseline alone leads to where the sweep ends."""
    time = np.arange(len(view.baseline)) - len(view.baseline) / 2
    slope_mv = float(time @ (view.baseline - view.baseline.mean()) / (time @ time))
    apart = len(view.sweep.voltage_mv) - len(view.tail) / 2 - (view.onset - len(view.baseline) / 2)
    return SAME_WAY[0] <= slope_mv * apart / shift_mv <= SAME_WAY[1]
