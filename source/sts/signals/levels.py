"""Where an injected current stands still, in clean commands and in noisy measurements alike."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from sts.base.types import Bools, Floats

# A command has a handful of edges; more of them mean noise or a ramp.
MAX_EDGES = 100
# What one float32 rounding or one slow bit of a converter may move a level, as a share of the span.
STILL = 1e-4
# A command that needs longer than this to settle is still on its way.
SETTLED_S = 0.5e-3
# In a measured current levels nearer than this share of the span are one level,
SAME = 5e-3
# and a level may drift by this share until it is no longer one.
DRIFT = 0.05
# Capacitive currents of a spike leak into a measured stimulus for less than this.
ARTEFACT_S = 5e-3
BLOCKS_S = (0.5e-3, 1e-3, 2e-3, 4e-3, 8e-3)
# Nothing can be told from less than this.
SHORTEST_S = 0.1
# As many blocks tell the level at the end of a run.
END_BLOCKS = 10

Run = tuple[int, int]


@dataclass(frozen=True, kw_only=True)
class Stretch:
    """A stretch of samples between two edges of the current."""

    start: int
    end: int
    level_pa: float
    steady: bool
    """False where the current drifts through the stretch, as in a ramp."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Blocks:
    """Medians of a current over equal blocks, and the least difference that noise cannot make."""

    medians: Floats
    size: int
    tolerance_pa: float

    def head(self, run: Run) -> float:
        """Return the level at the begin of a run."""
        return float(np.median(self.medians[run[0] : min(run[1], run[0] + END_BLOCKS)]))

    def tail(self, run: Run) -> float:
        """Return the level at the end of a run."""
        return float(np.median(self.medians[max(run[0], run[1] - END_BLOCKS) : run[1]]))


def find_stretches(current_pa: Floats, rate_hz: float) -> tuple[tuple[Stretch, ...], float]:
    """Return the stretches that tile a sweep, and the least difference that tells two levels."""
    if len(current_pa) < SHORTEST_S * rate_hz:
        brief = Stretch(start=0, end=len(current_pa), level_pa=0.0, steady=False)
        return (brief,), 0.0
    low, high = float(current_pa.min()), float(current_pa.max())
    span = high - low
    # 1e-5: a hundred roundings of float32
    if span <= 1e-5 * max(abs(low), abs(high)):
        still = Stretch(start=0, end=len(current_pa), level_pa=float(current_pa[0]), steady=True)
        return (still,), span
    runs = _clean_runs(current_pa, span * STILL, rate_hz)
    if runs is not None:
        return _clean_stretches(current_pa, runs), 2 * STILL * span
    return _measured_stretches(current_pa, rate_hz)


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


def _measured_stretches(current_pa: Floats, rate_hz: float) -> tuple[tuple[Stretch, ...], float]:
    """Return the stretches of a current that carries noise, artefacts or a ramp."""
    blocks = _quiet_blocks(current_pa, rate_hz)
    size = blocks.size
    runs = _settled_runs(blocks, shortest=round(ARTEFACT_S * rate_hz / size))
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
            steady=_is_steady(blocks, run),
        )
        for (start, end), run in zip(bounds, runs, strict=True)
    )
    return stretches, blocks.tolerance_pa


def _quiet_blocks(current_pa: Floats, rate_hz: float) -> Blocks:
    """Return block medians, of blocks just long enough to quieten the noise."""
    for seconds in BLOCKS_S:
        size = max(1, round(seconds * rate_hz))
        whole = len(current_pa) // size * size
        medians = np.median(current_pa[:whole].reshape(-1, size), axis=1).astype(np.float64)
        # 1.4826: from the median of a Gaussian's modulus to its deviation
        noise = 1.4826 * float(np.median(np.abs(np.diff(medians)))) / np.sqrt(2)
        span = float(np.ptp(medians))
        # Four deviations let a few blocks of a sweep stand out; joining equal neighbours mends it.
        tolerance = max(4 * noise, SAME * span)
        if tolerance <= span / 4:
            break
    return Blocks(medians=medians, size=size, tolerance_pa=tolerance)


def _settled_runs(blocks: Blocks, *, shortest: int) -> list[Run]:
    """Return the runs of blocks of one level or one slope, without the artefacts between them."""
    runs = _level_runs(blocks)
    # Joined runs have better known ends, which may join them further.
    while len(joined := _joined(runs, blocks, shortest=shortest)) < len(runs):
        runs = joined
    return [
        run
        for place, run in enumerate(runs)
        if run[1] - run[0] >= shortest or not _is_passage(runs, place, blocks)
    ]


def _is_passage(runs: Sequence[Run], place: int, blocks: Blocks) -> bool:
    """Tell whether a run lies on the way between two levels, unlike a pulse on one level."""
    if not 0 < place < len(runs) - 1:
        return False
    between = abs(blocks.tail(runs[place - 1]) - blocks.head(runs[place + 1]))
    return between > blocks.tolerance_pa


def _level_runs(blocks: Blocks) -> list[Run]:
    """Return the runs of blocks in which the current does not move, and what is between."""
    medians = blocks.medians
    moving = np.zeros(len(medians), dtype=bool)
    # Two blocks apart, so that an edge in the middle of a block shows its full height.
    moving[1:-1] = np.abs(medians[2:] - medians[:-2]) > blocks.tolerance_pa
    runs: list[Run] = []
    for run in _true_runs(~moving):
        # An edge moves three blocks at most; a longer move hides a pulse of a few blocks.
        if runs and run[0] - runs[-1][1] > 3:
            runs.append((runs[-1][1] + 1, run[0] - 1))
        runs.append(run)
    return runs


def _true_runs(mask: Bools) -> Iterator[Run]:
    """Yield start and stop of every run of True."""
    edges = np.flatnonzero(np.diff(np.concatenate(([0], mask.astype(np.int8), [0]))))
    yield from zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True)


def _joined(runs: Sequence[Run], blocks: Blocks, *, shortest: int) -> list[Run]:
    """Join runs that go on where an earlier one ended, over the artefacts of spikes between."""
    joined: list[Run] = []
    for run in runs:
        place = _continued(joined, run, blocks, shortest=shortest)
        if place is None:
            joined.append(run)
        else:
            joined[place:] = [(joined[place][0], run[1])]
    return joined


def _continued(joined: Sequence[Run], run: Run, blocks: Blocks, *, shortest: int) -> int | None:
    """Return the place of the run that `run` continues, if there is one."""
    level = blocks.head(run)
    for place in reversed(range(len(joined))):
        before = joined[place]
        if abs(blocks.tail(before) - level) <= blocks.tolerance_pa:
            return place
        # A brief pulse on the holding current is a stimulus, one on a step is an artefact.
        at_holding = abs(level - blocks.head(joined[0])) <= blocks.tolerance_pa
        if at_holding or before[1] - before[0] >= shortest:
            return None
    return None


def _is_steady(blocks: Blocks, run: Run) -> bool:
    """Tell whether a run ends about where it began."""
    medians = blocks.medians[run[0] : run[1]]
    quarter = max(1, len(medians) // 4)
    drift = float(np.median(medians[-quarter:]) - np.median(medians[:quarter]))
    return abs(drift) <= max(blocks.tolerance_pa, DRIFT * float(np.ptp(blocks.medians)))


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
