"""Which two sweeps of a cell enter the study: rheobase and 40 pA above, or why there are none."""

from collections.abc import Sequence
from dataclasses import dataclass

from sts.base.errors import CellExcluded, StsError
from sts.recordings.recording import Sweep
from sts.signals.analysis import Analysis
from sts.signals.long_squares import (
    LongSquare,
    amplitudes_in_words,
    hero_of,
    long_squares_of,
    rheobase_of,
    squares_of_length,
)
from sts.signals.steps import SLACK_S, Step

# Steps of this length fill the window; others are kept on demand only, and flagged.
USUAL_STEP_S = (0.9, 1.1)


@dataclass(frozen=True, kw_only=True)
class SelectSettings:
    """The rules by which sweeps are picked."""

    step_tolerance_pa: float = 5.0
    """How far the second sweep may lie from rheobase + `second_pa`."""
    second_pa: float = 40.0
    min_step_s: float = 0.9
    max_step_s: float = 1.1
    hero: bool = False
    """Take Allen's hero sweep as the second one instead."""

    def __post_init__(self) -> None:
        if not self.step_tolerance_pa >= 0:
            raise StsError(f"step tolerance {self.step_tolerance_pa:g} pA: give 0 pA or more")
        if not 0 < self.min_step_s <= self.max_step_s:
            raise StsError(
                f"steps of {self.min_step_s:g} to {self.max_step_s:g} s: "
                "give a least length above 0 s that is no longer than the greatest"
            )


@dataclass(frozen=True, kw_only=True, eq=False)
class SweepPair:
    """The two sweeps of a cell, the one at rheobase first."""

    sweeps: tuple[Sweep, Sweep]
    steps: tuple[Step, Step]
    flags: tuple[str, ...] = ()
    """What is unusual about them, in words."""


def select_pair(analysis: Analysis, settings: SelectSettings | None = None) -> SweepPair:
    """Return the rheobase sweep and the second one; a cell without them is excluded in words."""
    settings = settings or SelectSettings()
    lengths_s = (settings.min_step_s, settings.max_step_s)
    long_squares = long_squares_of(analysis)
    squares = squares_of_length(long_squares, lengths_s)
    rheobase = rheobase_of(squares)
    if rheobase is None:
        raise CellExcluded(f"no spike: {_why_no_spike(squares)}")
    second = _hero(squares, rheobase) if settings.hero else _second(squares, rheobase, settings)
    steps = (rheobase.step, second.step)
    return SweepPair(
        sweeps=(rheobase.sweep, second.sweep),
        steps=steps,
        flags=(*_flags(steps), *_others(long_squares, squares)),
    )


def _why_no_spike(squares: Sequence[LongSquare]) -> str:
    rising = [each for each in squares if each.amplitude_pa > 0]
    if not rising:
        return f"no long square depolarises, amplitudes are {amplitudes_in_words(squares)}"
    return f"no long square evokes one, amplitudes are {amplitudes_in_words(rising)}"


def _second(
    squares: Sequence[LongSquare], rheobase: LongSquare, settings: SelectSettings
) -> LongSquare:
    """Return the sweep nearest to the wanted distance from rheobase; repeats: the first one."""
    wanted_pa = rheobase.shared_pa + settings.second_pa

    def distance(square: LongSquare) -> float:
        # Amplitudes read like 249.99998 pA.
        return round(abs(square.shared_pa - wanted_pa), 1)

    # However wide the tolerance, the second sweep is another one, and stronger.
    above = [each for each in squares if each.rank[0] > rheobase.rank[0]]
    near = [each for each in above if distance(each) <= settings.step_tolerance_pa]
    if not near:
        rising = [each for each in squares if each.amplitude_pa > 0]
        raise CellExcluded(
            f"no sweep at rheobase + {settings.second_pa:g} pA: amplitudes are "
            f"{amplitudes_in_words(rising)}; widen with --step-tolerance"
        )
    return min(near, key=lambda each: (distance(each), each.sweep.number))


def _hero(squares: Sequence[LongSquare], rheobase: LongSquare) -> LongSquare:
    above = [each for each in squares if each.rank[0] > rheobase.rank[0]]
    if not any(each.fires for each in above):
        raise CellExcluded(
            "no hero sweep: nothing fires above rheobase, amplitudes are "
            f"{amplitudes_in_words(squares)}"
        )
    return hero_of(above, rheobase)


def _flags(steps: tuple[Step, Step]) -> tuple[str, ...]:
    low, high = USUAL_STEP_S[0] - SLACK_S, USUAL_STEP_S[1] + SLACK_S
    unusual = {f"{s.duration_s:.3g}" for s in steps if not low <= s.duration_s <= high}
    return tuple(f"step lasts {duration} s" for duration in sorted(unusual, key=float))


def _others(long_squares: Sequence[LongSquare], fitting: Sequence[LongSquare]) -> tuple[str, ...]:
    """Return how many long squares are of another length than the ones that were chosen from."""
    kept = {id(each.sweep) for each in fitting}
    others = [each.step.duration_s for each in long_squares if id(each.sweep) not in kept]
    if not others:
        return ()
    lengths = ", ".join(sorted({f"{seconds:.3g}" for seconds in others}, key=float))
    return (f"{len(others)} long squares of another length, not used: {lengths} s",)
