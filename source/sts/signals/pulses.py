"""Brief pulses of a measured current, told from the artefacts of spikes by their flat tops."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.ndimage import median_filter

from sts.base.types import Bools, Floats
from sts.signals.blocks import BLOCK_S, BRIEF, SIDE, Blocks, Run, find_edge, quick_median

AROUND: Final = round(50e-3 / BLOCK_S) | 1
# In deviations of the noise: there is something.
CLEAR: Final = 8.0
# Nor does less than this share of the highest matter.
LEAST: Final = 0.1
# A pulse lasts so long at least: a step's pause, back at the holding current, or one that is high.
LEAST_S: Final = 0.8e-3
BACK: Final = 0.1
HIGH: Final = 0.5
# Shorter than this, a pulse of less charge moves a membrane of 100 pF by no more than 0.6 mV.
LONG_S: Final = 2.5e-3
CHARGE_PA_S: Final = 60e-3
# Nearer than so many blocks to an edge there are capacitive currents.
EDGE: Final = 2
# The last quarters of a flat top differ by less than this share of the height.
UNEVEN: Final = 0.12
# The capacitive current of a spike has another half of the other sign, so near and so high. It
# is over soon; the edges of a longer pulse may look like it.
OTHER_HALF_S: Final = 3e-3
OTHER_HALF: Final = 0.25
# No spike leaks so much; the edges of such a pulse may.
SURE_PA: Final = 200.0


@dataclass(frozen=True, kw_only=True)
class Pulse:
    """A brief pulse of constant current upon a level."""

    start: int
    end: int
    height_pa: float


def find_pulses(
    current_pa: Floats,
    blocks: Blocks,
    runs: Sequence[Run],
    *,
    bounds: Sequence[Run],
    levels_pa: Sequence[float],
) -> list[Pulse]:
    """Return the pulses of at most 15 ms inside the runs of a current, in time order.

    The bounds are those of the runs, in samples.
    """
    pulses: list[Pulse] = []
    for run, (begin, stop), level_pa in zip(runs, bounds, levels_pa, strict=True):
        for excursion in _excursions(blocks, run):
            pulse = _pulse(current_pa, blocks, excursion, level_pa - levels_pa[0])
            if pulse is not None and begin < pulse.start < pulse.end < stop - EDGE * blocks.size:
                pulses.append(pulse)
    return sorted(pulses, key=lambda pulse: pulse.start)


@dataclass(frozen=True, kw_only=True)
class _Excursion:
    """Blocks that lie off the level of the run that they are in."""

    blocks: Run
    level_pa: float
    height_pa: float
    has_other_half: bool


def _excursions(blocks: Blocks, run: Run) -> Iterator[_Excursion]:
    if run[1] - run[0] < SIDE:
        return
    means_pa = blocks.means_pa[run[0] : run[1]]
    level_pa = median_filter(means_pa, size=AROUND, mode="nearest")
    rest_pa = means_pa - level_pa
    near = round(OTHER_HALF_S / BLOCK_S)
    for sign in (1, -1):
        off = sign * rest_pa > max(CLEAR * blocks.noise_pa, LEAST * float(np.ptp(rest_pa)))
        for first, last in _true_runs(off):
            if last - first > BRIEF or first < EDGE or last > len(off) - EDGE:
                continue
            height_pa = quick_median(rest_pa[first:last])
            around = np.concatenate(
                (rest_pa[max(0, first - near) : first], rest_pa[last : last + near])
            )
            other_pa = float((-sign * around).max())
            yield _Excursion(
                blocks=(run[0] + first, run[0] + last),
                level_pa=float(level_pa[first]),
                height_pa=height_pa,
                has_other_half=other_pa > max(OTHER_HALF * abs(height_pa), CLEAR * blocks.noise_pa),
            )


def _true_runs(mask: Bools) -> list[Run]:
    """Return start and stop of every run of True."""
    edges = np.flatnonzero(np.diff(np.concatenate(([0], mask.astype(np.int8), [0]))))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))


def _pulse(
    current_pa: Floats, blocks: Blocks, excursion: _Excursion, away_pa: float
) -> Pulse | None:
    """Return the pulse that an excursion is, None if it is an artefact."""
    size, (first, last) = blocks.size, excursion.blocks
    begin, middle, stop = (first - 1) * size, (first + last) * size // 2, (last + 1) * size
    rest_pa = blocks.without_hum(current_pa, begin, stop) - excursion.level_pa
    start = find_edge(rest_pa[: middle - begin], 0.0, excursion.height_pa)
    end = middle - begin + find_edge(rest_pa[middle - begin :], excursion.height_pa, 0.0)
    duration_s = (end - start) * BLOCK_S / size
    on_step = abs(away_pa) > blocks.tolerance_pa
    is_high = abs(excursion.height_pa) >= SURE_PA and not on_step
    is_sure = duration_s >= LONG_S or is_high
    if excursion.has_other_half and not is_sure:
        return None
    if not _matters(blocks, duration_s, away_pa=away_pa, height_pa=excursion.height_pa):
        return None
    if not _is_flat(rest_pa[start:end], blocks):
        return None
    # The first half may hold the capacitive current of the pulse's own edge.
    height_pa = quick_median(rest_pa[(start + end) // 2 : end])
    return Pulse(start=begin + start, end=begin + end, height_pa=height_pa)


def _matters(blocks: Blocks, duration_s: float, *, away_pa: float, height_pa: float) -> bool:
    """Tell whether a pulse is long and high enough, upon a level so far from holding."""
    has_charge = abs(height_pa) * duration_s >= CHARGE_PA_S
    if duration_s < LEAST_S:
        return False
    if abs(away_pa) <= blocks.tolerance_pa:
        return has_charge
    if abs(away_pa + height_pa) <= BACK * abs(away_pa) + 2 * blocks.noise_pa:
        return has_charge or duration_s >= LONG_S
    return duration_s >= LONG_S and abs(height_pa) >= HIGH * abs(away_pa)


def _is_flat(top_pa: Floats, blocks: Blocks) -> bool:
    """Tell whether a pulse keeps its height, as none of a spike's capacitive currents does."""
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
