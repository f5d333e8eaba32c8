"""The levels of a measured current that drifts, and which of its runs keep theirs."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Final

import numpy as np
from scipy.ndimage import median_filter

from sts.base.types import Bools, Floats
from sts.signals.blocks import FROM_MEDIAN, SIDE, Blocks, Run, quick_median

# The current is back at holding where it misses it by this share of the step between.
BACK: Final = 0.1
# A step may drift by so much, or by this share of its height: a ramp rises by more.
STEP_DRIFT_PA: Final = 3.0
STEP_DRIFT: Final = 0.15
# A step this rough, beside an even holding current, is noise that is injected.
ROUGH: Final = 0.1
ROUGHER: Final = 3.0
# As many parts of a run tell whether it is steady.
PARTS: Final = 8
# A drift is a polynomial. One more degree is fitted where it takes so many times the noise.
DEGREES: Final = 3
WORTH: Final = 6.0
# Farther from the level, in deviations, are artefacts.
FARTHEST: Final = 4.0


def is_steady(blocks: Blocks, runs: Sequence[Run], place: int) -> bool:
    """Tell whether a run keeps its level from begin to end, as one too brief to drift does."""
    run = runs[place]
    if run[1] - run[0] < 3 * SIDE:
        return True
    near = runs[max(0, place - 1) : place + 2]
    jumps = [abs(blocks.jump_pa(*pair, blocks=2 * SIDE)) for pair in pairwise(near)]
    height_pa = min(jumps, default=0.0)
    inner = blocks.means_pa[run[0] + 1 : run[1] - 1]
    levels_pa = [
        quick_median(part) for part in np.array_split(inner, min(PARTS, len(inner) // SIDE))
    ]
    most_pa = max(blocks.tolerance_pa, STEP_DRIFT_PA, STEP_DRIFT * height_pa)
    is_rough = _roughness_pa(blocks, run) > max(
        ROUGH * height_pa, ROUGHER * _roughness_pa(blocks, runs[0]), blocks.tolerance_pa
    )
    return bool(np.ptp(levels_pa) <= most_pa) and not is_rough


def fit_levels(blocks: Blocks, runs: Sequence[Run], steady: Sequence[bool]) -> list[float]:
    """Return the levels of the runs, as they would be had the current not drifted."""
    levels_pa = np.array([_mean_pa(blocks, run) for run in runs])
    if not steady[0]:
        # What a ramp begins with tells the holding current.
        levels_pa[0] = blocks.level_pa((0, 2 * SIDE))
    at_holding = _at_holding(blocks, runs, levels_pa)
    levels_pa[at_holding] = levels_pa[0]
    long = [place for place, run in enumerate(runs) if steady[place] and run[1] - run[0] > SIDE]
    if at_holding[long].any() and not at_holding[long].all():
        # All runs at the holding current have one level.
        own = np.where(at_holding, 0, np.arange(len(runs)))
        kinds, fitted_pa = _without_drift(
            blocks, [(runs[place], int(own[place])) for place in long]
        )
        for kind, level in zip(kinds, fitted_pa, strict=True):
            levels_pa[own == kind] = level
    return [float(level) for level in levels_pa]


def _without_drift(blocks: Blocks, runs: Sequence[tuple[Run, int]]) -> tuple[Sequence[int], Floats]:
    """Return the kinds of runs and their levels, of the best of some slow drifts that all share."""
    times, values, kinds = [], [], []
    for run, kind in runs:
        inner, good = _inner(blocks, run)
        first = run[0] + (run[1] - run[0] - len(inner)) // 2
        times.append(np.flatnonzero(good) + first)
        values.append(inner[good])
        kinds.append(np.full(int(good.sum()), kind))
    value = np.concatenate(values)
    time = np.concatenate(times) / len(blocks.means_pa) * 2 - 1
    names, index = np.unique(np.concatenate(kinds), return_inverse=True)
    columns = [(index == place).astype(np.float64) for place in range(len(names))]
    best, rest = _least_squares(columns, value)
    # A drift is told by the holding current on both sides of a step.
    degrees = DEGREES if runs[0][1] == runs[-1][1] else 0
    for degree in range(1, degrees + 1):
        columns.append(time**degree)
        fit, left = _least_squares(columns, value)
        if rest - left > WORTH * left / len(value):
            best = fit
        rest = min(rest, left)
    # The drift is none in the middle of the sweep.
    return names.tolist(), best[: len(names)]


def _least_squares(columns: Sequence[Floats], value: Floats) -> tuple[Floats, float]:
    """Return the weights of some columns, and the sum of squares that is left."""
    matrix = np.stack(columns)
    weights = np.linalg.solve(matrix @ matrix.T, matrix @ value)
    return weights, float(np.sum((value - weights @ matrix) ** 2))


def _at_holding(blocks: Blocks, runs: Sequence[Run], levels_pa: Floats) -> Bools:
    """Return which runs are at the holding current: back at its level, or by equal jumps."""
    jumps_pa = [blocks.jump_pa(*pair, blocks=2 * SIDE) for pair in pairwise(runs)]
    ways_pa = np.concatenate(([0.0], np.cumsum(jumps_pa)))
    at_holding = np.zeros(len(runs), dtype=bool)
    at_holding[0] = True
    last = 0
    for place in range(1, len(runs)):
        farthest_pa = float(np.abs(ways_pa[last:place] - ways_pa[last]).max())
        off_pa = min(abs(levels_pa[place] - levels_pa[last]), abs(ways_pa[place] - ways_pa[last]))
        if off_pa <= max(blocks.tolerance_pa, BACK * farthest_pa):
            at_holding[place] = True
            last = place
    return at_holding


def _inner(blocks: Blocks, run: Run) -> tuple[Floats, Bools]:
    """Return the blocks of a run without its ends, and which of them are no artefacts."""
    margin = 2 if run[1] - run[0] > SIDE else 0
    inner = blocks.means_pa[run[0] + margin : run[1] - margin]
    off_pa = np.abs(inner - quick_median(inner))
    deviation_pa = max(FROM_MEDIAN * quick_median(off_pa), blocks.noise_pa)
    return inner, off_pa <= FARTHEST * deviation_pa


def _mean_pa(blocks: Blocks, run: Run) -> float:
    inner, good = _inner(blocks, run)
    return float(inner[good].mean())


def _roughness_pa(blocks: Blocks, run: Run) -> float:
    """Return the deviation of the blocks from the level around each."""
    inner, _ = _inner(blocks, run)
    around = median_filter(inner, size=2 * SIDE + 1, mode="nearest")
    return FROM_MEDIAN * quick_median(np.abs(inner - around))
