"""Analyse a recording once: the stimulus of every sweep, and the spikes in its long square.

The stimulus of each sweep is detected in its own current, with one exception. In a protocol of two
steps with a varying first step, a sweep whose first step is 0 pA shows only the second step. If two
other sweeps have a first step before the same second step, this sweep gets a first step of 0 pA.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final, Self

from sts.recordings.gather import count_reasons
from sts.recordings.recording import Recording, Sweep
from sts.signals.spikes import Spikes, find_spikes
from sts.signals.steps import GAP_S, Step, Stimulus, stimulus_of

# Largest difference between the onsets of the same step of a protocol in two sweeps.
SAME_ONSET_S: Final = 2e-3
# Number of sweeps with a first step that are needed before another sweep gets one of 0 pA.
LEAST_SWEEPS: Final = 2


@dataclass(frozen=True, kw_only=True, eq=False)
class AnalysedSweep:
    """A sweep with its stimulus and its spikes."""

    sweep: Sweep
    own_stimulus: Stimulus
    """The stimulus that was detected in the sweep's own current."""
    stimulus: Stimulus
    """The same, with a first step of 0 pA added if other sweeps have a first step there."""

    @cached_property
    def spikes(self) -> Spikes:
        """Return the spikes inside its long square; they are detected at the first access."""
        step = self.stimulus.long_square
        start, end = (0, 0) if step is None else (step.onset, step.end)
        return find_spikes(self.sweep.voltage_mv, self.sweep.rate_hz, start=start, end=end)


@dataclass(frozen=True, kw_only=True, eq=False)
class Analysis:
    """A recording with the stimuli and spikes of all its sweeps, in their order."""

    recording: Recording
    sweeps: tuple[AnalysedSweep, ...]
    flags: tuple[str, ...] = ()
    """Unusual properties of the recording, in words."""

    @property
    def unused(self) -> tuple[str, ...]:
        """Return in words how many sweeps resemble long squares but are not used, if any do."""
        reasons = [each.stimulus.unused for each in self.sweeps if each.stimulus.unused]
        if not reasons:
            return ()
        why = count_reasons(reasons)
        return (f"{len(reasons)} sweeps look like long squares, not used: {why}",)

    def without(self, sweeps: Collection[Sweep]) -> Self:
        """Return the analysis of all sweeps except these; no sweep is analysed twice."""
        bad = {id(sweep) for sweep in sweeps}
        remaining = [each for each in self.sweeps if id(each.sweep) not in bad]
        recording = replace(self.recording, sweeps=tuple(each.sweep for each in remaining))
        return replace(self, recording=recording, sweeps=_add_zero_steps(remaining))


def analyse(recording: Recording) -> Analysis:
    """Return the stimuli and spikes of a recording, for all measurements on it."""
    stimuli = [stimulus_of(sweep) for sweep in recording.sweeps]
    sweeps = [
        AnalysedSweep(sweep=sweep, own_stimulus=stimulus, stimulus=stimulus)
        for sweep, stimulus in zip(recording.sweeps, stimuli, strict=True)
    ]
    return Analysis(recording=recording, sweeps=_add_zero_steps(sweeps))


def _add_zero_steps(sweeps: Sequence[AnalysedSweep]) -> tuple[AnalysedSweep, ...]:
    """Return the sweeps, with first steps of 0 pA added where other sweeps have a first step."""
    pairs = [
        pair for each in sweeps if (pair := _find_first_and_next(each.own_stimulus)) is not None
    ]
    stimuli = [_add_zero_step(each.sweep, each.own_stimulus, pairs) for each in sweeps]
    # If the stimulus is unchanged, the spikes that were already detected are used again.
    return tuple(
        each if stimulus == each.stimulus else replace(each, stimulus=stimulus)
        for each, stimulus in zip(sweeps, stimuli, strict=True)
    )


def _find_first_and_next(stimulus: Stimulus) -> tuple[Step, Step] | None:
    """Return the long square and the step that follows it, None unless both exist."""
    square = stimulus.long_square
    after = [step for step in stimulus.steps if square is not None and step.onset >= square.end]
    return (square, after[0]) if square is not None and after else None


def _add_zero_step(
    sweep: Sweep, stimulus: Stimulus, pairs: Sequence[tuple[Step, Step]]
) -> Stimulus:
    """Return the stimulus, with a first step of 0 pA if enough pairs of steps match the sweep."""
    first_steps = [first for first, following in pairs if _matches(stimulus, first, following)]
    if len(first_steps) < LEAST_SWEEPS:
        return stimulus
    zero = Step(
        onset=round(first_steps[0].onset_s * sweep.rate_hz),
        end=round(first_steps[0].end_s * sweep.rate_hz),
        amplitude_pa=0.0,
        holding_pa=stimulus.steps[0].holding_pa,
        rate_hz=sweep.rate_hz,
    )
    steps = tuple(sorted((*stimulus.steps, zero), key=lambda step: step.onset))
    return replace(stimulus, steps=steps, long_square=zero, unused="")


def _matches(stimulus: Stimulus, first: Step, following: Step) -> bool:
    """Tell whether a sweep has the second step of a pair, and no step at the time of the first."""
    is_free = all(
        step.end_s <= first.onset_s - GAP_S / 2 or step.onset_s >= first.end_s
        for step in stimulus.steps
    )
    return is_free and any(
        abs(step.onset_s - following.onset_s) <= SAME_ONSET_S for step in stimulus.steps
    )
