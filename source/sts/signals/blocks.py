"""Noisy currents in blocks: which runs of them keep one level or slope, artefacts aside."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from sts.base.types import Bools, Floats

Run = tuple[int, int]
"""Start, and the first place after the end."""

# Levels nearer than this share of the span are one level,
SAME: Final = 5e-3
# and a level, the holding current too, may drift by this share of it.
DRIFT: Final = 0.05
# Capacitive currents of a spike leak into a measured stimulus for less than this.
ARTEFACT_S: Final = 5e-3
# Blocks are doubled until they are quiet, up to 8 ms.
BLOCK_S: Final = 0.5e-3
DOUBLINGS: Final = 4
# A current that changes its level more often is a stimulus of another kind.
MAX_RUNS: Final = 300
# As many blocks tell the level at the end of a run.
END_BLOCKS: Final = 10


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


def quiet_blocks(current_pa: Floats, rate_hz: float) -> Blocks:
    """Return block medians, of blocks just long enough to quieten the noise."""
    size = max(1, round(BLOCK_S * rate_hz))
    whole = len(current_pa) // size * size
    medians = np.median(current_pa[:whole].reshape(-1, size), axis=1).astype(np.float64)
    blocks = _with_tolerance(medians, size)
    for _ in range(DOUBLINGS):
        if blocks.tolerance_pa <= np.ptp(medians) / 4:
            break
        size *= 2
        medians = medians[: len(medians) // 2 * 2].reshape(-1, 2).mean(axis=1)
        blocks = _with_tolerance(medians, size)
    return blocks


def _with_tolerance(medians: Floats, size: int) -> Blocks:
    # From one block to the next, and as far apart as the ends of runs are compared: hum, drift.
    moves = [np.median(np.abs(medians[lag:] - medians[:-lag])) for lag in (1, END_BLOCKS)]
    # 1.4826: from the median of a Gaussian's modulus to its deviation
    noise = 1.4826 * float(max(moves)) / np.sqrt(2)
    # Four deviations let a few blocks of a sweep stand out; joining equal neighbours mends it.
    tolerance = max(4 * noise, SAME * float(np.ptp(medians)))
    return Blocks(medians=medians, size=size, tolerance_pa=tolerance)


def settled_runs(blocks: Blocks, rate_hz: float) -> list[Run]:
    """Return the runs of blocks of one level or one slope, without the artefacts between them."""
    shortest = round(ARTEFACT_S * rate_hz / blocks.size)
    runs = _level_runs(blocks)
    if len(runs) > MAX_RUNS:
        return [(0, len(blocks.medians))]
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


def is_steady(blocks: Blocks, run: Run) -> bool:
    """Tell whether a run ends about where it began, as one too brief to drift does."""
    medians = blocks.medians[run[0] : run[1]]
    if len(medians) < 2 * END_BLOCKS:
        return True
    quarter = len(medians) // 4
    drift = float(np.median(medians[-quarter:]) - np.median(medians[:quarter]))
    return abs(drift) <= max(blocks.tolerance_pa, DRIFT * float(np.ptp(blocks.medians)))
