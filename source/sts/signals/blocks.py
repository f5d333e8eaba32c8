"""A measured current in blocks of half a millisecond: its noise, its hum, its jumps."""

from dataclasses import dataclass
from functools import cached_property
from itertools import combinations, pairwise
from typing import Final

import numpy as np
from scipy.ndimage import median_filter

from sts.base.types import Floats

Run = tuple[int, int]
"""Start, and the first place after the end."""

BLOCK_S: Final = 0.5e-3
# The level on either side of a jump is the median over so many blocks: 10 ms, of which the
# capacitive current of a spike spoils 1 or 2.
SIDE: Final = 20
# A jump is over within a few blocks: half of it shows between the medians of so many blocks on
# either side. A ramp shows a third.
NEAR: Final = 10
SHARP: Final = 0.5
# So many deviations of the noise are a jump,
CLEAR: Final = 5.0
# but no jump is less than this share of the span.
LEAST_SHARE: Final = 0.01
# nor than this share of a jump within 50 ms.
LEAST_OF_NEXT: Final = 0.05
CHARGED: Final = 100
# A current that jumps more often is a stimulus of another kind.
MAX_JUMPS: Final = 100
# What is over in 15 ms is no level, but a pulse or the artefact of a spike.
BRIEF: Final = 30
# Beside an edge, such an artefact is told by the lesser of its own two edges.
LEAST_OF_TWO: Final = 0.25
MOMENTARY: Final = 5
# From the median of a Gaussian's modulus to its deviation.
FROM_MEDIAN: Final = 1.4826
# The mains wander by a few hundredths of a hertz, clocks of amplifiers by less.
MAINS_HZ: Final = (50.0, 60.0)
OFF_HZ: Final = tuple(off / 20 for off in range(-4, 5))
HARMONICS: Final = 3
# Levels are followed over two periods of the slower mains.
HUM_LEVEL_S: Final = 0.04
# Spikes and edges must not count as hum.
HUM_FARTHEST: Final = 4.0
# In deviations of what noise alone gives: hum is there.
HUM_CLEAR: Final = 5.0


@dataclass(frozen=True, kw_only=True, eq=False)
class Hum:
    """A sum of sines: none where there is no hum."""

    turns: Floats
    """Of each sine, in periods a block."""
    sizes_pa: Floats
    phases: Floats

    def at(self, blocks: Floats) -> Floats:
        """Return the hum at some places, counted in blocks."""
        hum_pa = np.zeros(len(blocks))
        for turn, size_pa, phase in zip(self.turns, self.sizes_pa, self.phases, strict=True):
            hum_pa += size_pa * np.cos(2 * np.pi * turn * blocks + phase)
        return hum_pa


@dataclass(frozen=True, kw_only=True, eq=False)
class Blocks:
    """Means of a current over equal blocks, without hum."""

    means_pa: Floats
    size: int
    """Samples in a block."""
    hum: Hum

    @cached_property
    def noise_pa(self) -> float:
        """Return the deviation of a block that noise makes, artefacts aside."""
        moves = np.abs(np.diff(self.means_pa))
        return FROM_MEDIAN * quick_median(moves) / float(np.sqrt(2))

    @cached_property
    def _sides_pa(self) -> Floats:
        """Return the median of the `SIDE` blocks before each block, and of the last ones."""
        # Reflected, so that a side of fewer blocks at either end has no other level than these.
        side = min(SIDE, len(self.means_pa))
        padded = np.pad(self.means_pa, side, mode="symmetric")
        # The filter looks to the left by half its size.
        medians: Floats = median_filter(padded, size=SIDE, mode="nearest")[SIDE // 2 :]
        return medians

    @cached_property
    def differences_pa(self) -> Floats:
        """Return by how much the level after the begin of each block differs from that before."""
        count = len(self.means_pa)
        if count <= 2 * SIDE:
            return np.zeros(count)
        differences: Floats = self._sides_pa[SIDE : SIDE + count] - self._sides_pa[:count]
        # Fewer blocks are noisier, and too few tell nothing.
        for few, share in ((SIDE, np.sqrt(0.5)), (NEAR, 0.0)):
            differences[:few] *= share
            differences[-few:] *= share
        return differences

    @cached_property
    def tolerance_pa(self) -> float:
        """Return the least difference of two levels that noise, hum and drift cannot make."""
        usual = FROM_MEDIAN * quick_median(np.abs(self.differences_pa))
        # Transients aside, but with brief pulses, after which the cell's own currents leak in.
        lowest, highest = MOMENTARY, len(self.means_pa) - 1 - MOMENTARY
        ordered = np.partition(self.means_pa, (lowest, highest))
        return max(CLEAR * usual, LEAST_SHARE * float(ordered[highest] - ordered[lowest]))

    @property
    def span_pa(self) -> float:
        """Return how far the levels lie apart."""
        return float(np.ptp(self._sides_pa))

    def without_hum(self, current_pa: Floats, start: int, end: int) -> Floats:
        """Return some samples of the current, without hum."""
        # A block's mean is the value at its middle.
        places = (np.arange(start, end) + 0.5) / self.size - 0.5
        return current_pa[start:end] - self.hum.at(places)

    @cached_property
    def _known_pa(self) -> dict[Run, float]:
        return {}

    def level_pa(self, run: Run) -> float:
        """Return the median of some blocks; asked for again and again, it is remembered."""
        if run not in self._known_pa:
            self._known_pa[run] = quick_median(self.means_pa[run[0] : run[1]])
        return self._known_pa[run]

    def head_pa(self, run: Run, blocks: int = 2 * SIDE) -> float:
        """Return the level at the begin of a run; the block of its edge belongs to neither side."""
        return self.level_pa((min(run[1] - 1, run[0] + 1), min(run[1], run[0] + 1 + blocks)))

    def tail_pa(self, run: Run, blocks: int = 2 * SIDE) -> float:
        """Return the level at the end of a run."""
        return self.level_pa((max(run[0], run[1] - 1 - blocks), max(run[0] + 1, run[1] - 1)))

    def jump_pa(self, before: Run, after: Run, *, blocks: int) -> float:
        """Return how far the first blocks of a run lie from the last ones of the run before it."""
        return self.head_pa(after, blocks) - self.tail_pa(before, blocks)


def blocks_of(current_pa: Floats, rate_hz: float) -> Blocks:
    """Return the block means of a current, without the hum of the mains."""
    # Even, so that what alternates from sample to sample cancels.
    size = max(2, round(BLOCK_S * rate_hz / 2) * 2)
    whole = len(current_pa) // size * size
    means = current_pa[:whole].reshape(-1, size).mean(axis=1, dtype=np.float64)
    places = np.arange(float(len(means)))
    hum = _find_hum(means, rate_hz=rate_hz / size)
    if len(hum.turns):
        # The level that is taken off first holds a tenth of the hum: once more.
        rest = _find_hum(means - hum.at(places), rate_hz=rate_hz / size)
        hum = Hum(
            turns=np.concatenate((hum.turns, rest.turns)),
            sizes_pa=np.concatenate((hum.sizes_pa, rest.sizes_pa)),
            phases=np.concatenate((hum.phases, rest.phases)),
        )
    return Blocks(means_pa=means - hum.at(places), size=size, hum=hum)


def level_runs(blocks: Blocks) -> list[Run]:
    """Return the runs of blocks between the jumps of the level; together they are the sweep."""
    jumps = _jumps(blocks)
    edges = [0, *(sorted(jumps) if len(jumps) <= MAX_JUMPS else []), len(blocks.means_pa)]
    while (false := _slight(blocks, edges) or _brief(blocks, edges)) is not None:
        del edges[false]
    return list(pairwise(edges))


def _slight(blocks: Blocks, edges: list[int]) -> slice | None:
    """Return the place of the edge that is the least jump of all, if it is none."""
    if len(edges) == 2:
        return None
    sizes = np.array([_jump_pa(blocks, edges, place) for place in range(1, len(edges) - 1)])
    excess = sizes - np.maximum(blocks.tolerance_pa, LEAST_OF_NEXT * _near(edges, sizes))
    least = int(np.argmin(excess))
    return slice(least + 1, least + 2) if excess[least] <= 0 else None


def _near(edges: list[int], sizes: Floats) -> Floats:
    """Return the greatest jump near each jump: charging leaks into the level that follows it."""
    inner = np.array(edges[1:-1])
    is_near = np.abs(inner[:, np.newaxis] - inner) <= CHARGED
    greatest: Floats = np.where(is_near, sizes, 0).max(axis=1)
    return greatest


def _brief(blocks: Blocks, edges: list[int]) -> slice | None:
    """Return the places of edges about something brief that is no level, the first there is."""
    for first, last in combinations(range(1, len(edges) - 1), 2):
        if edges[last] - edges[first] > BRIEF:
            continue
        before = blocks.tail_pa((edges[first - 1], edges[first]))
        after = blocks.head_pa((edges[last], edges[last + 1]))
        brief_pa = blocks.level_pa((edges[first], edges[last]))
        least_pa = LEAST_OF_NEXT * max(abs(brief_pa - before), abs(after - brief_pa))
        if abs(after - before) <= max(blocks.tolerance_pa, least_pa):
            return slice(first, last + 1)
        if last - first == 1:
            jumps = abs(brief_pa - before), abs(after - brief_pa)
            beyond = not min(before, after) <= brief_pa <= max(before, after)
            momentary = edges[last] - edges[first] <= MOMENTARY
            if beyond or momentary or min(jumps) < LEAST_OF_TWO * max(jumps):
                place = first if jumps[0] < jumps[1] else last
                return slice(place, place + 1)
    return None


def _jump_pa(blocks: Blocks, edges: list[int], place: int) -> float:
    """Return the size of a jump, 0 where the level slides instead."""
    before, after = (edges[place - 1], edges[place]), (edges[place], edges[place + 1])
    far = blocks.jump_pa(before, after, blocks=2 * SIDE)
    near = blocks.jump_pa(before, after, blocks=NEAR)
    return abs(far) if near * np.sign(far) > SHARP * abs(far) else 0.0


def _jumps(blocks: Blocks) -> set[int]:
    """Return the blocks where the level jumps, the highest jump of every 10 ms."""
    sizes = np.abs(blocks.differences_pa)
    jumps: set[int] = set()
    free = sizes > blocks.tolerance_pa
    for place in np.argsort(-sizes, kind="stable").tolist():
        if not sizes[place] > blocks.tolerance_pa:
            break
        if free[place]:
            jumps.add(_place(blocks, place))
            free[max(0, place - SIDE) : place + SIDE + 1] = False
    return jumps


def _place(blocks: Blocks, near: int) -> int:
    """Return the first block of the second level of a jump that is near."""
    first, last = max(0, near - SIDE), min(len(blocks.means_pa), near + SIDE)
    levels = blocks.level_pa((first, near)), blocks.level_pa((near, last))
    return first + find_edge(blocks.means_pa[first:last], *levels)


def find_edge(current_pa: Floats, before_pa: float, after_pa: float) -> int:
    """Return the first sample of the second level: the least-squares place of a single jump."""
    low, high = sorted((before_pa, after_pa))
    # Clipped, so that a capacitive spike weighs no more than a sample of the level.
    side = np.clip(current_pa.astype(np.float64), low, high) - (low + high) / 2
    towards = np.concatenate(([0.0], np.cumsum(side)))
    return int(np.argmin(towards) if after_pa > before_pa else np.argmax(towards))


def _find_hum(means_pa: Floats, *, rate_hz: float) -> Hum:
    """Return the hum in a current whose samples are means of half a millisecond."""
    level_pa = median_filter(means_pa, size=round(HUM_LEVEL_S * rate_hz) | 1, mode="nearest")
    rest_pa = means_pa - level_pa
    farthest_pa = HUM_FARTHEST * FROM_MEDIAN * quick_median(np.abs(rest_pa))
    rest_pa = np.clip(rest_pa, -farthest_pa, farthest_pa)
    places = np.arange(len(rest_pa))
    best_hz = max(_strength(rest_pa, rate_hz, mains_hz) for mains_hz in MAINS_HZ)[1]
    turns = best_hz / rate_hz * np.arange(1, HARMONICS + 1)
    sines = 2 / len(rest_pa) * (np.exp(-2j * np.pi * np.outer(turns, places)) @ rest_pa)
    noise_pa = float(rest_pa.std()) * np.sqrt(2 / len(rest_pa))
    clear = np.abs(sines) > HUM_CLEAR * noise_pa
    return Hum(turns=turns[clear], sizes_pa=np.abs(sines[clear]), phases=np.angle(sines[clear]))


def _strength(rest_pa: Floats, rate_hz: float, mains_hz: float) -> tuple[float, float]:
    """Return how strong the hum near one frequency is, and its frequency."""
    # Turned back by its usual frequency, the hum moves so slowly that sums over 50 ms follow it.
    size = max(1, round(0.05 * rate_hz))
    places = np.arange(len(rest_pa) // size * size)
    slow = (
        (rest_pa[: len(places)] * np.exp(-2j * np.pi * mains_hz / rate_hz * places))
        .reshape(-1, size)
        .sum(axis=1)
    )
    times_s = np.arange(len(slow)) * size / rate_hz
    strengths = np.abs(np.exp(-2j * np.pi * np.outer(OFF_HZ, times_s)) @ slow)
    best = int(np.argmax(strengths))
    return float(strengths[best]), mains_hz + OFF_HZ[best]


def quick_median(values: Floats) -> float:
    """Return the middle of some finite numbers, of two middle ones the greater: a quick median."""
    place = len(values) // 2
    return float(np.partition(values, place)[place])
