"""What the sweeps of a recording inject, where some can only be told by the others."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from sts.recordings.recording import Sweep
from sts.signals.steps import APART_S, Step, Stimulus, stimulus_of

# Steps of one protocol begin and end so near to each other.
SAME_S: Final = 2e-3
# A protocol is known by so many sweeps.
LEAST: Final = 2


def stimuli_of(sweeps: Sequence[Sweep]) -> list[Stimulus]:
    """Return what each sweep injects; a first step of 0 pA is known by the steps of the others.

    Of a protocol with two steps, the first of which varies, one sweep may show the second alone.
    """
    alone = [stimulus_of(sweep) for sweep in sweeps]
    pairs = [pair for stimulus in alone if (pair := _first_and_next(stimulus)) is not None]
    return [_with_zero_step(sweep, own, pairs) for sweep, own in zip(sweeps, alone, strict=True)]


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
