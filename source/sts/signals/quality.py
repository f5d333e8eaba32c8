"""Which sweeps can be trusted, in the units of the recording, and in words why others cannot.

Of every sweep on which something is measured, the baseline before the stimulus and the tail at the
end of the sweep are taken. A list of rules is applied, the gravest first; the first rule that a
sweep breaks is its fault. Noise is measured as the Allen Institute does: fast noise as the standard
deviation within 1.5 ms, slow noise as that within the half second before the stimulus, drift as the
difference between that half second and the last one of the sweep.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from sts.base.errors import CellExcluded, CellFailed, StsError
from sts.base.types import Floats
from sts.recordings.recording import Sweep
from sts.signals.analysis import AnalysedSweep, Analysis
from sts.signals.select import VOLTAGE_MV
from sts.signals.steps import Step

# Spans of time over which the Allen Institute measures fast noise, and slow noise and drift.
FAST_S: Final = 1.5e-3
SLOW_S: Final = 0.5
# The baseline begins this long after an earlier step, when the membrane is back at rest.
RECOVERY_S: Final = 0.1
# Shortest baseline that is judged.
LEAST_BASELINE_S: Final = 0.01
# A sweep that goes on for this long after its last step has a long tail: its last half second is
# compared with the baseline.
LONG_TAIL_S: Final = 0.75
# One that goes on for this long has a short tail, half of which is compared. There the cell may
# still respond to the step. So the difference is drift only if it is larger than this, and if the
# slope of the baseline, continued to the tail, predicts it within these factors.
SHORT_TAIL_S: Final = 0.1
SHORT_TAIL_MV: Final = 10.0
PREDICTED: Final = (0.5, 2.0)
# A baseline that reaches this far above its median holds a spike.
SPIKE_MV: Final = 30.0
# Smallest span of a voltage that an amplifier recorded: each adds more noise than this.
FLAT_MV: Final = 0.05
# A converter that records noise does not give one number for this long.
STILL_S: Final = 0.02
# A spike that is cut off stays at its highest value for at least this many samples and the first
# time, and for no longer than a spike and its trough last.
CUT_SAMPLES: Final = 3
CUT_S: Final = (0.1e-3, 0.1)
# Its voltage reaches that value at least this steeply.
STEEP_MV_PER_MS: Final = 20.0
# Smallest difference from the stated amplitude that counts.
LEAST_ERROR_PA: Final = 5.0
# Steps and responses that are large enough to show whether the response has the sign of the step.
CLEAR_PA: Final = 10.0
CLEAR_MV: Final = 2.0
# In the words of a fault, what follows the first of these differs from sweep to sweep.
PARTICULARS: Final = re.compile(", | at | to ")


@dataclass(frozen=True, kw_only=True)
class QualitySettings:
    """The worst values that a sweep may have; the defaults leave out what no analysis survives."""

    noise_mv: float = 0.5
    """Standard deviation within 1.5 ms of baseline, the median of all of them."""
    slow_noise_mv: float = 5.0
    """Deviation of the half second before the stimulus; not judged where the cell fires in it."""
    drift_mv: float = 10.0
    """Between the baseline and the end of the sweep."""
    rest_mv: float = -40.0
    """The most depolarised baseline."""
    amplitude_error: float = 0.1
    """Share by which a step may miss the amplitude that the file states, at least 5 pA."""

    def __post_init__(self) -> None:
        for name in ("noise_mv", "slow_noise_mv", "drift_mv", "amplitude_error"):
            if getattr(self, name) <= 0:
                raise StsError(f"{name} is {getattr(self, name):g}: give more than 0")


# The bounds of the Allen Institute. Amplifiers of other laboratories exceed the first at full
# bandwidth (0.08 and 0.29 mV in sound recordings), so that sweeps beyond are only flagged.
ALLEN: Final = QualitySettings(noise_mv=0.07, slow_noise_mv=0.5, drift_mv=1.0)
QUALITY: Final[dict[str, QualitySettings | None]] = {
    "usual": QualitySettings(),
    "allen": ALLEN,
    "off": None,
}


@dataclass(frozen=True, kw_only=True, eq=False)
class _View:
    """The parts of a sweep that the rules look at."""

    sweep: Sweep
    step: Step | None
    """Its long square."""
    cut_off: bool
    onset: int
    """First sample of its stimulus."""
    baseline: Floats
    rest_mv: float
    """The median of the baseline, NaN where there is none."""
    fires_before: bool
    """Whether the cell fires without a stimulus."""
    tail: Floats
    is_long_tail: bool


def keep_sound(analysis: Analysis, settings: QualitySettings | None) -> Analysis:
    """Return the sweeps that break no rule, with flags for the others; refuse a cell of none."""
    if settings is None:
        return replace(analysis, flags=analysis.unused)
    views = [view for each in analysis.sweeps if (view := _view(each)) is not None]
    _check_sign(views)
    faults = [(view.sweep, fault) for view in views if (fault := _find_fault(view, settings))]
    bad = {id(sweep) for sweep, _ in faults}
    squares = [view for view in views if view.step is not None or view.cut_off]
    sound = [view for view in squares if id(view.sweep) not in bad]
    words = _list_faults([(sweep.number, fault) for sweep, fault in faults])
    left = analysis.without([sweep for sweep, _ in faults])
    if (squares and not sound) or (words and not left.sweeps):
        raise CellExcluded(f"no usable sweep: {', '.join(words)}")
    flags = tuple(f"left out {fault}" for fault in words)
    return replace(left, flags=analysis.unused + flags + _remarks(sound))


def _view(analysed: AnalysedSweep) -> _View | None:
    """Return the parts of a sweep that are judged, None where nothing is measured on it."""
    sweep, stimulus = analysed.sweep, analysed.stimulus
    steps = stimulus.steps
    first = stimulus.long_square or stimulus.short_square or stimulus.ramp
    if first is None and not stimulus.cut_off:
        return None
    onset = first.onset if first is not None else steps[-1].onset
    over = max([step.end for step in steps], default=len(sweep.voltage_mv))
    after = len(sweep.voltage_mv) - over
    is_long_tail = after >= LONG_TAIL_S * sweep.rate_hz
    length = SLOW_S * sweep.rate_hz if is_long_tail else after / 2
    has_tail = after >= SHORT_TAIL_S * sweep.rate_hz and stimulus.long_square is not None
    baseline = _baseline(sweep, onset, steps)
    rest_mv = float(np.median(baseline)) if len(baseline) else np.nan
    return _View(
        sweep=sweep,
        step=stimulus.long_square,
        cut_off=stimulus.cut_off,
        onset=onset,
        baseline=baseline,
        rest_mv=rest_mv,
        fires_before=bool(len(baseline)) and bool(baseline.max() > rest_mv + SPIKE_MV),
        tail=sweep.voltage_mv[-round(length) :] if has_tail else sweep.voltage_mv[:0],
        is_long_tail=is_long_tail,
    )


def _baseline(sweep: Sweep, onset: int, steps: Sequence[Step]) -> Floats:
    """Return up to half a second before the onset, without an earlier step and its aftermath."""
    rate_hz = sweep.rate_hz
    recovery = round(RECOVERY_S * rate_hz)
    recovered = max([sweep.begin, *(step.end + recovery for step in steps if step.end <= onset)])
    first = max(0, onset - round(SLOW_S * rate_hz), min(recovered, onset - recovery))
    baseline = sweep.voltage_mv[first:onset]
    return baseline if len(baseline) >= LEAST_BASELINE_S * rate_hz else baseline[:0]


def _fast_deviations_mv(view: _View) -> Floats:
    """Return the standard deviation of every 1.5 ms of the baseline, 0 where there is none."""
    size = max(2, round(FAST_S * view.sweep.rate_hz))
    whole = len(view.baseline) // size * size
    if not whole:
        return np.zeros(1)
    # float32 holds differences far better than potentials.
    deviations: Floats = (view.baseline[:whole] - view.baseline[0]).reshape(-1, size).std(axis=1)
    return deviations


def _fast_noise_mv(view: _View) -> float:
    return float(np.median(_fast_deviations_mv(view)))


def _slow_noise_mv(view: _View) -> float:
    """Return the deviation of the baseline, 0 where there is none or the cell fires in it."""
    if not len(view.baseline) or view.fires_before:
        return 0.0
    return float(view.baseline.std(dtype=np.float64))


def _find_fault(view: _View, settings: QualitySettings) -> str:
    """Return in words which rule a sweep breaks first, the gravest first, "" if it breaks none."""
    noise_mv, slow_noise_mv = _fast_noise_mv(view), _slow_noise_mv(view)
    faults = (
        "truncated within its step" if view.cut_off else "",
        _why_no_voltage(view),
        _why_clipped(view),
        _why_still(view),
        _why_other_amplitude(view, settings.amplitude_error),
        f"depolarised, rest at {view.rest_mv:.3g} mV" if view.rest_mv > settings.rest_mv else "",
        f"noisy, {noise_mv:.2g} mV rms" if noise_mv > settings.noise_mv else "",
        f"unstable, {slow_noise_mv:.2g} mV rms" if slow_noise_mv > settings.slow_noise_mv else "",
        _why_drifting(view, settings.drift_mv),
    )
    return next(filter(None, faults), "")


def _why_no_voltage(view: _View) -> str:
    """Find a voltage that is flat, or that no cell has."""
    low, high = float(view.sweep.voltage_mv.min()), float(view.sweep.voltage_mv.max())
    span_mv = float(np.ptp(view.sweep.voltage_mv))
    if span_mv < FLAT_MV:
        return f"flat to {span_mv:.2g} mV"
    inside = VOLTAGE_MV[0] <= low and high <= VOLTAGE_MV[1]
    return "" if inside else f"overloaded, from {low:.4g} to {high:.4g} mV"


def _why_clipped(view: _View) -> str:
    """Find spikes cut off at the highest or lowest voltage: they reach it steeply, and stay."""
    voltage_mv, rate_hz = view.sweep.voltage_mv, view.sweep.rate_hz
    least, most = max(CUT_SAMPLES, round(CUT_S[0] * rate_hz)), CUT_S[1] * rate_hz
    for limit_mv in (voltage_mv.max(), voltage_mv.min()):
        at_limit = np.flatnonzero(voltage_mv == limit_mv)
        starts = at_limit[np.diff(at_limit, prepend=-2) > 1]
        ends = at_limit[np.diff(at_limit, append=len(voltage_mv) + 1) > 1]
        lengths = ends - starts + 1
        cut = starts[(lengths >= least) & (lengths <= most) & (starts > 0)]
        steps_mv = np.abs(voltage_mv[cut] - voltage_mv[cut - 1])
        if np.any(steps_mv * rate_hz / 1000 >= STEEP_MV_PER_MS):
            return f"clipped at {limit_mv:.3g} mV"
    return ""


def _why_still(view: _View) -> str:
    """Find where a converter that records noise elsewhere repeats one number."""
    voltage_mv = view.sweep.voltage_mv
    size = round(STILL_S / 2 * view.sweep.rate_hz)
    blocks = voltage_mv[: len(voltage_mv) // size * size].reshape(-1, size)
    still = np.ptp(blocks, axis=1) == 0
    if not still.any() or np.any(_fast_deviations_mv(view) == 0):
        return ""
    return f"without a signal at {np.argmax(still) * STILL_S / 2:.3g} s"


def _why_other_amplitude(view: _View, largest_error: float) -> str:
    stated_pa = view.sweep.stated_pa
    # A first step of 0 pA is known from other sweeps; the file states the second step then.
    if view.step is None or stated_pa is None or view.step.amplitude_pa == 0:
        return ""
    error_pa = abs(view.step.amplitude_pa - stated_pa)
    if error_pa <= max(LEAST_ERROR_PA, largest_error * abs(stated_pa)):
        return ""
    return f"of another amplitude, {view.step.amplitude_pa:.4g} instead of {stated_pa:.4g} pA"


def _why_drifting(view: _View, largest_mv: float) -> str:
    """Find a tail far from the baseline; in a short tail, where the baseline predicts it."""
    if not len(view.baseline) or not len(view.tail) or view.fires_before:
        return ""
    shift_mv = float(np.median(view.tail)) - view.rest_mv
    if view.is_long_tail:
        is_drift = abs(shift_mv) > largest_mv
    else:
        is_drift = abs(shift_mv) > max(SHORT_TAIL_MV, largest_mv) and _is_predicted(view, shift_mv)
    return f"drifting, by {shift_mv:.2g} mV" if is_drift else ""


def _is_predicted(view: _View, shift_mv: float) -> bool:
    """Tell whether the slope of the baseline, continued to the tail, predicts the shift."""
    time = np.arange(len(view.baseline)) - len(view.baseline) / 2
    slope_mv = float(time @ (view.baseline - view.baseline.mean()) / (time @ time))
    middle = view.onset - len(view.baseline) / 2
    distance = len(view.sweep.voltage_mv) - len(view.tail) / 2 - middle
    return PREDICTED[0] <= slope_mv * distance / shift_mv <= PREDICTED[1]


def _check_sign(views: Sequence[_View]) -> None:
    """Refuse a recording in which every current moves the cell the wrong way."""
    signs = [sign for view in views if (sign := _response_sign(view))]
    if len(signs) > 1 and set(signs) == {-1}:
        raise CellFailed(
            f"answers all {len(signs)} clear steps the wrong way round: the sign of the current "
            "or of the voltage is wrong; mend it in the file"
        )


def _response_sign(view: _View) -> int:
    """Return 1 where the cell follows the current, -1 where it goes against it, 0 if unclear."""
    step = view.step
    if step is None or abs(step.amplitude_pa) < CLEAR_PA or not len(view.baseline):
        return 0
    # About a thousand samples give the median as well as all of them, and sooner.
    stride = 1 + (step.end - step.onset) // 1000
    inside = view.sweep.voltage_mv[step.onset : step.end : stride]
    moved_mv = float(np.median(inside)) - view.rest_mv
    return int(np.sign(moved_mv * step.amplitude_pa)) if abs(moved_mv) >= CLEAR_MV else 0


def _list_faults(faults: Sequence[tuple[int, str]]) -> list[str]:
    """Return every fault once, with its sweeps and the particulars of the first of them."""
    grouped: dict[str, list[tuple[int, str]]] = {}
    for number, words in sorted(faults):
        grouped.setdefault(PARTICULARS.split(words)[0], []).append((number, words))
    return [f"{_name_sweeps([each[0] for each in own])}: {own[0][1]}" for own in grouped.values()]


def _name_sweeps(numbers: Sequence[int]) -> str:
    named = " ".join(map(str, numbers[:10])) + (" ..." if len(numbers) > 10 else "")
    return f"sweep {named}" if len(numbers) == 1 else f"{len(numbers)} sweeps ({named})"


def _remarks(views: Sequence[_View]) -> tuple[str, ...]:
    """Return in words which of the sweeps that are kept exceed Allen's bounds."""
    remarks = []
    if firing := sum(view.fires_before for view in views):
        remarks.append(f"fires before its step in {firing} of {len(views)} sweeps")
    for what, measure, least in (
        ("noise", _fast_noise_mv, ALLEN.noise_mv),
        ("slow noise", _slow_noise_mv, ALLEN.slow_noise_mv),
    ):
        values = [value for view in views if (value := measure(view)) > least]
        if values:
            remarks.append(
                f"{what} up to {max(values):.2g} mV in {len(values)} of {len(views)} sweeps "
                f"(Allen: {least:g} mV)"
            )
    return tuple(remarks)
