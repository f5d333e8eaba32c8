"""The stimuli of one recording with the spikes they evoke, and which sweeps of them matter."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sts.base.errors import CellExcluded, CellFailed
from sts.recordings.gather import most_common
from sts.recordings.recording import Recording, Sweep
from sts.signals.families import stimuli_of
from sts.signals.spikes import Spikes, find_spikes
from sts.signals.steps import Ramp, Step, Stimulus

# Bounds no patch-clamp amplifier leaves and no neuron's voltage stays within.
VOLTAGE_MV = (-200.0, 150.0)
LEAST_VOLTAGE_MV = 1.0
# Protocols end far above the first and begin far below the second.
CURRENT_PA = (2.0, 5000.0)
# Allen's hero sweep lies this far above rheobase.
HERO_PA = (39.0, 61.0)


@dataclass(frozen=True, kw_only=True, eq=False)
class LongSquare:
    """A sweep with a long square and the spikes inside it."""

    sweep: Sweep
    step: Step
    spikes: Spikes
    shared_pa: float
    """The mean amplitude of the sweeps that inject the same, as far as noise lets tell."""

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


@dataclass(frozen=True, kw_only=True, eq=False)
class Protocol:
    """The sweeps of a recording by what they inject, each kind in the order of the recording."""

    long_squares: tuple[tuple[Sweep, Step], ...]
    short_squares: tuple[tuple[Sweep, Step], ...]
    ramps: tuple[tuple[Sweep, Ramp], ...]


def protocol_of(recording: Recording) -> Protocol:
    """Sort the sweeps of a recording by the current they inject; refuse impossible units."""
    stimuli = list(zip(recording.sweeps, stimuli_of(recording.sweeps), strict=True))
    protocol = Protocol(
        long_squares=tuple((s, of.long_square) for s, of in stimuli if of.long_square),
        short_squares=tuple((s, of.short_square) for s, of in stimuli if of.short_square),
        ramps=tuple((s, of.ramp) for s, of in stimuli if of.ramp),
    )
    if not recording.sweeps:
        raise CellExcluded("no current-clamp sweep: nothing to measure")
    if not protocol.long_squares:
        told = "".join(f"; {words}" for words in unused_in_words([of for _, of in stimuli]))
        raise CellExcluded(
            f"no long square: no sweep holds a lone step of constant current of 0.4 to 2 s{told}"
        )
    _check_current([step.amplitude_pa for _, step in protocol.long_squares])
    _check_voltage([sweep for sweep, _ in protocol.long_squares])
    return protocol


def unused_in_words(stimuli: Sequence[Stimulus]) -> tuple[str, ...]:
    """Return how many sweeps look like long squares and are none, and why; empty where none do."""
    reasons = [stimulus.unused for stimulus in stimuli if stimulus.unused]
    if not reasons:
        return ()
    return (f"{len(reasons)} sweeps look like long squares, not used: {most_common(reasons)}",)


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


def with_spikes(long_squares: Sequence[tuple[Sweep, Step]]) -> tuple[LongSquare, ...]:
    """Find the spikes inside every long square."""
    return tuple(
        LongSquare(
            sweep=sweep,
            step=step,
            spikes=find_spikes(sweep.voltage_mv, sweep.rate_hz, start=step.onset, end=step.end),
            shared_pa=shared_pa,
        )
        for (sweep, step), shared_pa in zip(
            long_squares, shared_amplitudes([step for _, step in long_squares]), strict=True
        )
    )


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
