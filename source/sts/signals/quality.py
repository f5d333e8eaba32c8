"""Decide which sweeps can be used, and explain in words why other sweeps cannot.

The rules use the baseline before the stimulus and the tail at the end of each sweep on which
features are measured. They are applied in order of severity; the first rule that a sweep breaks is
its fault. Noise is measured as by the Allen Institute: fast noise is the standard deviation within
1.5 ms, slow noise is the standard deviation within the half second before the stimulus, and drift
is the difference between that half second and the last half second of the sweep.
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

# Durations over which the Allen Institute measures fast noise, and slow noise and drift.
FAST_S: Final = 1.5e-3
SLOW_S: Final = 0.5
# The baseline starts this long after an earlier step, when the membrane is at rest again.
RECOVERY_S: Final = 0.1
# Shortest baseline that is used.
SHORTEST_BASELINE_S: Final = 0.01
# A sweep that continues for this long after its last step has a long tail: its last half second is
# compared with the baseline.
LONG_TAIL_S: Final = 0.75
# A sweep that continues for this long has a short tail: its last half is compared. The cell may
# still respond to the step there.
SHORT_TAIL_S: Final = 0.1
# Therefore the difference is drift only if it is larger than this,
SHORT_TAIL_MV: Final = 10.0
# and if the slope of the baseline, extrapolated to the tail, predicts it within these factors.
PREDICTED: Final = (0.5, 2.0)
# A baseline whose maximum is this far above its median contains a spike.
BASELINE_SPIKE_MV: Final = 30.0
# Smallest range of a recorded voltage: every amplifier adds more noise than this.
FLAT_MV: Final = 0.05
# A converter that records noise does not repeat the same number for this long.
STILL_S: Final = 0.02
# A clipped spike stays at its highest value for at least this number of samples,
CUT_SAMPLES: Final = 3
# for at least the first of these durations, and at most the second (a spike with its trough).
CUT_S: Final = (0.1e-3, 0.1)
# Smallest slope with which a clipped spike reaches its highest value.
STEEP_MV_PER_MS: Final = 20.0
# Smallest difference from the stated amplitude that is an error.
SMALLEST_ERROR_PA: Final = 5.0
# Smallest step and smallest response in which the sign of the response is reliable.
CLEAR_PA: Final = 10.0
CLEAR_MV: Final = 2.0
# The text of a fault is the same for all sweeps until the first of these separators.
DETAIL_SEPARATORS: Final = re.compile(", | at | to ")


@dataclass(frozen=True, kw_only=True)
class QualitySettings:
    """The limits of usable sweeps; the defaults leave out sweeps that no analysis can use."""

    noise_mv: float = 0.5
    """Median of the standard deviations within each 1.5 ms of the baseline."""
    slow_noise_mv: float = 5.0
    """Deviation in the half second before the stimulus; not checked if the cell fires in it."""
    drift_mv: float = 10.0
    """Difference between the baseline and the end of the sweep."""
    rest_mv: float = -40.0
    """Largest voltage of the baseline."""
    amplitude_error: float = 0.1
    """Largest difference from the amplitude stated in the file, as a share; at least 5 pA."""

    def __post_init__(self) -> None:
        for name in ("noise_mv", "slow_noise_mv", "drift_mv", "amplitude_error"):
            if getattr(self, name) <= 0:
                raise StsError(f"{name} is {getattr(self, name):g}: expected more than 0")


# The limits of the Allen Institute. At full bandwidth, amplifiers of other laboratories exceed the
# first limit (0.08 and 0.29 mV in good recordings), so that such sweeps are only flagged.
ALLEN: Final = QualitySettings(noise_mv=0.07, slow_noise_mv=0.5, drift_mv=1.0)
QUALITY: Final[dict[str, QualitySettings | None]] = {
    "usual": QualitySettings(),
    "allen": ALLEN,
    "off": None,
}


@dataclass(frozen=True, kw_only=True, eq=False)
class _View:
    """The parts of a sweep that the rules use."""

    sweep: Sweep
    step: Step | None
    """The long square of the sweep."""
    cut_off: bool
    onset: int
    """First sample of the stimulus."""
    baseline: Floats
    rest_mv: float
    """The median of the baseline, NaN without a baseline."""
    fires_before: bool
    """Whether the cell fires before the stimulus."""
    tail: Floats
    is_long_tail: bool


def keep_sound(analysis: Analysis, settings: QualitySettings | None) -> Analysis:
    """Return the sweeps that break no rule, with flags for others; exclude a cell without one."""
    if settings is None:
        return replace(analysis, flags=analysis.unused)
    views = [view for each in analysis.sweeps if (view := _build_view(each)) is not None]
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
    return replace(left, flags=analysis.unused + flags + _list_remarks(sound))


def _build_view(analysed: AnalysedSweep) -> _View | None:
    """Return the parts of a sweep that the rules use, None if no feature is measured on it."""
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
    baseline = _cut_baseline(sweep, onset, steps)
    rest_mv = float(np.median(baseline)) if len(baseline) else np.nan
    return _View(
        sweep=sweep,
        step=stimulus.long_square,
        cut_off=stimulus.cut_off,
        onset=onset,
        baseline=baseline,
        rest_mv=rest_mv,
        fires_before=bool(len(baseline)) and bool(baseline.max() > rest_mv + BASELINE_SPIKE_MV),
        tail=sweep.voltage_mv[-round(length) :] if has_tail else sweep.voltage_mv[:0],
        is_long_tail=is_long_tail,
    )


def _cut_baseline(sweep: Sweep, onset: int, steps: Sequence[Step]) -> Floats:
    """Return up to half a second before the onset, without earlier steps and the recovery."""
    rate_hz = sweep.rate_hz
    recovery = round(RECOVERY_S * rate_hz)
    recovered = max([sweep.begin, *(step.end + recovery for step in steps if step.end <= onset)])
    first = max(0, onset - round(SLOW_S * rate_hz), min(recovered, onset - recovery))
    baseline = sweep.voltage_mv[first:onset]
    return baseline if len(baseline) >= SHORTEST_BASELINE_S * rate_hz else baseline[:0]


def _measure_fast_deviations_mv(view: _View) -> Floats:
    """Return the standard deviation of every 1.5 ms of the baseline, 0 without a baseline."""
    size = max(2, round(FAST_S * view.sweep.rate_hz))
    whole = len(view.baseline) // size * size
    if not whole:
        return np.zeros(1)
    # float32 is far more precise for differences than for potentials.
    deviations: Floats = (view.baseline[:whole] - view.baseline[0]).reshape(-1, size).std(axis=1)
    return deviations


def _measure_fast_noise_mv(view: _View) -> float:
    return float(np.median(_measure_fast_deviations_mv(view)))


def _measure_slow_noise_mv(view: _View) -> float:
    """Return the deviation of the baseline, 0 without a baseline or if the cell fires in it."""
    if not len(view.baseline) or view.fires_before:
        return 0.0
    return float(view.baseline.std(dtype=np.float64))


def _find_fault(view: _View, settings: QualitySettings) -> str:
    """Return in words the most severe rule that a sweep breaks, "" if it breaks none."""
    noise_mv, slow_noise_mv = _measure_fast_noise_mv(view), _measure_slow_noise_mv(view)
    faults = (
        "truncated within its step" if view.cut_off else "",
        _explain_no_voltage(view),
        _explain_clipping(view),
        _explain_constant_part(view),
        _explain_other_amplitude(view, settings.amplitude_error),
        f"depolarised, rest at {view.rest_mv:.3g} mV" if view.rest_mv > settings.rest_mv else "",
        f"noisy, {noise_mv:.2g} mV rms" if noise_mv > settings.noise_mv else "",
        f"unstable, {slow_noise_mv:.2g} mV rms" if slow_noise_mv > settings.slow_noise_mv else "",
        _explain_drift(view, settings.drift_mv),
    )
    return next(filter(None, faults), "")


def _explain_no_voltage(view: _View) -> str:
    """Explain a voltage that is flat, or that no cell can have."""
    low, high = float(view.sweep.voltage_mv.min()), float(view.sweep.voltage_mv.max())
    span_mv = float(np.ptp(view.sweep.voltage_mv))
    if span_mv < FLAT_MV:
        return f"flat to {span_mv:.2g} mV"
    inside = VOLTAGE_MV[0] <= low and high <= VOLTAGE_MV[1]
    return "" if inside else f"overloaded, from {low:.4g} to {high:.4g} mV"


def _explain_clipping(view: _View) -> str:
    """Explain spikes clipped at the highest or lowest voltage: a steep rise, then a constant."""
    voltage_mv, rate_hz = view.sweep.voltage_mv, view.sweep.rate_hz
    shortest, longest = max(CUT_SAMPLES, round(CUT_S[0] * rate_hz)), CUT_S[1] * rate_hz
    for limit_mv in (voltage_mv.max(), voltage_mv.min()):
        at_limit = np.flatnonzero(voltage_mv == limit_mv)
        starts = at_limit[np.diff(at_limit, prepend=-2) > 1]
        ends = at_limit[np.diff(at_limit, append=len(voltage_mv) + 1) > 1]
        lengths = ends - starts + 1
        cut = starts[(lengths >= shortest) & (lengths <= longest) & (starts > 0)]
        steps_mv = np.abs(voltage_mv[cut] - voltage_mv[cut - 1])
        if np.any(steps_mv * rate_hz / 1000 >= STEEP_MV_PER_MS):
            return f"clipped at {limit_mv:.3g} mV"
    return ""


def _explain_constant_part(view: _View) -> str:
    """Explain a part in which the converter repeats one number, if it records noise elsewhere."""
    voltage_mv = view.sweep.voltage_mv
    size = round(STILL_S / 2 * view.sweep.rate_hz)
    blocks = voltage_mv[: len(voltage_mv) // size * size].reshape(-1, size)
    still = np.ptp(blocks, axis=1) == 0
    if not still.any() or np.any(_measure_fast_deviations_mv(view) == 0):
        return ""
    return f"without a signal at {np.argmax(still) * STILL_S / 2:.3g} s"


def _explain_other_amplitude(view: _View, largest_error: float) -> str:
    stated_pa = view.sweep.stated_pa
    # A first step of 0 pA comes from other sweeps; the file then states the second step.
    if view.step is None or stated_pa is None or view.step.amplitude_pa == 0:
        return ""
    error_pa = abs(view.step.amplitude_pa - stated_pa)
    if error_pa <= max(SMALLEST_ERROR_PA, largest_error * abs(stated_pa)):
        return ""
    return f"of another amplitude, {view.step.amplitude_pa:.4g} instead of {stated_pa:.4g} pA"


def _explain_drift(view: _View, largest_mv: float) -> str:
    """Explain a tail far from the baseline; a short tail only if the baseline predicts it."""
    if not len(view.baseline) or not len(view.tail) or view.fires_before:
        return ""
    shift_mv = float(np.median(view.tail)) - view.rest_mv
    if view.is_long_tail:
        is_drift = abs(shift_mv) > largest_mv
    else:
        is_drift = abs(shift_mv) > max(SHORT_TAIL_MV, largest_mv) and _is_predicted(view, shift_mv)
    return f"drifting, by {shift_mv:.2g} mV" if is_drift else ""


def _is_predicted(view: _View, shift_mv: float) -> bool:
    """Tell whether the slope of the baseline, extrapolated to the tail, predicts the shift."""
    time = np.arange(len(view.baseline)) - len(view.baseline) / 2
    slope_mv = float(time @ (view.baseline - view.baseline.mean()) / (time @ time))
    middle = view.onset - len(view.baseline) / 2
    distance = len(view.sweep.voltage_mv) - len(view.tail) / 2 - middle
    return PREDICTED[0] <= slope_mv * distance / shift_mv <= PREDICTED[1]


def _check_sign(views: Sequence[_View]) -> None:
    """Raise an error if every response of a recording has the wrong sign."""
    signs = [sign for view in views if (sign := _find_response_sign(view))]
    if len(signs) > 1 and set(signs) == {-1}:
        raise CellFailed(
            f"the response to all {len(signs)} clear steps has the wrong sign: the sign of the "
            "current or of the voltage is wrong; correct it in the file"
        )


def _find_response_sign(view: _View) -> int:
    """Return 1 if the response has the sign of the current, -1 if the other sign, 0 if unclear."""
    step = view.step
    if step is None or abs(step.amplitude_pa) < CLEAR_PA or not len(view.baseline):
        return 0
    # The median of about a thousand samples is as good as that of all samples, and faster.
    stride = 1 + (step.end - step.onset) // 1000
    inside = view.sweep.voltage_mv[step.onset : step.end : stride]
    response_mv = float(np.median(inside)) - view.rest_mv
    return int(np.sign(response_mv * step.amplitude_pa)) if abs(response_mv) >= CLEAR_MV else 0


def _list_faults(faults: Sequence[tuple[int, str]]) -> list[str]:
    """Return every fault once, with its sweeps and the details of the first sweep."""
    grouped: dict[str, list[tuple[int, str]]] = {}
    for number, words in sorted(faults):
        grouped.setdefault(DETAIL_SEPARATORS.split(words)[0], []).append((number, words))
    return [f"{_name_sweeps([each[0] for each in own])}: {own[0][1]}" for own in grouped.values()]


def _name_sweeps(numbers: Sequence[int]) -> str:
    named = " ".join(map(str, numbers[:10])) + (" ..." if len(numbers) > 10 else "")
    return f"sweep {named}" if len(numbers) == 1 else f"{len(numbers)} sweeps ({named})"


def _list_remarks(views: Sequence[_View]) -> tuple[str, ...]:
    """Return in words how many usable sweeps exceed the limits of the Allen Institute."""
    remarks = []
    if firing := sum(view.fires_before for view in views):
        remarks.append(f"fires before its step in {firing} of {len(views)} sweeps")
    for quantity, measure, limit in (
        ("noise", _measure_fast_noise_mv, ALLEN.noise_mv),
        ("slow noise", _measure_slow_noise_mv, ALLEN.slow_noise_mv),
    ):
        values = [value for view in views if (value := measure(view)) > limit]
        if values:
            remarks.append(
                f"{quantity} up to {max(values):.2g} mV in {len(values)} of {len(views)} sweeps "
                f"(Allen: {limit:g} mV)"
            )
    return tuple(remarks)
