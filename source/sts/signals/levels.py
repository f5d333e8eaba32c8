"""The stretches of an injected current: where it is constant, where it moves, and its edges.

A clean command has few edges. Between them it is constant except for rounding, or monotonic. Any
other current is a measurement with noise: it is averaged over blocks and divided into segments
where its level jumps, and each edge is placed at the sample that separates the two levels best.
Short pulses within the segments are detected last: blocks that differ from the running median of
their segment are a pulse if their top is flat, long and high enough, else the artefact of a spike.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Final

import numpy as np
from scipy.ndimage import median_filter

from sts.base.types import Floats
from sts.signals.blocks import (
    BLOCK_S,
    NEAR_BLOCKS,
    SIDE,
    Blocks,
    Span,
    blocks_of,
    find_edge,
    upper_median,
)
from sts.signals.segments import BRIEF, find_segments, fit_levels, is_steady

# Largest number of edges of a clean command: more edges mean noise or a ramp.
MAX_EDGES: Final = 100
# Largest share of the range by which a constant command may vary: a rounding of float32, or the
# lowest bit of a converter that settles slowly.
STILL: Final = 1e-4
# Largest single stair of a digitised ramp (10 bits or more), as a share of the range.
STAIR: Final = 5e-3
# Smallest total rise or fall of a ramp, as a share of the range: less is a drifting step.
LEAST_RISE: Final = 0.15
# Shortest part of a command that has a level: a shorter part belongs to the edge.
SETTLED_S: Final = 0.5e-3
# Smallest measured step, as a share of the range: less is a drift of the current.
DRIFT: Final = 0.05
# Shorter sweeps are not analysed.
SHORTEST_S: Final = 0.1

# Width of the running median from which pulses are detected, in blocks: 50 ms.
PULSE_MEDIAN_BLOCKS: Final = round(50e-3 / BLOCK_S) | 1
# Smallest height of a pulse: in deviations of the noise, and as a share of the highest pulse of its
# segment.
PULSE_CLEAR: Final = 8.0
PULSE_SHARE: Final = 0.1
# Shortest pulse.
SHORTEST_PULSE_S: Final = 0.8e-3
# A pulse during a step is a pause if it returns to the holding current: largest remaining
# difference, as a share of the step.
PAUSE: Final = 0.1
# Smallest height of any other pulse during a step, as a share of the step.
HIGH: Final = 0.5
# A pulse shorter than LONG_PULSE_S must have a charge of at least CHARGE_PA_S: a smaller charge
# changes the voltage of a membrane of 100 pF by less than 0.6 mV.
LONG_PULSE_S: Final = 2.5e-3
CHARGE_PA_S: Final = 60e-3
# Number of blocks beside an edge that contain capacitive currents.
EDGE_BLOCKS: Final = 2
# Largest difference between the last quarters of a flat top, as a share of its height.
UNEVEN: Final = 0.12
# The artefact of a spike is biphasic. Longest time between its two phases, and smallest height of
# the smaller phase, as a share of the other. The edges of a longer pulse may look the same.
SECOND_PHASE_S: Final = 3e-3
SECOND_PHASE: Final = 0.25
# Artefacts of spikes in the current are smaller than this.
SPIKE_PA: Final = 200.0


@dataclass(frozen=True, kw_only=True)
class Stretch:
    """A stretch of samples between two edges of the current."""

    start: int
    end: int
    level_pa: float
    steady: bool
    """False where the current drifts through the stretch, as in a ramp."""
    first_level_pa: float = 0.0
    """The level at the start of the stretch."""
    error_pa: float = 0.0
    """The error of the level due to noise: four standard deviations."""


@dataclass(frozen=True, kw_only=True)
class Levels:
    """The stretches of a sweep, and which differences of their levels exceed noise and drift."""

    stretches: tuple[Stretch, ...]
    """In time order; together they cover the sweep."""
    noise_pa: float
    """The error of a single value due to noise."""
    smallest_step_pa: float
    """Smaller differences from the holding current are not steps."""
    blocks: Blocks | None = None
    """A measured current in blocks; None for a clean command."""


def find_levels(current_pa: Floats, rate_hz: float) -> Levels:
    """Return the stretches of a sweep, and which differences of levels exceed noise and drift."""
    if len(current_pa) < SHORTEST_S * rate_hz:
        unknown = Stretch(start=0, end=len(current_pa), level_pa=0.0, steady=False)
        return Levels(stretches=(unknown,), noise_pa=0.0, smallest_step_pa=0.0)
    low, high = float(current_pa.min()), float(current_pa.max())
    span = high - low
    # 1e-5: a hundred times the rounding of float32
    if span <= 1e-5 * max(abs(low), abs(high)):
        constant = Stretch(start=0, end=len(current_pa), level_pa=float(current_pa[0]), steady=True)
        return Levels(stretches=(constant,), noise_pa=span, smallest_step_pa=span)
    # If there are too many edges, retry with a higher limit: the stairs of a digitised ramp are not
    # edges.
    for share in (STILL, STAIR):
        parts = _find_settled_parts(current_pa, span, rate_hz, smallest_edge_pa=share * span)
        if parts is not None:
            smallest_step_pa = 2 * STILL * span
            stretches = _build_clean_stretches(current_pa, parts)
            return Levels(
                stretches=stretches, noise_pa=smallest_step_pa, smallest_step_pa=smallest_step_pa
            )
    return _find_measured_levels(current_pa, rate_hz)


@dataclass(frozen=True, kw_only=True)
class _Part:
    """A part of a clean command between two edges: constant or monotonic."""

    span: Span
    constant: bool
    first_level_pa: float
    last_level_pa: float


def _find_settled_parts(
    current_pa: Floats, span: float, rate_hz: float, *, smallest_edge_pa: float
) -> list[_Part] | None:
    """Return the parts of a clean command between its edges, None if the current is no command."""
    changes_pa = np.diff(current_pa)
    edges = np.flatnonzero(np.abs(changes_pa) > smallest_edge_pa) + 1
    if len(edges) > MAX_EDGES:
        return None
    starts, ends = np.concatenate(([0], edges)), np.append(edges, len(current_pa))
    spread = np.maximum.reduceat(current_pa, starts) - np.minimum.reduceat(current_pa, starts)
    constant = spread <= 2 * STILL * span
    for place in np.flatnonzero(~constant):
        changes = changes_pa[starts[place] : ends[place] - 1]
        # Noise both rises and falls.
        if not spread[place] > LEAST_RISE * span or changes.min() < 0 < changes.max():
            return None
    settled = [
        _Part(
            span=(start, end),
            constant=is_constant,
            first_level_pa=float(current_pa[start]),
            last_level_pa=float(current_pa[end - 1]),
        )
        for start, end, is_constant in zip(
            starts.tolist(), ends.tolist(), constant.tolist(), strict=True
        )
        if end - start >= SETTLED_S * rate_hz
    ]
    # The same level before and after a short event: it is an artefact, so the current was measured.
    interrupted = any(
        abs(after.first_level_pa - before.last_level_pa) <= 2 * STILL * span
        for before, after in pairwise(settled)
    )
    return None if interrupted or not settled else settled


def _build_clean_stretches(current_pa: Floats, parts: Sequence[_Part]) -> tuple[Stretch, ...]:
    """Return the stretches of a clean command, each with an exact edge."""
    edges = [0]
    for before, after in pairwise(parts):
        first, last = before.span[1], after.span[0]
        edge = find_edge(current_pa[first:last], before.last_level_pa, after.first_level_pa)
        edges.append(first + edge)
    edges.append(len(current_pa))
    return tuple(
        Stretch(
            start=start,
            end=end,
            # A ramp has no constant level: it gets its first value.
            level_pa=float(current_pa[slice(*part.span)].mean(dtype=np.float64))
            if part.constant
            else part.first_level_pa,
            steady=part.constant,
            first_level_pa=part.first_level_pa,
        )
        for (start, end), part in zip(pairwise(edges), parts, strict=True)
    )


def _find_measured_levels(current_pa: Floats, rate_hz: float) -> Levels:
    """Return the levels of a current that contains noise, artefacts or a ramp."""
    blocks = blocks_of(current_pa, rate_hz)
    segments = find_segments(blocks)
    edges = [_find_edge_between(current_pa, blocks, *pair) for pair in pairwise(segments)]
    bounds = list(pairwise([0, *edges, len(current_pa)]))
    steady = [is_steady(blocks, segments, place) for place in range(len(segments))]
    levels_pa = fit_levels(blocks, segments, steady)
    stretches = [
        Stretch(
            start=start,
            end=end,
            level_pa=level,
            steady=is_constant,
            first_level_pa=blocks.first_level_pa(segment),
            error_pa=_error_pa(blocks, end - start),
        )
        for (start, end), segment, level, is_constant in zip(
            bounds, segments, levels_pa, steady, strict=True
        )
    ]
    divided = [
        part
        for stretch, segment in zip(stretches, segments, strict=True)
        for part in _divide_at_pulses(
            stretch, _find_pulses(current_pa, blocks, segment, stretch, holding_pa=levels_pa[0])
        )
    ]
    return Levels(
        stretches=tuple(divided),
        noise_pa=4 * blocks.noise_pa,
        smallest_step_pa=max(blocks.tolerance_pa, DRIFT * blocks.range_pa),
        blocks=blocks,
    )


def _error_pa(blocks: Blocks, samples: int) -> float:
    """Return the error of a mean over a number of samples: four standard deviations."""
    return 4 * blocks.noise_pa * float(np.sqrt(blocks.size / max(1, samples)))


def _find_edge_between(current_pa: Floats, blocks: Blocks, before: Span, after: Span) -> int:
    """Return the first sample of a segment that follows another segment."""
    # The search ends at the middle of a short segment: its other edge is beyond the middle.
    first = max(before[1] - NEAR_BLOCKS, sum(before) // 2)
    last = min(after[0] + NEAR_BLOCKS, (sum(after) + 1) // 2)
    levels = (
        blocks.level_pa((max(before[0], before[1] - 2 * SIDE), before[1])),
        blocks.level_pa((after[0], min(after[1], after[0] + 2 * SIDE))),
    )
    start = first * blocks.size
    return start + find_edge(blocks.without_hum(current_pa, start, last * blocks.size), *levels)


@dataclass(frozen=True, kw_only=True)
class _Pulse:
    """A short pulse of constant current added to a level."""

    start: int
    end: int
    height_pa: float
    error_pa: float


def _divide_at_pulses(stretch: Stretch, pulses: Sequence[_Pulse]) -> Iterator[Stretch]:
    """Yield the parts of a stretch in time order: its pulses, and the parts between them."""
    rest = stretch
    for pulse in pulses:
        if not rest.start < pulse.start < pulse.end < rest.end:
            continue
        yield replace(rest, end=pulse.start)
        yield Stretch(
            start=pulse.start,
            end=pulse.end,
            level_pa=rest.level_pa + pulse.height_pa,
            steady=True,
            error_pa=pulse.error_pa,
        )
        rest = replace(rest, start=pulse.end)
    yield rest


def _find_pulses(
    current_pa: Floats, blocks: Blocks, segment: Span, stretch: Stretch, *, holding_pa: float
) -> list[_Pulse]:
    """Return the pulses of at most 15 ms inside a segment, in time order."""
    pulses = (
        _build_pulse(current_pa, blocks, excursion, stretch.level_pa - holding_pa)
        for excursion in _find_excursions(blocks, segment)
    )
    last = stretch.end - EDGE_BLOCKS * blocks.size
    inside = [
        pulse
        for pulse in pulses
        if pulse is not None and stretch.start < pulse.start < pulse.end < last
    ]
    return sorted(inside, key=lambda pulse: pulse.start)


@dataclass(frozen=True, kw_only=True)
class _Excursion:
    """Blocks that differ from the level of their segment: a pulse or an artefact."""

    span: Span
    level_pa: float
    height_pa: float
    is_biphasic: bool
    """Whether blocks of the other sign follow or precede it, as in the artefact of a spike."""


def _find_excursions(blocks: Blocks, segment: Span) -> Iterator[_Excursion]:
    """Yield the excursions of a segment, first the positive ones."""
    if segment[1] - segment[0] < SIDE:
        return
    means_pa = blocks.means_pa[segment[0] : segment[1]]
    level_pa = median_filter(means_pa, size=PULSE_MEDIAN_BLOCKS, mode="nearest")
    rest_pa = means_pa - level_pa
    near = round(SECOND_PHASE_S / BLOCK_S)
    for sign in (1, -1):
        off = sign * rest_pa > max(
            PULSE_CLEAR * blocks.noise_pa, PULSE_SHARE * float(np.ptp(rest_pa))
        )
        edges = np.flatnonzero(np.diff(np.concatenate(([0], off.astype(np.int8), [0]))))
        for first, last in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
            if last - first > BRIEF or first < EDGE_BLOCKS or last > len(off) - EDGE_BLOCKS:
                continue
            height_pa = upper_median(rest_pa[first:last])
            around = np.concatenate(
                (rest_pa[max(0, first - near) : first], rest_pa[last : last + near])
            )
            other_pa = float((-sign * around).max())
            smallest_pa = max(SECOND_PHASE * abs(height_pa), PULSE_CLEAR * blocks.noise_pa)
            yield _Excursion(
                span=(segment[0] + first, segment[0] + last),
                level_pa=float(level_pa[first]),
                height_pa=height_pa,
                is_biphasic=other_pa > smallest_pa,
            )


def _build_pulse(
    current_pa: Floats, blocks: Blocks, excursion: _Excursion, step_pa: float
) -> _Pulse | None:
    """Return an excursion as a pulse, None if it is an artefact.

    Parameters
    ----------
    step_pa
        Level of the segment minus the holding current.
    """
    size, (first, last) = blocks.size, excursion.span
    begin, middle, stop = (first - 1) * size, (first + last) * size // 2, (last + 1) * size
    rest_pa = blocks.without_hum(current_pa, begin, stop) - excursion.level_pa
    start = find_edge(rest_pa[: middle - begin], 0.0, excursion.height_pa)
    end = middle - begin + find_edge(rest_pa[middle - begin :], excursion.height_pa, 0.0)
    duration_s = (end - start) * BLOCK_S / size
    is_on_step = abs(step_pa) > blocks.tolerance_pa
    is_high = abs(excursion.height_pa) >= SPIKE_PA and not is_on_step
    if excursion.is_biphasic and not (duration_s >= LONG_PULSE_S or is_high):
        return None
    if not _is_long_and_large_enough(
        blocks, duration_s, step_pa=step_pa, height_pa=excursion.height_pa
    ):
        return None
    if not _is_flat(rest_pa[start:end], blocks):
        return None
    # The first half may contain the capacitive current of the pulse's own edge.
    height_pa = upper_median(rest_pa[(start + end) // 2 : end])
    return _Pulse(
        start=begin + start,
        end=begin + end,
        height_pa=height_pa,
        error_pa=_error_pa(blocks, end - start),
    )


def _is_long_and_large_enough(
    blocks: Blocks, duration_s: float, *, step_pa: float, height_pa: float
) -> bool:
    """Tell whether a pulse during a step of height `step_pa` is long and large enough."""
    has_charge = abs(height_pa) * duration_s >= CHARGE_PA_S
    if duration_s < SHORTEST_PULSE_S:
        return False
    if abs(step_pa) <= blocks.tolerance_pa:
        return has_charge
    if abs(step_pa + height_pa) <= PAUSE * abs(step_pa) + 2 * blocks.noise_pa:
        return has_charge or duration_s >= LONG_PULSE_S
    return duration_s >= LONG_PULSE_S and abs(height_pa) >= HIGH * abs(step_pa)


def _is_flat(top_pa: Floats, blocks: Blocks) -> bool:
    """Tell whether the height of a pulse is constant, unlike that of a spike artefact."""
    # The first quarter may contain the capacitive current of the pulse's own edge, and its tail.
    _, *quarters = np.array_split(top_pa, 4)
    if not all(map(len, quarters)):
        return True
    second, third, last = (float(quarter.mean()) for quarter in quarters)
    noise_pa = 4 * blocks.noise_pa * float(np.sqrt(blocks.size / len(quarters[-1])))
    height_pa = abs(third + last) / 2
    return (
        abs(last - third) <= UNEVEN * height_pa + noise_pa
        and abs(third - second) <= 2 * UNEVEN * height_pa + noise_pa
    )
