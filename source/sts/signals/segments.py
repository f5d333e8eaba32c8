"""The segments of a measured current between the jumps of its level, and the level of each.

A jump is where the levels of the 10 ms before and after a block differ most, by more than noise
causes. Jumps are then removed one by one: those that are smaller than the tolerance or than a share
of a larger jump nearby, those where the level changes gradually, and those around a short event. A
segment is steady if its parts have the same level and it is not rougher than the first segment.
Segments whose level, or whose sum of jumps, returns to the first level are at the holding current.
A slow drift common to all steady segments, a polynomial of time, is fitted and removed from their
levels.
"""

from collections.abc import Sequence
from itertools import combinations, pairwise
from typing import Final

import numpy as np
from scipy.ndimage import median_filter

from sts.base.types import Bools, Floats
from sts.signals.blocks import DEVIATION, NEAR_BLOCKS, SIDE, Blocks, Span, find_edge, upper_median

# A jump ends within a few blocks. At least this share of it must be visible between the levels of
# the `NEAR_BLOCKS` blocks on either side; a third of a ramp is visible there.
SHARP: Final = 0.5
# Charging currents follow a jump for this many blocks (50 ms). There another jump must have at
# least this share of the first one.
CHARGING: Final = 100
CHARGING_SHARE: Final = 0.05
# Largest number of jumps: a current with more is another kind of stimulus.
MAX_JUMPS: Final = 100
# Longest segment, in blocks, that can be a pulse or the artefact of a spike instead of a level
# (15 ms).
BRIEF: Final = 30
# Longest segment, in blocks, that always is a pulse or an artefact.
MOMENTARY: Final = 5
# A short segment beside an edge is an artefact if the smaller of its two jumps is below this share
# of the larger one.
UNEQUAL: Final = 0.25
# The current has returned to holding if it differs from it by at most this share of the largest
# step since then.
BACK: Final = 0.1
# Largest drift within a steady segment, in pA and as a share of its height. A ramp changes more.
STEP_DRIFT_PA: Final = 3.0
STEP_DRIFT: Final = 0.15
# A segment is injected noise if its roughness is above this share of its height and this many
# times that of the first segment.
ROUGH: Final = 0.1
ROUGHER: Final = 3.0
# Number of parts of a segment whose levels are compared.
SEGMENT_PARTS: Final = 8
# Highest degree of the drift. A further degree is used if it reduces the sum of squares by more
# than this many times the remaining mean square.
DEGREES: Final = 3
WORTH: Final = 6.0
# Blocks farther from their level than this many deviations are artefacts.
FARTHEST_DEVIATIONS: Final = 4.0


def find_segments(blocks: Blocks) -> list[Span]:
    """Return the segments of blocks between the jumps of the level; they cover the sweep."""
    jumps = _find_jumps(blocks)
    edges = [0, *(sorted(jumps) if len(jumps) <= MAX_JUMPS else []), len(blocks.means_pa)]
    while (
        wrong := _find_smallest_jump(blocks, edges) or _find_short_event(blocks, edges)
    ) is not None:
        del edges[wrong]
    return list(pairwise(edges))


def _find_jumps(blocks: Blocks) -> set[int]:
    """Return the blocks where the level jumps, the highest jump of every 10 ms."""
    sizes = np.abs(blocks.differences_pa)
    jumps: set[int] = set()
    free = sizes > blocks.tolerance_pa
    for place in np.argsort(-sizes, kind="stable").tolist():
        if not sizes[place] > blocks.tolerance_pa:
            break
        if free[place]:
            first, last = max(0, place - SIDE), min(len(blocks.means_pa), place + SIDE)
            levels = blocks.level_pa((first, place)), blocks.level_pa((place, last))
            jumps.add(first + find_edge(blocks.means_pa[first:last], *levels))
            free[max(0, place - SIDE) : place + SIDE + 1] = False
    return jumps


def _find_smallest_jump(blocks: Blocks, edges: list[int]) -> slice | None:
    """Return the index of the edge with the smallest jump if this jump is too small."""
    if len(edges) == 2:
        return None
    sizes = np.array([_measure_jump_pa(blocks, edges, place) for place in range(1, len(edges) - 1)])
    inner = np.array(edges[1:-1])
    is_near = np.abs(inner[:, np.newaxis] - inner) <= CHARGING
    largest_near = np.where(is_near, sizes, 0).max(axis=1)
    excess = sizes - np.maximum(blocks.tolerance_pa, CHARGING_SHARE * largest_near)
    smallest = int(np.argmin(excess))
    return slice(smallest + 1, smallest + 2) if excess[smallest] <= 0 else None


def _measure_jump_pa(blocks: Blocks, edges: list[int], place: int) -> float:
    """Return the size of a jump, 0 where the level changes gradually instead."""
    before, after = (edges[place - 1], edges[place]), (edges[place], edges[place + 1])
    far = blocks.jump_pa(before, after, blocks=2 * SIDE)
    near = blocks.jump_pa(before, after, blocks=NEAR_BLOCKS)
    return abs(far) if near * np.sign(far) > SHARP * abs(far) else 0.0


def _find_short_event(blocks: Blocks, edges: list[int]) -> slice | None:
    """Return the indices of the edges around the first short event that is not a level."""
    for first, last in combinations(range(1, len(edges) - 1), 2):
        if edges[last] - edges[first] > BRIEF:
            continue
        before = blocks.last_level_pa((edges[first - 1], edges[first]))
        after = blocks.first_level_pa((edges[last], edges[last + 1]))
        brief_pa = blocks.level_pa((edges[first], edges[last]))
        smallest_pa = CHARGING_SHARE * max(abs(brief_pa - before), abs(after - brief_pa))
        if abs(after - before) <= max(blocks.tolerance_pa, smallest_pa):
            return slice(first, last + 1)
        if last - first == 1:
            jumps = abs(brief_pa - before), abs(after - brief_pa)
            beyond = not min(before, after) <= brief_pa <= max(before, after)
            momentary = edges[last] - edges[first] <= MOMENTARY
            if beyond or momentary or min(jumps) < UNEQUAL * max(jumps):
                place = first if jumps[0] < jumps[1] else last
                return slice(place, place + 1)
    return None


def is_steady(blocks: Blocks, segments: Sequence[Span], place: int) -> bool:
    """Tell whether the level of a segment is constant; for a short segment it always is."""
    segment = segments[place]
    if segment[1] - segment[0] < 3 * SIDE:
        return True
    neighbours = segments[max(0, place - 1) : place + 2]
    jumps = [abs(blocks.jump_pa(*pair, blocks=2 * SIDE)) for pair in pairwise(neighbours)]
    height_pa = min(jumps, default=0.0)
    inner = blocks.means_pa[segment[0] + 1 : segment[1] - 1]
    levels_pa = [
        upper_median(part) for part in np.array_split(inner, min(SEGMENT_PARTS, len(inner) // SIDE))
    ]
    largest_pa = max(blocks.tolerance_pa, STEP_DRIFT_PA, STEP_DRIFT * height_pa)
    is_rough = _roughness_pa(blocks, segment) > max(
        ROUGH * height_pa, ROUGHER * _roughness_pa(blocks, segments[0]), blocks.tolerance_pa
    )
    return bool(np.ptp(levels_pa) <= largest_pa) and not is_rough


def _roughness_pa(blocks: Blocks, segment: Span) -> float:
    """Return the robust deviation of the blocks from their running median."""
    inner, _ = _inner_blocks(blocks, segment)
    running_median = median_filter(inner, size=2 * SIDE + 1, mode="nearest")
    return DEVIATION * upper_median(np.abs(inner - running_median))


def fit_levels(blocks: Blocks, segments: Sequence[Span], steady: Sequence[bool]) -> list[float]:
    """Return the levels of the segments, corrected for the drift of the current."""
    levels_pa = np.array([_mean_pa(blocks, segment) for segment in segments])
    if not steady[0]:
        # If the sweep starts with a ramp, its first blocks are at the holding current.
        levels_pa[0] = blocks.level_pa((0, 2 * SIDE))
    at_holding = _find_holding(blocks, segments, levels_pa)
    levels_pa[at_holding] = levels_pa[0]
    long = [
        place
        for place, segment in enumerate(segments)
        if steady[place] and segment[1] - segment[0] > SIDE
    ]
    if at_holding[long].any() and not at_holding[long].all():
        # All segments at the holding current share one level, that of group 0.
        groups = np.where(at_holding, 0, np.arange(len(segments)))
        grouped = [(segments[place], int(groups[place])) for place in long]
        for group, level in zip(*_fit_drift(blocks, grouped), strict=True):
            levels_pa[groups == group] = level
    return [float(level) for level in levels_pa]


def _find_holding(blocks: Blocks, segments: Sequence[Span], levels_pa: Floats) -> Bools:
    """Return which segments are at the holding current, by their levels or sums of jumps."""
    jumps_pa = [blocks.jump_pa(*pair, blocks=2 * SIDE) for pair in pairwise(segments)]
    sums_pa = np.concatenate(([0.0], np.cumsum(jumps_pa)))
    at_holding = np.zeros(len(segments), dtype=bool)
    at_holding[0] = True
    last = 0
    for place in range(1, len(segments)):
        largest_pa = float(np.abs(sums_pa[last:place] - sums_pa[last]).max())
        off_pa = min(abs(levels_pa[place] - levels_pa[last]), abs(sums_pa[place] - sums_pa[last]))
        if off_pa <= max(blocks.tolerance_pa, BACK * largest_pa):
            at_holding[place] = True
            last = place
    return at_holding


def _fit_drift(blocks: Blocks, grouped: Sequence[tuple[Span, int]]) -> tuple[Sequence[int], Floats]:
    """Fit one level per group of segments and a common drift; return the groups and levels."""
    times, values, groups = [], [], []
    for segment, group in grouped:
        inner, good = _inner_blocks(blocks, segment)
        first = segment[0] + (segment[1] - segment[0] - len(inner)) // 2
        times.append(np.flatnonzero(good) + first)
        values.append(inner[good])
        groups.append(np.full(int(good.sum()), group))
    value = np.concatenate(values)
    # -1 to 1, so that the drift is 0 in the middle of the sweep.
    time = np.concatenate(times) / len(blocks.means_pa) * 2 - 1
    names, index = np.unique(np.concatenate(groups), return_inverse=True)
    columns = [(index == place).astype(np.float64) for place in range(len(names))]
    best, rest = _least_squares(columns, value)
    # Only the holding current on both sides of a step shows a drift.
    degrees = DEGREES if grouped[0][1] == grouped[-1][1] else 0
    for degree in range(1, degrees + 1):
        columns.append(time**degree)
        fit, left = _least_squares(columns, value)
        if rest - left > WORTH * left / len(value):
            best = fit
        rest = min(rest, left)
    return names.tolist(), best[: len(names)]


def _least_squares(columns: Sequence[Floats], value: Floats) -> tuple[Floats, float]:
    """Return the coefficients of some columns, and the remaining sum of squares."""
    matrix = np.stack(columns)
    weights = np.linalg.solve(matrix @ matrix.T, matrix @ value)
    return weights, float(np.sum((value - weights @ matrix) ** 2))


def _inner_blocks(blocks: Blocks, segment: Span) -> tuple[Floats, Bools]:
    """Return the blocks of a segment without its ends, and which of them are not artefacts."""
    margin = 2 if segment[1] - segment[0] > SIDE else 0
    inner = blocks.means_pa[segment[0] + margin : segment[1] - margin]
    off_pa = np.abs(inner - upper_median(inner))
    deviation_pa = max(DEVIATION * upper_median(off_pa), blocks.noise_pa)
    return inner, off_pa <= FARTHEST_DEVIATIONS * deviation_pa


def _mean_pa(blocks: Blocks, segment: Span) -> float:
    inner, good = _inner_blocks(blocks, segment)
    return float(inner[good].mean())
