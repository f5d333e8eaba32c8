"""Where an injected current stands still, in clean commands and in noisy measurements alike."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from sts.base.types import Floats
from sts.signals.blocks import NEAR, SIDE, Blocks, Run, blocks_of, find_edge, level_runs
from sts.signals.drift import fit_levels, is_steady
from sts.signals.pulses import Pulse, find_pulses

# A command has a handful of edges; more of them mean noise or a ramp.
MAX_EDGES = 100
# What one float32 rounding or one slow bit of a converter may move a level, as a share of the span.
STILL = 1e-4
# A ramp in whole bits, of 10 bits or more, climbs by less than this share of the span at a time,
STAIR = 5e-3
# and by more than this in all: a step may drift so far.
RISE = 0.15
# A command that needs longer than this to settle is still on its way.
SETTLED_S = 0.5e-3
# A step of less than this share of the highest is none: a current that drifts.
DRIFT = 0.05
# Nothing can be told from less than this.
SHORTEST_S = 0.1


@dataclass(frozen=True, kw_only=True)
class Stretch:
    """A stretch of samples between two edges of the current."""

    start: int
    end: int
    level_pa: float
    steady: bool
    """False where the current drifts through the stretch, as in a ramp."""
    head_pa: float = 0.0
    """The level that a stretch begins with."""
    error_pa: float = 0.0
    """What noise may have made of the level: four deviations."""


@dataclass(frozen=True, kw_only=True)
class Levels:
    """Where the current of a sweep stands still, and where it moves."""

    stretches: tuple[Stretch, ...]
    """They tile the sweep."""
    noise_pa: float
    """What noise can make of a level."""
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
    # The stairs of a ramp in whole bits are no edges: higher ones are tried next.
    for share in (STILL, STAIR):
        clean = _clean_runs(current_pa, span, rate_hz, least_edge_pa=share * span)
        if clean is not None:
            least_pa = 2 * STILL * span
            stretches = _clean_stretches(current_pa, clean)
            return Levels(stretches=stretches, noise_pa=least_pa, least_pa=least_pa)
    return _measured_levels(current_pa, rate_hz)


@dataclass(frozen=True, kw_only=True)
class _Clean:
    """Settled samples of a noiseless command: they stand still, or rise or fall all the way."""

    run: Run
    still: bool
    head_pa: float
    tail_pa: float


def _clean_runs(
    current_pa: Floats, span: float, rate_hz: float, *, least_edge_pa: float
) -> list[_Clean] | None:
    """Return the settled runs of samples of a noiseless command, or None where it is not one."""
    moves_pa = np.diff(current_pa)
    edges = np.flatnonzero(np.abs(moves_pa) > least_edge_pa) + 1
    if len(edges) > MAX_EDGES:
        return None
    starts, ends = np.concatenate(([0], edges)), np.append(edges, len(current_pa))
    spread = np.maximum.reduceat(current_pa, starts) - np.minimum.reduceat(current_pa, starts)
    still = spread <= 2 * STILL * span
    if not all(
        spread[place] > RISE * span and _is_one_way(moves_pa[starts[place] : ends[place] - 1])
        for place in np.flatnonzero(~still)
    ):
        return None
    settled = [
        _Clean(
            run=(start, end),
            still=keeps,
            head_pa=float(current_pa[start]),
            tail_pa=float(current_pa[end - 1]),
        )
        for start, end, keeps in zip(starts.tolist(), ends.tolist(), still.tolist(), strict=True)
        if end - start >= SETTLED_S * rate_hz
    ]
    # A level that goes on behind something else: an artefact, so that this is a measurement.
    goes_on = any(
        abs(after.head_pa - before.tail_pa) <= 2 * STILL * span
        for before, after in pairwise(settled)
    )
    return None if goes_on or not settled else settled


def _is_one_way(moves_pa: Floats) -> bool:
    """Tell whether a current only rises or only falls, as no noise does."""
    return not (moves_pa.min() < 0 < moves_pa.max())


def _clean_stretches(current_pa: Floats, clean: Sequence[_Clean]) -> tuple[Stretch, ...]:
    return tuple(
        Stretch(
            start=start,
            end=end,
            level_pa=_clean_level_pa(current_pa, each),
            steady=each.still,
            head_pa=each.head_pa,
        )
        for (start, end), each in zip(_bounds(current_pa, clean), clean, strict=True)
    )


def _clean_level_pa(current_pa: Floats, clean: _Clean) -> float:
    # A ramp has no level of its own; a sweep that begins with one begins at its foot.
    within = current_pa[slice(*clean.run)]
    return float(within.mean(dtype=np.float64)) if clean.still else clean.head_pa


def _measured_levels(current_pa: Floats, rate_hz: float) -> Levels:
    """Return the levels of a current that carries noise, artefacts or a ramp."""
    blocks = blocks_of(current_pa, rate_hz)
    runs = level_runs(blocks)
    edges = [_edge_between(current_pa, blocks, *pair) for pair in pairwise(runs)]
    bounds = list(pairwise([0, *edges, len(current_pa)]))
    steady = [is_steady(blocks, runs, place) for place in range(len(runs))]
    levels_pa = fit_levels(blocks, runs, steady)
    stretches = [
        Stretch(
            start=start,
            end=end,
            level_pa=level,
            steady=still,
            head_pa=blocks.head_pa(run),
            error_pa=_error_pa(blocks, end - start),
        )
        for (start, end), run, level, still in zip(bounds, runs, levels_pa, steady, strict=True)
    ]
    pulses = find_pulses(current_pa, blocks, runs, bounds=bounds, levels_pa=levels_pa)
    return Levels(
        stretches=_with_pulses(stretches, pulses, blocks),
        noise_pa=4 * blocks.noise_pa,
        least_pa=max(blocks.tolerance_pa, DRIFT * blocks.span_pa),
        blocks=blocks,
    )


def _error_pa(blocks: Blocks, samples: int) -> float:
    return 4 * blocks.noise_pa * float(np.sqrt(blocks.size / max(1, samples)))


def _edge_between(current_pa: Floats, blocks: Blocks, before: Run, after: Run) -> int:
    """Return the first sample of a run of blocks that follows another one."""
    # A brief run must not be searched past its middle: its other edge lies there.
    first = max(before[1] - NEAR, sum(before) // 2)
    last = min(after[0] + NEAR, (sum(after) + 1) // 2)
    levels = (
        blocks.level_pa((max(before[0], before[1] - 2 * SIDE), before[1])),
        blocks.level_pa((after[0], min(after[1], after[0] + 2 * SIDE))),
    )
    start = first * blocks.size
    return start + find_edge(blocks.without_hum(current_pa, start, last * blocks.size), *levels)


def _with_pulses(
    stretches: Sequence[Stretch], pulses: Sequence[Pulse], blocks: Blocks
) -> tuple[Stretch, ...]:
    """Return the stretches, divided where a pulse lies in them."""
    divided: list[Stretch] = []
    for stretch in stretches:
        rest = stretch
        for pulse in pulses:
            if not rest.start < pulse.start < pulse.end < rest.end:
                continue
            divided.append(replace(rest, end=pulse.start))
            level_pa = rest.level_pa + pulse.height_pa
            divided.append(
                Stretch(
                    start=pulse.start,
                    end=pulse.end,
                    level_pa=level_pa,
                    steady=True,
                    error_pa=_error_pa(blocks, pulse.end - pulse.start),
                )
            )
            rest = replace(rest, start=pulse.end)
        divided.append(rest)
    return tuple(divided)


def _bounds(current_pa: Floats, clean: Sequence[_Clean]) -> Iterator[Run]:
    """Yield the runs with every edge at its place, so that they tile the sweep."""
    begin = 0
    for this, following in pairwise(clean):
        first, last = this.run[1], following.run[0]
        edge = first + find_edge(current_pa[first:last], this.tail_pa, following.head_pa)
        yield begin, edge
        begin = edge
    yield begin, len(current_pa)
