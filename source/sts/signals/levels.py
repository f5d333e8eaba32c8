"""The stretches of an injected current: where it is constant, where it moves, and its edges.

A clean command has few edges, and between them it is constant to a rounding, or rises or falls all
the way. Any other current is a measurement with noise: it is averaged over blocks, divided into
segments where its level jumps, and each edge is placed at the sample that divides the two levels
best. Within the segments, brief pulses are looked for: blocks off the running median of their
segment are a pulse if their top is flat, long and high enough, and an artefact of a spike if not.
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
    NEAR,
    SIDE,
    Blocks,
    Span,
    blocks_of,
    find_edge,
    upper_median,
)
from sts.signals.segments import BRIEF, find_segments, fit_levels, is_steady

# Most edges of a clean command: more of them mean noise or a ramp.
MAX_EDGES: Final = 100
# Largest share of the span by which a constant command may vary: a rounding of float32, or a bit of
# a converter that settles slowly.
STILL: Final = 1e-4
# A ramp in whole bits, of 10 bits or more, climbs by less than this share of the span at a time,
# and by more than the second in all: a step may drift by that much.
STAIR: Final = 5e-3
RISE: Final = 0.15
# A part of a command that is shorter than this belongs to the edge.
SETTLED_S: Final = 0.5e-3
# A measured step below this share of the span is a drift of the current.
DRIFT: Final = 0.05
# Shortest sweep that is judged.
SHORTEST_S: Final = 0.1

# Width of the running median that pulses stand out of, in blocks: 50 ms.
AROUND: Final = round(50e-3 / BLOCK_S) | 1
# Smallest height of a pulse: in deviations of the noise, and as a share of the highest pulse of its
# segment.
PULSE_CLEAR: Final = 8.0
PULSE_SHARE: Final = 0.1
# Shortest pulse. Upon a step a pulse is a pause, back to within the first share of the step from
# the holding current, or high, by the second share of the step.
PULSE_S: Final = 0.8e-3
PAUSE: Final = 0.1
HIGH: Final = 0.5
# A pulse that is shorter than this counts if its charge is at least the second: less moves a
# membrane of 100 pF by no more than 0.6 mV.
LONG_PULSE_S: Final = 2.5e-3
CHARGE_PA_S: Final = 60e-3
# Blocks beside an edge in which there are capacitive currents.
EDGE: Final = 2
# Largest difference between the last quarters of a flat top, as a share of its height.
UNEVEN: Final = 0.12
# The capacitive current of a spike has a second half of the other sign: within this time, and at
# least this share of the first. The edges of a longer pulse may look like it.
SECOND_HALF_S: Final = 3e-3
SECOND_HALF: Final = 0.25
# Spikes leak less than this.
SPIKE_PA: Final = 200.0


@dataclass(frozen=True, kw_only=True)
class Stretch:
    """A stretch of samples between two edges of the current."""

    start: int
    end: int
    level_pa: float
    steady: bool
    """False where the current drifts through the stretch, as in a ramp."""
    head_pa: float = 0.0
    """The level at the begin of the stretch."""
    error_pa: float = 0.0
    """The error of the level by noise: four standard deviations."""


@dataclass(frozen=True, kw_only=True)
class Levels:
    """The stretches of a sweep, and which differences between their levels mean something."""

    stretches: tuple[Stretch, ...]
    """Together they are the sweep."""
    noise_pa: float
    """The error of a single value by noise."""
    least_pa: float
    """The least step away from the holding current."""
    blocks: Blocks | None = None
    """A measured current in blocks; None for a clean command."""


def find_levels(current_pa: Floats, rate_hz: float) -> Levels:
    """Return the stretches of a sweep, and which differences between them mean something."""
    if len(current_pa) < SHORTEST_S * rate_hz:
        brief = Stretch(start=0, end=len(current_pa), level_pa=0.0, steady=False)
        return Levels(stretches=(brief,), noise_pa=0.0, least_pa=0.0)
    low, high = float(current_pa.min()), float(current_pa.max())
    span = high - low
    # 1e-5: a hundred roundings of float32
    if span <= 1e-5 * max(abs(low), abs(high)):
        still = Stretch(start=0, end=len(current_pa), level_pa=float(current_pa[0]), steady=True)
        return Levels(stretches=(still,), noise_pa=span, least_pa=span)
    # The stairs of a ramp in whole bits are no edges: if all moves are too many, only higher ones.
    for share in (STILL, STAIR):
        parts = _settled_parts(current_pa, span, rate_hz, least_edge_pa=share * span)
        if parts is not None:
            least_pa = 2 * STILL * span
            stretches = _clean_stretches(current_pa, parts)
            return Levels(stretches=stretches, noise_pa=least_pa, least_pa=least_pa)
    return _measured_levels(current_pa, rate_hz)


@dataclass(frozen=True, kw_only=True)
class _Part:
    """A settled part of a clean command: constant, or rising or falling all the way."""

    span: Span
    constant: bool
    head_pa: float
    tail_pa: float


def _settled_parts(
    current_pa: Floats, span: float, rate_hz: float, *, least_edge_pa: float
) -> list[_Part] | None:
    """Return the settled parts of a clean command, or None where the current is not one."""
    moves_pa = np.diff(current_pa)
    edges = np.flatnonzero(np.abs(moves_pa) > least_edge_pa) + 1
    if len(edges) > MAX_EDGES:
        return None
    starts, ends = np.concatenate(([0], edges)), np.append(edges, len(current_pa))
    spread = np.maximum.reduceat(current_pa, starts) - np.minimum.reduceat(current_pa, starts)
    constant = spread <= 2 * STILL * span
    for place in np.flatnonzero(~constant):
        moves = moves_pa[starts[place] : ends[place] - 1]
        # Noise both rises and falls.
        if not spread[place] > RISE * span or moves.min() < 0 < moves.max():
            return None
    settled = [
        _Part(
            span=(start, end),
            constant=keeps,
            head_pa=float(current_pa[start]),
            tail_pa=float(current_pa[end - 1]),
        )
        for start, end, keeps in zip(starts.tolist(), ends.tolist(), constant.tolist(), strict=True)
        if end - start >= SETTLED_S * rate_hz
    ]
    # One level on both sides of something brief: that is an artefact, in a measurement.
    interrupted = any(
        abs(after.head_pa - before.tail_pa) <= 2 * STILL * span
        for before, after in pairwise(settled)
    )
    return None if interrupted or not settled else settled


def _clean_stretches(current_pa: Floats, parts: Sequence[_Part]) -> tuple[Stretch, ...]:
    edges = [0]
    for before, after in pairwise(parts):
        first, last = before.span[1], after.span[0]
        edge = find_edge(current_pa[first:last], before.tail_pa, after.head_pa)
        edges.append(first + edge)
    edges.append(len(current_pa))
    return tuple(
        Stretch(
            start=start,
            end=end,
            # A ramp has no level of its own; a sweep that begins with one begins at its foot.
            level_pa=float(current_pa[slice(*part.span)].mean(dtype=np.float64))
            if part.constant
            else part.head_pa,
            steady=part.constant,
            head_pa=part.head_pa,
        )
        for (start, end), part in zip(pairwise(edges), parts, strict=True)
    )


def _measured_levels(current_pa: Floats, rate_hz: float) -> Levels:
    """Return the levels of a current that carries noise, artefacts or a ramp."""
    blocks = blocks_of(current_pa, rate_hz)
    segments = find_segments(blocks)
    edges = [_edge_between(current_pa, blocks, *pair) for pair in pairwise(segments)]
    bounds = list(pairwise([0, *edges, len(current_pa)]))
    steady = [is_steady(blocks, segments, place) for place in range(len(segments))]
    levels_pa = fit_levels(blocks, segments, steady)
    stretches = [
        Stretch(
            start=start,
            end=end,
            level_pa=level,
            steady=keeps,
            head_pa=blocks.head_pa(segment),
            error_pa=_error_pa(blocks, end - start),
        )
        for (start, end), segment, level, keeps in zip(
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
        least_pa=max(blocks.tolerance_pa, DRIFT * blocks.range_pa),
        blocks=blocks,
    )


def _error_pa(blocks: Blocks, samples: int) -> float:
    """Return the error of a mean over some samples: four standard deviations."""
    return 4 * blocks.noise_pa * float(np.sqrt(blocks.size / max(1, samples)))


def _edge_between(current_pa: Floats, blocks: Blocks, before: Span, after: Span) -> int:
    """Return the first sample of a segment that follows another one."""
    # No farther than the middle of a brief segment: its other edge lies behind that.
    first = max(before[1] - NEAR, sum(before) // 2)
    last = min(after[0] + NEAR, (sum(after) + 1) // 2)
    levels = (
        blocks.level_pa((max(before[0], before[1] - 2 * SIDE), before[1])),
        blocks.level_pa((after[0], min(after[1], after[0] + 2 * SIDE))),
    )
    start = first * blocks.size
    return start + find_edge(blocks.without_hum(current_pa, start, last * blocks.size), *levels)


@dataclass(frozen=True, kw_only=True)
class _Pulse:
    """A brief pulse of constant current upon a level."""

    start: int
    end: int
    height_pa: float
    error_pa: float


def _divide_at_pulses(stretch: Stretch, pulses: Sequence[_Pulse]) -> Iterator[Stretch]:
    """Yield a stretch in parts: what lies before, between and after its pulses, and the pulses."""
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
        _pulse(current_pa, blocks, excursion, stretch.level_pa - holding_pa)
        for excursion in _excursions(blocks, segment)
    )
    last = stretch.end - EDGE * blocks.size
    inside = [
        pulse
        for pulse in pulses
        if pulse is not None and stretch.start < pulse.start < pulse.end < last
    ]
    return sorted(inside, key=lambda pulse: pulse.start)


@dataclass(frozen=True, kw_only=True)
class _Excursion:
    """Blocks that lie off the level of their segment: a pulse or an artefact."""

    span: Span
    level_pa: float
    height_pa: float
    has_second_half: bool
    """Whether blocks of the other sign follow or precede it, as in the artefact of a spike."""


def _excursions(blocks: Blocks, segment: Span) -> Iterator[_Excursion]:
    if segment[1] - segment[0] < SIDE:
        return
    means_pa = blocks.means_pa[segment[0] : segment[1]]
    level_pa = median_filter(means_pa, size=AROUND, mode="nearest")
    rest_pa = means_pa - level_pa
    near = round(SECOND_HALF_S / BLOCK_S)
    for sign in (1, -1):
        off = sign * rest_pa > max(
            PULSE_CLEAR * blocks.noise_pa, PULSE_SHARE * float(np.ptp(rest_pa))
        )
        edges = np.flatnonzero(np.diff(np.concatenate(([0], off.astype(np.int8), [0]))))
        for first, last in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
            if last - first > BRIEF or first < EDGE or last > len(off) - EDGE:
                continue
            height_pa = upper_median(rest_pa[first:last])
            around = np.concatenate(
                (rest_pa[max(0, first - near) : first], rest_pa[last : last + near])
            )
            other_pa = float((-sign * around).max())
            least_pa = max(SECOND_HALF * abs(height_pa), PULSE_CLEAR * blocks.noise_pa)
            yield _Excursion(
                span=(segment[0] + first, segment[0] + last),
                level_pa=float(level_pa[first]),
                height_pa=height_pa,
                has_second_half=other_pa > least_pa,
            )


def _pulse(
    current_pa: Floats, blocks: Blocks, excursion: _Excursion, step_pa: float
) -> _Pulse | None:
    """Return the pulse that an excursion is, None if it is an artefact.

    Parameters
    ----------
    step_pa
        Level of the segment, from the holding current.
    """
    size, (first, last) = blocks.size, excursion.span
    begin, middle, stop = (first - 1) * size, (first + last) * size // 2, (last + 1) * size
    rest_pa = blocks.without_hum(current_pa, begin, stop) - excursion.level_pa
    start = find_edge(rest_pa[: middle - begin], 0.0, excursion.height_pa)
    end = middle - begin + find_edge(rest_pa[middle - begin :], excursion.height_pa, 0.0)
    duration_s = (end - start) * BLOCK_S / size
    is_on_step = abs(step_pa) > blocks.tolerance_pa
    is_high = abs(excursion.height_pa) >= SPIKE_PA and not is_on_step
    if excursion.has_second_half and not (duration_s >= LONG_PULSE_S or is_high):
        return None
    if not _matters(blocks, duration_s, step_pa=step_pa, height_pa=excursion.height_pa):
        return None
    if not _is_flat(rest_pa[start:end], blocks):
        return None
    # The first half may hold the capacitive current of the pulse's own edge.
    height_pa = upper_median(rest_pa[(start + end) // 2 : end])
    return _Pulse(
        start=begin + start,
        end=begin + end,
        height_pa=height_pa,
        error_pa=_error_pa(blocks, end - start),
    )


def _matters(blocks: Blocks, duration_s: float, *, step_pa: float, height_pa: float) -> bool:
    """Tell whether a pulse upon a step of some height is long and high enough."""
    has_charge = abs(height_pa) * duration_s >= CHARGE_PA_S
    if duration_s < PULSE_S:
        return False
    if abs(step_pa) <= blocks.tolerance_pa:
        return has_charge
    if abs(step_pa + height_pa) <= PAUSE * abs(step_pa) + 2 * blocks.noise_pa:
        return has_charge or duration_s >= LONG_PULSE_S
    return duration_s >= LONG_PULSE_S and abs(height_pa) >= HIGH * abs(step_pa)


def _is_flat(top_pa: Floats, blocks: Blocks) -> bool:
    """Tell whether a pulse keeps its height, as no capacitive current of a spike does."""
    # The first quarter may hold the capacitive current of the pulse's own edge, and its tail.
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
