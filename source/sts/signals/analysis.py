"""A recording is analysed once: what every sweep injects, and the spikes inside its long square."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final, Self

from sts.recordings.gather import most_common
from sts.recordings.recording import Recording, Sweep
from sts.signals.spikes import Spikes, find_spikes
from sts.signals.steps import APART_S, Ramp, Step, Stimulus, stimulus_of

# Steps of one protocol begin and end so near to each other.
SAME_S: Final = 2e-3
# A protocol is known by so many sweeps.
LEAST: Final = 2


@dataclass(frozen=True, kw_only=True, eq=False)
class AnalysedSweep:
    """A sweep with its stimulus and its spikes."""

    sweep: Sweep
    alone: Stimulus
    """What its own current shows."""
    stimulus: Stimulus
    """The same, with a first step of 0 pA where other sweeps show one."""

    @cached_property
    def spikes(self) -> Spikes:
        """Return the spikes inside its long square; they are found when first asked for."""
        step = self.stimulus.long_square
        start, end = (0, 0) if step is None else (step.onset, step.end)
        return find_spikes(self.sweep.voltage_mv, self.sweep.rate_hz, start=start, end=end)


@dataclass(frozen=True, kw_only=True, eq=False)
class Analysis:
    """A recording with the stimuli and spikes of all its sweeps, in their order."""

    recording: Recording
    sweeps: tuple[AnalysedSweep, ...]
    flags: tuple[str, ...] = ()
    """What is unusual about them, in words."""

    @property
    def short_squares(self) -> tuple[tuple[Sweep, Step], ...]:
        """Return the sweeps with a short square."""
        stimuli = ((each.sweep, each.stimulus.short_square) for each in self.sweeps)
        return tuple((sweep, step) for sweep, step in stimuli if step is not None)

    @property
    def ramps(self) -> tuple[tuple[Sweep, Ramp], ...]:
        """Return the sweeps with a ramp."""
        stimuli = ((each.sweep, each.stimulus.ramp) for each in self.sweeps)
        return tuple((sweep, ramp) for sweep, ramp in stimuli if ramp is not None)

    @property
    def unused(self) -> tuple[str, ...]:
        """Return how many sweeps look like long squares and are none, and why, if any do."""
        reasons = [each.stimulus.unused for each in self.sweeps if each.stimulus.unused]
        if not reasons:
            return ()
        said = most_common(reasons)
        return (f"{len(reasons)} sweeps look like long squares, not used: {said}",)

    def without(self, sweeps: Collection[Sweep]) -> Self:
        """Return the analysis of the other sweeps; what was found in them is kept."""
        bad = {id(sweep) for sweep in sweeps}
        left = [each for each in self.sweeps if id(each.sweep) not in bad]
        recording = replace(self.recording, sweeps=tuple(each.sweep for each in left))
        return replace(self, recording=recording, sweeps=_tell_zero_steps(left))


def analyse(recording: Recording) -> Analysis:
    """Find the stimuli and spikes of a recording, for all that is measured on it.

    A first step of 0 pA is known by the steps of other sweeps: of a protocol with two steps, the
    first of which varies, one sweep may show the second alone.
    """
    stimuli = ((sweep, stimulus_of(sweep)) for sweep in recording.sweeps)
    sweeps = (
        AnalysedSweep(sweep=sweep, alone=stimulus, stimulus=stimulus) for sweep, stimulus in stimuli
    )
    return Analysis(recording=recording, sweeps=_tell_zero_steps(sweeps))


def _tell_zero_steps(sweeps: Iterable[AnalysedSweep]) -> tuple[AnalysedSweep, ...]:
    """Return the sweeps with the stimuli that they have in this company."""
    sweeps = tuple(sweeps)
    pairs = [pair for each in sweeps if (pair := _first_and_next(each.alone)) is not None]
    stimuli = (_with_zero_step(each.sweep, each.alone, pairs) for each in sweeps)
    return tuple(
        each if stimulus == each.stimulus else replace(each, stimulus=stimulus)
        for each, stimulus in zip(sweeps, stimuli, strict=True)
    )


def _first_and_next(stimulus: Stimulus) -> tuple[Step, Step] | None:
    """Return the long square and the step that follows it, if there are both."""
    square = stimulus.long_square
    after = [step for step in stimulus.steps if square is not None and step.onset >= square.end]
    return (square, after[0]) if square is not None and after else None


def _with_zero_step(
    sweep: Sweep, stimulus: Stimulus, pairs: Sequence[tuple[Step, Step]]
) -> Stimulus:
    alike = [first for first, following in pairs if _shows(stimulus, first, following)]
    if len(alike) < LEAST:
        return stimulus
    onset, end = (round(seconds * sweep.rate_hz) for seconds in (alike[0].onset_s, alike[0].end_s))
    holding_pa = stimulus.steps[0].holding_pa
    zero = Step(
        onset=onset, end=end, amplitude_pa=0.0, holding_pa=holding_pa, rate_hz=sweep.rate_hz
    )
    steps = tuple(sorted((*stimulus.steps, zero), key=lambda step: step.onset))
    return replace(stimulus, steps=steps, long_square=zero, unused="")


def _shows(stimulus: Stimulus, first: Step, following: Step) -> bool:
    """Tell whether a sweep has the second step of a pair, and nothing where the first one is."""
    free = all(
        step.end_s <= first.onset_s - APART_S / 2 or step.onset_s >= first.end_s
        for step in stimulus.steps
    )
    return free and any(abs(step.onset_s - following.onset_s) <= SAME_S for step in stimulus.steps)
