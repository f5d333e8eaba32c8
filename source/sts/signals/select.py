"""The long squares of a cell, and the two of its sweeps that are used in the study.

Long squares are ordered by amplitude, then by sweep number; amplitudes whose difference is within
the noise are treated as equal. Rheobase is the lowest positive amplitude with a spike inside its
step. The second sweep is the one closest to 40 pA above rheobase, or, as an option, the hero sweep
of the Allen Institute. A cell without one of them is excluded, and the reason names its amplitudes.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from sts.base.errors import CellExcluded, CellFailed, StsError
from sts.recordings.recording import Sweep
from sts.signals.analysis import AnalysedSweep, Analysis
from sts.signals.spikes import Spikes
from sts.signals.steps import TOLERANCE_S, Step

# Lowest and highest voltage that a neuron can have.
VOLTAGE_MV: Final = (-200.0, 150.0)
# Every neuron has a larger voltage than this, positive or negative.
SMALLEST_VOLTAGE_MV: Final = 1.0
# In every protocol the largest step is above the first value, the smallest below the second.
CURRENT_PA: Final = (2.0, 5000.0)
# The hero sweep of the Allen Institute is between these distances above rheobase.
HERO_PA: Final = (39.0, 61.0)
# Steps of these lengths fill the window. Others are used only as an option, and flagged.
USUAL_STEP_S: Final = (0.9, 1.1)


@dataclass(frozen=True, kw_only=True)
class SelectSettings:
    """The rules for the selection of the two sweeps."""

    step_tolerance_pa: float = 5.0
    """Largest difference of the second sweep from rheobase + `second_pa`."""
    second_pa: float = 40.0
    min_step_s: float = 0.9
    max_step_s: float = 1.1
    hero: bool = False
    """Use the hero sweep of the Allen Institute as the second sweep."""

    def __post_init__(self) -> None:
        if not self.step_tolerance_pa >= 0:
            raise StsError(f"step tolerance {self.step_tolerance_pa:g} pA: give 0 pA or more")
        if not 0 < self.min_step_s <= self.max_step_s:
            raise StsError(
                f"steps of {self.min_step_s:g} to {self.max_step_s:g} s: "
                "the shortest length must be above 0 s and not longer than the longest"
            )


@dataclass(frozen=True, kw_only=True, eq=False)
class LongSquare:
    """A sweep with a long square and the spikes inside it."""

    analysed: AnalysedSweep
    step: Step
    shared_pa: float
    """The mean amplitude of all steps whose amplitudes are equal within the noise."""

    @property
    def sweep(self) -> Sweep:
        """Return the sweep."""
        return self.analysed.sweep

    @property
    def spikes(self) -> Spikes:
        """Return the spikes inside the step."""
        return self.analysed.spikes

    @property
    def amplitude_pa(self) -> float:
        """Return the amplitude of the step."""
        return self.step.amplitude_pa

    @property
    def rank(self) -> tuple[float, int]:
        """Return the sort key of the sweep: amplitude rounded to 1 pA, then sweep number."""
        return round(self.shared_pa), self.sweep.number

    @property
    def fires(self) -> bool:
        """Tell whether a spike peaks inside the step; at the last sample it may still rise."""
        return bool(np.any(self.spikes.peak_index < self.step.end - 1))


@dataclass(frozen=True, kw_only=True, eq=False)
class SweepPair:
    """The two sweeps of a cell, the one at rheobase first."""

    sweeps: tuple[Sweep, Sweep]
    steps: tuple[Step, Step]
    flags: tuple[str, ...] = ()
    """Unusual properties of the sweeps, in words."""


def select_pair(
    analysis: Analysis, settings: SelectSettings | None = None, *, one_sweep: bool = False
) -> SweepPair:
    """Return the rheobase sweep and the second sweep; exclude a cell without them.

    Parameters
    ----------
    one_sweep
        Where there is no second sweep, return the rheobase sweep twice, with a flag.
    """
    settings = settings or SelectSettings()
    long_squares = find_long_squares(analysis)
    squares = keep_lengths(long_squares, (settings.min_step_s, settings.max_step_s))
    rheobase = find_rheobase(squares)
    if rheobase is None:
        raise CellExcluded(f"no spike: {_explain_no_spike(squares)}")
    alone: tuple[str, ...] = ()
    try:
        second = _find_second(squares, rheobase, settings)
    except CellExcluded as error:
        if not one_sweep:
            raise
        second, alone = rheobase, (f"one sweep used: {error}",)
    steps = (rheobase.step, second.step)
    return SweepPair(
        sweeps=(rheobase.sweep, second.sweep),
        steps=steps,
        flags=(*alone, *_flag_lengths(steps), *_flag_others(long_squares, squares)),
    )


def find_long_squares(analysis: Analysis) -> tuple[LongSquare, ...]:
    """Return the long squares of a recording; without any, or with impossible units, raise."""
    if not analysis.sweeps:
        raise CellExcluded("no current-clamp sweep: nothing to measure")
    squares = [
        LongSquare(analysed=each, step=step, shared_pa=step.amplitude_pa)
        for each in analysis.sweeps
        if (step := each.stimulus.long_square) is not None
    ]
    if not squares:
        unused = "".join(f"; {words}" for words in analysis.unused)
        raise CellExcluded(
            f"no long square: no sweep contains a single step of constant current "
            f"of 0.4 to 2 s{unused}"
        )
    sizes_pa = np.abs([each.amplitude_pa for each in squares])
    if sizes_pa.max() < CURRENT_PA[0] or sizes_pa.min() > CURRENT_PA[1]:
        raise CellFailed(
            f"long squares of {sizes_pa.min():.3g} to {sizes_pa.max():.3g} pA: no protocol has "
            "these, so their unit is wrong (amperes or nanoamperes read as pA?); correct it in the "
            "file"
        )
    for square in squares:
        _check_voltage(square.sweep)
    return _share_amplitudes(squares)


def _check_voltage(sweep: Sweep) -> None:
    low, high = float(sweep.voltage_mv.min()), float(sweep.voltage_mv.max())
    if low < VOLTAGE_MV[0] or high > VOLTAGE_MV[1]:
        raise CellFailed(
            f"sweep {sweep.number} reaches from {low:.4g} to {high:.4g} mV, outside -200 to "
            "150 mV: its unit is wrong or the amplifier was overloaded; leave the sweep out"
        )
    if max(abs(low), abs(high)) < SMALLEST_VOLTAGE_MV:
        raise CellFailed(
            f"sweep {sweep.number} stays within 1 mV of 0: "
            "volts read as mV, or no cell; correct the unit in the file"
        )


def keep_lengths(
    squares: Sequence[LongSquare], lengths_s: tuple[float, float]
) -> tuple[LongSquare, ...]:
    """Return the long squares whose steps have a duration between the two lengths."""
    low, high = lengths_s
    fitting = [
        each for each in squares if low - TOLERANCE_S <= each.step.duration_s <= high + TOLERANCE_S
    ]
    if fitting:
        return _share_amplitudes(fitting)
    durations = _list_durations([each.step for each in squares])
    shorter, longer = float(durations[-1]) < low, float(durations[0]) > high
    hint = "; open with --min-step" if shorter else "; open with --max-step" if longer else ""
    raise CellExcluded(f"step lasts {', '.join(durations)} s: wanted {low:g} to {high:g} s{hint}")


def _list_durations(steps: Sequence[Step]) -> list[str]:
    """Return the distinct durations of steps in s, in ascending order."""
    return sorted({f"{step.duration_s:.3g}" for step in steps}, key=float)


def _share_amplitudes(squares: Sequence[LongSquare]) -> tuple[LongSquare, ...]:
    shared = share_amplitudes([each.step for each in squares])
    return tuple(
        replace(each, shared_pa=shared_pa) for each, shared_pa in zip(squares, shared, strict=True)
    )


def share_amplitudes(steps: Sequence[Step]) -> list[float]:
    """Return the amplitude of each step; steps that are equal within the noise get their mean."""
    order = sorted(range(len(steps)), key=lambda place: steps[place].amplitude_pa)
    groups: list[list[int]] = []
    for place in order:
        step = steps[place]
        first = steps[groups[-1][0]] if groups else step
        error_pa = max(first.error_pa, step.error_pa)
        if groups and step.amplitude_pa - first.amplitude_pa <= error_pa:
            groups[-1].append(place)
        else:
            groups.append([place])
    shared_pa = [0.0] * len(steps)
    for group in groups:
        mean_pa = float(np.mean([steps[place].amplitude_pa for place in group]))
        for place in group:
            shared_pa[place] = mean_pa
    return shared_pa


def find_rheobase(squares: Sequence[LongSquare]) -> LongSquare | None:
    """Return the long square of the lowest positive amplitude with a spike, None without one."""
    firing = [each for each in squares if each.amplitude_pa > 0 and each.fires]
    return min(firing, key=lambda each: each.rank, default=None)


def find_hero(squares: Sequence[LongSquare], rheobase: LongSquare) -> LongSquare:
    """Return the hero sweep: the lowest firing sweep within `HERO_PA`, else the closest to it."""
    firing = sorted((each for each in squares if each.fires), key=lambda each: each.rank)
    low, high = (rheobase.shared_pa + offset for offset in HERO_PA)
    inside = [
        each
        for each in firing
        if low - each.step.error_pa < each.shared_pa < high + each.step.error_pa
    ]
    if inside:
        return inside[0]
    return min(firing, key=lambda each: round(abs(each.shared_pa - low), 1))


def list_amplitudes(squares: Sequence[LongSquare]) -> str:
    """Return the distinct amplitudes in words, in ascending order, rounded to 1 pA."""
    distinct = sorted({round(each.amplitude_pa) for each in squares})
    return f"{', '.join(map(str, distinct))} pA"


def _explain_no_spike(squares: Sequence[LongSquare]) -> str:
    rising = [each for each in squares if each.amplitude_pa > 0]
    if not rising:
        return f"no long square depolarises, amplitudes are {list_amplitudes(squares)}"
    return f"no long square evokes one, amplitudes are {list_amplitudes(rising)}"


def _find_second(
    squares: Sequence[LongSquare], rheobase: LongSquare, settings: SelectSettings
) -> LongSquare:
    """Return the second sweep by the rule of the settings; of repeats the first."""
    # Whatever the tolerance is, the second sweep has a higher amplitude than rheobase.
    above = [each for each in squares if each.rank[0] > rheobase.rank[0]]
    if settings.hero:
        if any(each.fires for each in above):
            return find_hero(above, rheobase)
        raise CellExcluded(
            "no hero sweep: nothing fires above rheobase, amplitudes are "
            f"{list_amplitudes(squares)}"
        )
    wanted_pa = rheobase.shared_pa + settings.second_pa

    def distance(square: LongSquare) -> float:
        # Stored amplitudes can be inexact, such as 249.99998 pA.
        return round(abs(square.shared_pa - wanted_pa), 1)

    near = [each for each in above if distance(each) <= settings.step_tolerance_pa]
    if not near:
        rising = [each for each in squares if each.amplitude_pa > 0]
        hint = "widen with --step-tolerance" if above else "none is above rheobase"
        raise CellExcluded(
            f"no sweep at rheobase + {settings.second_pa:g} pA: amplitudes are "
            f"{list_amplitudes(rising)}; {hint}"
        )
    return min(near, key=lambda each: (distance(each), each.sweep.number))


def _flag_lengths(steps: Sequence[Step]) -> tuple[str, ...]:
    low, high = USUAL_STEP_S[0] - TOLERANCE_S, USUAL_STEP_S[1] + TOLERANCE_S
    unusual = [step for step in steps if not low <= step.duration_s <= high]
    return tuple(f"step lasts {duration} s" for duration in _list_durations(unusual))


def _flag_others(
    long_squares: Sequence[LongSquare], fitting: Sequence[LongSquare]
) -> tuple[str, ...]:
    """Return in words how many long squares were not used because of their length."""
    kept = {id(each.sweep) for each in fitting}
    others = [long_square.step for long_square in long_squares if id(long_square.sweep) not in kept]
    if not others:
        return ()
    lengths = ", ".join(_list_durations(others))
    return (f"{len(others)} long squares of another length, not used: {lengths} s",)
