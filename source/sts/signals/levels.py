"""Where an injected current stands still, in clean commands and in noisy measurements alike."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from sts.base.types import Floats
from sts.signals.blocks import DRIFT, Run, is_steady, quiet_blocks, settled_runs

# A command has a handful of edges; more of them mean noise or a ramp.
MAX_EDGES = 100
# What one float32 rounding or one slow bit of a converter may move a level, as a share of the span.
STILL = 1e-4
# A command that needs longer than this to settle is still on its way.
SETTLED_S = 0.5e-3
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


@dataclass(frozen=True, kw_only=True)
class Course:
    """How the current of a sweep goes."""

    stretches: tuple[Stretch, ...]
    """They tile the sweep."""
    noise_pa: float
    """What noise can make of a level."""
    least_pa: float
    """The least step away from the holding current."""


def course_of(current_pa: Floats, rate_hz: float) -> Course:
    """Return the stretches of a sweep, and which differences between them mean something."""
    if len(current_pa) < SHORTEST_S * rate_hz:
        brief = Stretch(start=0, end=len(current_pa), level_pa=0.0, steady=False)
        return Course(stretches=(brief,), noise_pa=0.0, least_pa=0.0)
    low, high = float(current_pa.min()), float(current_pa.max())
    span = high - low
    # 1e-5: a hundred roundings of float32
    if span <= 1e-5 * max(abs(low), abs(high)):
        still = Stretch(start=0, end=len(current_pa), level_pa=float(current_pa[0]), steady=True)
        return Course(stretches=(still,), noise_pa=span, least_pa=span)
    runs = _clean_runs(current_pa, span * STILL, rate_hz)
    if runs is None:
        return _measured_course(current_pa, rate_hz)
    least_pa = 2 * STILL * span
    stretches = _clean_stretches(current_pa, runs)
    return Course(stretches=stretches, noise_pa=least_pa, least_pa=least_pa)


def _clean_runs(current_pa: Floats, tolerance: float, rate_hz: float) -> list[Run] | None:
    """Return the settled runs of samples of a noiseless command, or None where it is not one."""
    edges = np.flatnonzero(np.abs(np.diff(current_pa)) > tolerance) + 1
    if len(edges) > MAX_EDGES:
        return None
    starts = np.concatenate(([0], edges))
    spread = np.maximum.reduceat(current_pa, starts) - np.minimum.reduceat(current_pa, starts)
    if spread.max() > 2 * tolerance:
        return None
    ends = np.append(edges, len(current_pa))
    settled = ends - starts >= SETTLED_S * rate_hz
    return list(zip(starts[settled].tolist(), ends[settled].tolist(), strict=True)) or None


def _clean_stretches(current_pa: Floats, runs: Sequence[Run]) -> tuple[Stretch, ...]:
    levels = [float(current_pa[start:end].mean(dtype=np.float64)) for start, end in runs]
    bounds = _bounds(current_pa, runs, levels=list(zip(levels, levels, strict=True)))
    return tuple(
        Stretch(start=start, end=end, level_pa=level, steady=True)
        for (start, end), level in zip(bounds, levels, strict=True)
    )


def _measured_course(current_pa: Floats, rate_hz: float) -> Course:
    """Return the course of a current that carries noise, artefacts or a ramp."""
    blocks = quiet_blocks(current_pa, rate_hz)
    size = blocks.size
    runs = settled_runs(blocks, rate_hz)
    bounds = _bounds(
        current_pa,
        [(start * size, stop * size) for start, stop in runs],
        levels=[(blocks.head(run), blocks.tail(run)) for run in runs],
        reach=size,
    )
    stretches = tuple(
        Stretch(
            start=start,
            end=end,
            level_pa=float(np.median(current_pa[start:end])),
            steady=is_steady(blocks, run),
        )
        for (start, end), run in zip(bounds, runs, strict=True)
    )
    holding_pa = stretches[0].level_pa
    farthest_pa = max(abs(each.level_pa - holding_pa) for each in stretches)
    return Course(
        stretches=stretches,
        noise_pa=blocks.tolerance_pa,
        least_pa=max(blocks.tolerance_pa, DRIFT * farthest_pa),
    )


def _bounds(
    current_pa: Floats,
    runs: Sequence[Run],
    *,
    levels: Sequence[tuple[float, float]],
    reach: int = 0,
) -> Iterator[Run]:
    """Yield the runs, in samples, with every edge at its place, so that they tile the sweep."""
    begin = 0
    for place, (this, following) in enumerate(pairwise(runs)):
        # A brief run must not be searched past its middle: its other edge lies there.
        first = max(begin, this[1] - reach, sum(this) // 2)
        last = min(following[0] + reach, sum(following) // 2)
        edge = first + _edge(current_pa[first:last], levels[place][1], levels[place + 1][0])
        yield begin, edge
        begin = edge
    yield begin, len(current_pa)


def _edge(current_pa: Floats, before_pa: float, after_pa: float) -> int:
    """Return the first sample of the second level: the least-squares place of a single jump."""
    low, high = sorted((before_pa, after_pa))
    # Clipped, so that a capacitive spike weighs no more than a sample of the level.
    side = np.clip(current_pa.astype(np.float64), low, high) - (low + high) / 2
    towards = np.concatenate(([0.0], np.cumsum(side)))
    return int(np.argmin(towards) if after_pa > before_pa else np.argmax(towards))
