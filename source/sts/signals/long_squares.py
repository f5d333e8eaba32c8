"""The long squares of a recording, by their amplitudes and spikes: rheobase, hero and others."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from sts.base.errors import CellExcluded, CellFailed
from sts.recordings.recording import Sweep
from sts.signals.analysis import AnalysedSweep, Analysis
from sts.signals.spikes import Spikes
from sts.signals.steps import SLACK_S, Step

# Bounds no patch-clamp amplifier leaves and no neuron's voltage stays within.
VOLTAGE_MV: Final = (-200.0, 150.0)
LEAST_VOLTAGE_MV: Final = 1.0
# Protocols end far above the first and begin far below the second.
CURRENT_PA: Final = (2.0, 5000.0)
# Allen's hero sweep lies this far above rheobase.
HERO_PA: Final = (39.0, 61.0)


@dataclass(frozen=True, kw_only=True, eq=False)
class LongSquare:
    """A sweep with a long square and the spikes inside it."""

    analysed: AnalysedSweep
    step: Step
    shared_pa: float
    """The mean amplitude of the sweeps that inject the same, as far as noise lets tell."""

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
        """Return the step's amplitude."""
        return self.step.amplitude_pa

    @property
    def rank(self) -> tuple[float, int]:
        """Return what sweeps are ordered by: amplitude to the pA, then sweep number."""
        return round(self.shared_pa), self.sweep.number

    @property
    def fires(self) -> bool:
        """Tell whether a spike peaks inside the step: at its last sample it may still rise."""
        return bool(np.any(self.spikes.peak_index < self.step.end - 1))


def long_squares_of(analysis: Analysis) -> tuple[LongSquare, ...]:
    """Return the long squares of a recording; refuse none, and impossible units."""
    if not analysis.sweeps:
        raise CellExcluded("no current-clamp sweep: nothing to measure")
    found = [
        LongSquare(analysed=each, step=step, shared_pa=step.amplitude_pa)
        for each in analysis.sweeps
        if (step := each.stimulus.long_square) is not None
    ]
    if not found:
        unused = "".join(f"; {words}" for words in analysis.unused)
        raise CellExcluded(
            f"no long square: no sweep holds a lone step of constant current of 0.4 to 2 s{unused}"
        )
    _check_current([each.amplitude_pa for each in found])
    _check_voltage([each.sweep for each in found])
    return _share(found)


def squares_of_length(
    squares: Sequence[LongSquare], lengths_s: tuple[float, float]
) -> tuple[LongSquare, ...]:
    """Return the long squares whose steps last from the first to the second length."""
    low, high = lengths_s
    fitting = [each for each in squares if low - SLACK_S <= each.step.duration_s <= high + SLACK_S]
    if fitting:
        return _share(fitting)
    durations = sorted({f"{each.step.duration_s:.3g}" for each in squares}, key=float)
    shorter, longer = float(durations[-1]) < low, float(durations[0]) > high
    hint = "; open with --min-step" if shorter else "; open with --max-step" if longer else ""
    raise CellExcluded(f"step lasts {', '.join(durations)} s: wanted {low:g} to {high:g} s{hint}")


def _share(squares: Sequence[LongSquare]) -> tuple[LongSquare, ...]:
    """Return long squares with the amplitudes that they share with each other."""
    shared = shared_amplitudes([each.step for each in squares])
    return tuple(
        replace(each, shared_pa=shared_pa) for each, shared_pa in zip(squares, shared, strict=True)
    )


def shared_amplitudes(steps: Sequence[Step]) -> list[float]:
    """Return the amplitude of each step, that of equal ones being their mean."""
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


def rheobase_of(squares: Sequence[LongSquare]) -> LongSquare | None:
    """Return the long square of the lowest positive amplitude that fires, if one does."""
    firing = [each for each in squares if each.amplitude_pa > 0 and each.fires]
    return min(firing, key=lambda each: each.rank, default=None)


def hero_of(squares: Sequence[LongSquare], rheobase: LongSquare) -> LongSquare:
    """Return Allen's hero sweep: the lowest firing one well above rheobase, else the closest."""
    firing = sorted((each for each in squares if each.fires), key=lambda each: each.rank)
    low, high = (rheobase.shared_pa + offset for offset in HERO_PA)
    # As far as noise lets tell.
    inside = [
        each
        for each in firing
        if low - each.step.error_pa < each.shared_pa < high + each.step.error_pa
    ]
    if inside:
        return inside[0]
    return min(firing, key=lambda each: round(abs(each.shared_pa - low), 1))


def amplitudes_in_words(squares: Sequence[LongSquare]) -> str:
    """Return the distinct amplitudes, rising, to the pA."""
    distinct = sorted({round(each.amplitude_pa) for each in squares})
    return f"{', '.join(map(str, distinct))} pA"


def _check_current(amplitudes_pa: Sequence[float]) -> None:
    sizes = np.abs(amplitudes_pa)
    if sizes.max() < CURRENT_PA[0] or sizes.min() > CURRENT_PA[1]:
        raise CellFailed(
            f"long squares of {sizes.min():.3g} to {sizes.max():.3g} pA: no protocol has these, "
            "so their unit is wrong (amperes or nanoamperes read as pA?); mend it in the file"
        )


def _check_voltage(sweeps: Sequence[Sweep]) -> None:
    for sweep in sweeps:
        low, high = float(sweep.voltage_mv.min()), float(sweep.voltage_mv.max())
        if low < VOLTAGE_MV[0] or high > VOLTAGE_MV[1]:
            raise CellFailed(
                f"sweep {sweep.number} reaches from {low:.4g} to {high:.4g} mV, outside -200 to "
                "150 mV: its unit is wrong or the amplifier was overloaded; leave the sweep out"
            )
        if max(abs(low), abs(high)) < LEAST_VOLTAGE_MV:
            raise CellFailed(
                f"sweep {sweep.number} stays within 1 mV of 0: "
                "volts read as mV, or no cell; mend the unit in the file"
            )
