"""Which sweeps can be trusted, in the units of the recording, and in words why others cannot.

Noise is measured as the Allen Institute does: fast noise as the deviation within 1.5 ms, slow noise
as the deviation within the half second before the stimulus, drift as the difference between that
half second and the last one of the sweep.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from sts.base.errors import CellExcluded, CellFailed, StsError
from sts.signals.analysis import Analysis
from sts.signals.long_squares import VOLTAGE_MV
from sts.signals.views import (
    FAST_S,
    SweepView,
    deviations_mv,
    drift_mv,
    fast_noise_mv,
    is_on_the_way,
    slow_noise_mv,
    view_of,
)

# The least drift that is told in a sweep which ends soon after its step.
SHORT_TAIL_MV: Final = 10.0
# Every amplifier adds more noise than this.
FLAT_MV: Final = 0.05
# No converter with noise gives one number for so long.
STILL_S: Final = 0.02
# A spike passes its peak within microseconds; one that is cut off stays, having come in steeply,
# but no longer than a spike and its trough last.
CUT_S: Final = (0.1e-3, 0.1)
CUT_SAMPLES: Final = 3
STEEP_MV_PER_MS: Final = 20.0
LEAST_ERROR_PA: Final = 5.0
# Where what sweeps of one fault share ends.
PARTICULARS: Final = re.compile(", | at | to ")
# Deflections that tell which way a cell answers.
CLEAR_PA: Final = 10.0
CLEAR_MV: Final = 2.0


@dataclass(frozen=True, kw_only=True)
class QualitySettings:
    """What a sweep may be at worst; the defaults leave out what no analysis survives."""

    noise_mv: float = 0.5
    """Deviation within 1.5 ms of baseline, the median of all of them."""
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


# The bounds of the Allen Institute. Amplifiers of other laboratories pass the first at full
# bandwidth (0.08 and 0.29 mV in sound recordings), so that sweeps beyond are only flagged.
ALLEN: Final = QualitySettings(noise_mv=0.07, slow_noise_mv=0.5, drift_mv=1.0)
QUALITY: Final[dict[str, QualitySettings | None]] = {
    "usual": QualitySettings(),
    "allen": ALLEN,
    "off": None,
}


def keep_sound(analysis: Analysis, settings: QualitySettings | None) -> Analysis:
    """Return the sweeps that break no rule, with flags for the others; refuse a cell of none."""
    if settings is None:
        return replace(analysis, flags=analysis.unused)
    views = [view for each in analysis.sweeps if (view := view_of(each)) is not None]
    _check_sign(views)
    faults = [(view, fault) for view in views if (fault := _find_fault(view, settings))]
    bad = {id(view.sweep) for view, _ in faults}
    squares = [view for view in views if view.step is not None or view.cut_off]
    sound = [view for view in squares if id(view.sweep) not in bad]
    words = _in_words([(view.sweep.number, fault) for view, fault in faults])
    left = analysis.without([view.sweep for view, _ in faults])
    if (squares and not sound) or (words and not left.sweeps):
        raise CellExcluded(f"no usable sweep: {', '.join(words)}")
    flags = tuple(f"left out {told}" for told in words)
    return replace(left, flags=analysis.unused + flags + _remarks(sound))


def _find_fault(view: SweepView, settings: QualitySettings) -> str | None:
    """Return what is wrong with a sweep, the gravest first, None if nothing is."""
    return next((words for rule in RULES if (words := rule(view, settings))), None)


def _truncated(view: SweepView, settings: QualitySettings) -> str | None:
    del settings
    return "truncated within its step" if view.cut_off else None


def _flat(view: SweepView, settings: QualitySettings) -> str | None:
    del settings
    span_mv = float(np.ptp(view.sweep.voltage_mv))
    return f"flat to {span_mv:.2g} mV" if span_mv < FLAT_MV else None


def _clipped(view: SweepView, settings: QualitySettings) -> str | None:
    """Find spikes cut off at a rail: they come in steeply and stay."""
    del settings
    voltage_mv, rate_hz = view.sweep.voltage_mv, view.sweep.rate_hz
    least, most = max(CUT_SAMPLES, round(CUT_S[0] * rate_hz)), CUT_S[1] * rate_hz
    for rail_mv in (voltage_mv.max(), voltage_mv.min()):
        at_rail = np.flatnonzero(voltage_mv == rail_mv)
        starts = at_rail[np.diff(at_rail, prepend=-2) > 1]
        ends = at_rail[np.diff(at_rail, append=len(voltage_mv) + 1) > 1]
        lengths = ends - starts + 1
        cut = starts[(lengths >= least) & (lengths <= most) & (starts > 0)]
        steps_mv = np.abs(voltage_mv[cut] - voltage_mv[cut - 1])
        if np.any(steps_mv * rate_hz / 1000 >= STEEP_MV_PER_MS):
            return f"clipped at {rail_mv:.3g} mV"
    return None


def _still(view: SweepView, settings: QualitySettings) -> str | None:
    """Find where a converter that gives noise elsewhere repeats one number."""
    del settings
    voltage_mv = view.sweep.voltage_mv
    size = round(STILL_S / 2 * view.sweep.rate_hz)
    blocks = voltage_mv[: len(voltage_mv) // size * size].reshape(-1, size)
    still = np.ptp(blocks, axis=1) == 0
    if not still.any() or np.any(deviations_mv(view, FAST_S) == 0):
        return None
    return f"without a signal at {np.argmax(still) * STILL_S / 2:.3g} s"


def _overloaded(view: SweepView, settings: QualitySettings) -> str | None:
    del settings
    low, high = float(view.sweep.voltage_mv.min()), float(view.sweep.voltage_mv.max())
    inside = VOLTAGE_MV[0] <= low and high <= VOLTAGE_MV[1]
    return None if inside else f"overloaded, from {low:.4g} to {high:.4g} mV"


def _amplitude(view: SweepView, settings: QualitySettings) -> str | None:
    stated_pa = view.sweep.stated_pa
    # A first step of 0 pA was told by other sweeps: what the file states is the second step.
    if view.step is None or stated_pa is None or view.step.amplitude_pa == 0:
        return None
    error_pa = abs(view.step.amplitude_pa - stated_pa)
    if error_pa <= max(LEAST_ERROR_PA, settings.amplitude_error * abs(stated_pa)):
        return None
    return f"of another amplitude, {view.step.amplitude_pa:.4g} instead of {stated_pa:.4g} pA"


def _rest(view: SweepView, settings: QualitySettings) -> str | None:
    is_worse = view.rest_mv > settings.rest_mv
    return f"depolarised, rest at {view.rest_mv:.3g} mV" if is_worse else None


def _noise(view: SweepView, settings: QualitySettings) -> str | None:
    noise_mv = fast_noise_mv(view)
    return f"noisy, {noise_mv:.2g} mV rms" if noise_mv > settings.noise_mv else None


def _slow_noise(view: SweepView, settings: QualitySettings) -> str | None:
    noise_mv = slow_noise_mv(view)
    return f"unstable, {noise_mv:.2g} mV rms" if noise_mv > settings.slow_noise_mv else None


def _drift(view: SweepView, settings: QualitySettings) -> str | None:
    shift_mv = drift_mv(view)
    most_mv = settings.drift_mv if view.is_long_tail else max(SHORT_TAIL_MV, settings.drift_mv)
    if abs(shift_mv) <= most_mv or not (view.is_long_tail or is_on_the_way(view, shift_mv)):
        return None
    return f"drifting, by {shift_mv:.2g} mV"


RULES: Final[tuple[Callable[[SweepView, QualitySettings], str | None], ...]] = (
    _truncated,
    _flat,
    _overloaded,
    _clipped,
    _still,
    _amplitude,
    _rest,
    _noise,
    _slow_noise,
    _drift,
)


def _check_sign(views: Sequence[SweepView]) -> None:
    """Refuse a recording in which every current moves the cell the wrong way."""
    answers = [answer for view in views if (answer := _answer(view))]
    if len(answers) > 1 and set(answers) == {-1}:
        raise CellFailed(
            f"answers all {len(answers)} clear steps the wrong way round: the sign of the current "
            "or of the voltage is wrong; mend it in the file"
        )


def _answer(view: SweepView) -> int:
    """Return 1 where the cell follows the current, -1 where it goes against it, 0 if unclear."""
    step = view.step
    if step is None or abs(step.amplitude_pa) < CLEAR_PA or not len(view.baseline):
        return 0
    # A thousand samples tell the median as well as all of them, and sooner.
    stride = 1 + (step.end - step.onset) // 1000
    moved_mv = (
        float(np.median(view.sweep.voltage_mv[step.onset : step.end : stride])) - view.rest_mv
    )
    return int(np.sign(moved_mv * step.amplitude_pa)) if abs(moved_mv) >= CLEAR_MV else 0


def _in_words(faults: Sequence[tuple[int, str]]) -> list[str]:
    """Return the faults of sweeps, a fault once, with the particulars of the first that has it."""
    grouped: dict[str, list[tuple[int, str]]] = {}
    for number, words in sorted(faults):
        grouped.setdefault(PARTICULARS.split(words)[0], []).append((number, words))
    return [f"{_sweeps([number for number, _ in own])}: {own[0][1]}" for own in grouped.values()]


def _sweeps(numbers: Sequence[int]) -> str:
    named = " ".join(map(str, numbers[:10])) + (" ..." if len(numbers) > 10 else "")
    return f"sweep {named}" if len(numbers) == 1 else f"{len(numbers)} sweeps ({named})"


def _remarks(views: Sequence[SweepView]) -> tuple[str, ...]:
    """Return what is beyond Allen's bounds in the sweeps that are kept."""
    remarks = []
    if firing := sum(view.fires_before for view in views):
        remarks.append(f"fires before its step in {firing} of {len(views)} sweeps")
    for what, measure, least in (
        ("noise", fast_noise_mv, ALLEN.noise_mv),
        ("slow noise", slow_noise_mv, ALLEN.slow_noise_mv),
    ):
        values = [value for view in views if (value := measure(view)) > least]
        if values:
            remarks.append(
                f"{what} up to {max(values):.2g} mV in {len(values)} of {len(views)} sweeps "
                f"(Allen: {least:g} mV)"
            )
    return tuple(remarks)
