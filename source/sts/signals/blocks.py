"""A measured current as means of blocks of half a millisecond, without the hum of the mains.

The current is averaged over equal blocks. Hum is a sum of sines: the mains and its harmonics. Its
frequency is the one near 50 or 60 Hz at which the current minus its running median is strongest.
Only harmonics that are larger than the noise are subtracted. The level before and after each block
is the median of the 20 blocks on that side, so that spikes in the current do not affect it. The
noise is the robust deviation of the differences between successive blocks.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final, TypeAlias

import numpy as np
from scipy.ndimage import median_filter

from sts.base.types import Floats

Span: TypeAlias = tuple[int, int]
"""First index of some blocks or samples, and the index after the last."""

# Length of a block.
BLOCK_S: Final = 0.5e-3
# A level is the median of this many blocks: 10 ms. The artefact of a spike affects 1 or 2 of them.
SIDE: Final = 20
# Smallest number of blocks on one side of a position that give a level.
NEAR_BLOCKS: Final = 10
# Smallest difference of two levels that is a change: in deviations of the noise of such
# differences, and as a share of the range of the current.
CLEAR: Final = 5.0
_SMALLEST_SHARE: Final = 0.01
# Number of lowest and of highest blocks that this range excludes, as transients.
TRANSIENTS: Final = 5
# Ratio of a Gaussian's standard deviation to the median of its absolute value.
DEVIATION: Final = 1.4826
# Frequencies of the mains, and possible differences of the hum from them: the mains vary by a few
# hundredths of a hertz, clocks of amplifiers by less.
MAINS_HZ: Final = (50.0, 60.0)
OFFSETS_HZ: Final = tuple(offset / 20 for offset in range(-4, 5))
HARMONICS: Final = 3
# Length of the running median that is subtracted before hum is measured: two periods of 50 Hz.
HUM_LEVEL_S: Final = 0.04
# The remainder is clipped at this many deviations, so that spikes and edges are not hum.
HUM_CLIP: Final = 4.0
# Smallest amplitude of a sine that is hum, in deviations of the amplitude of noise alone.
HUM_CLEAR: Final = 5.0


@dataclass(frozen=True, kw_only=True, eq=False)
class Blocks:
    """Means of a current over equal blocks, without hum."""

    means_pa: Floats
    size: int
    """Samples in a block."""
    hum: list[tuple[float, float, float]]
    """Sines that were subtracted: cycles per block, amplitude in pA, phase."""

    @cached_property
    def noise_pa(self) -> float:
        """Return the standard deviation of a block, without artefacts."""
        moves = np.abs(np.diff(self.means_pa))
        return DEVIATION * upper_median(moves) / float(np.sqrt(2))

    @cached_property
    def _levels_before_pa(self) -> Floats:
        """Return the median of the `SIDE` blocks before each block, and of the last ones."""
        # Reflected, so that the levels at both ends are medians of the blocks that exist.
        side = min(SIDE, len(self.means_pa))
        padded = np.pad(self.means_pa, side, mode="symmetric")
        # The filter is centred: shift by half its size to the blocks before.
        medians: Floats = median_filter(padded, size=SIDE, mode="nearest")[SIDE // 2 :]
        return medians

    @cached_property
    def differences_pa(self) -> Floats:
        """Return the level after the start of each block minus the level before it."""
        count = len(self.means_pa)
        if count <= 2 * SIDE:
            return np.zeros(count)
        levels_pa = self._levels_before_pa
        differences: Floats = levels_pa[SIDE : SIDE + count] - levels_pa[:count]
        # A level of fewer blocks is noisier; too few blocks have no level.
        for few, share in ((SIDE, np.sqrt(0.5)), (NEAR_BLOCKS, 0.0)):
            differences[:few] *= share
            differences[-few:] *= share
        return differences

    @cached_property
    def tolerance_pa(self) -> float:
        """Return the smallest difference of two levels that noise, hum and drift cannot cause."""
        usual = DEVIATION * upper_median(np.abs(self.differences_pa))
        # The range excludes transients, but not short pulses: after these, currents of the cell
        # appear in the measured current.
        lowest, highest = TRANSIENTS, len(self.means_pa) - 1 - TRANSIENTS
        ordered = np.partition(self.means_pa, (lowest, highest))
        return max(CLEAR * usual, _SMALLEST_SHARE * float(ordered[highest] - ordered[lowest]))

    @property
    def range_pa(self) -> float:
        """Return the difference between the highest and the lowest level."""
        return float(np.ptp(self._levels_before_pa))

    def without_hum(self, current_pa: Floats, start: int, end: int) -> Floats:
        """Return the samples from `start` to `end` without hum."""
        # A block's mean is the value at its middle.
        places = (np.arange(start, end) + 0.5) / self.size - 0.5
        return current_pa[start:end] - _hum_at(places, self.hum)

    @cached_property
    def _medians_pa(self) -> dict[Span, float]:
        return {}

    def level_pa(self, span: Span) -> float:
        """Return the median of a span of blocks; it is cached, since it is needed repeatedly."""
        if span not in self._medians_pa:
            self._medians_pa[span] = upper_median(self.means_pa[span[0] : span[1]])
        return self._medians_pa[span]

    def first_level_pa(self, span: Span, blocks: int = 2 * SIDE) -> float:
        """Return the level at the start of a span, without the block that contains the edge."""
        return self.level_pa((min(span[1] - 1, span[0] + 1), min(span[1], span[0] + 1 + blocks)))

    def last_level_pa(self, span: Span, blocks: int = 2 * SIDE) -> float:
        """Return the level at the end of a span."""
        return self.level_pa((max(span[0], span[1] - 1 - blocks), max(span[0] + 1, span[1] - 1)))

    def jump_pa(self, before: Span, after: Span, *, blocks: int) -> float:
        """Return the first level of a span minus the last level of the span before it."""
        return self.first_level_pa(after, blocks) - self.last_level_pa(before, blocks)


def blocks_of(current_pa: Floats, rate_hz: float) -> Blocks:
    """Return the block means of a current, without the hum of the mains."""
    # An even number, so that a signal that alternates between samples cancels.
    size = max(2, round(BLOCK_S * rate_hz / 2) * 2)
    whole = len(current_pa) // size * size
    means_pa = current_pa[:whole].reshape(-1, size).mean(axis=1, dtype=np.float64)
    places = np.arange(float(len(means_pa)))
    hum = _find_hum(means_pa, rate_hz=rate_hz / size)
    if hum:
        # The running median removes a tenth of the hum, so a tenth remains: repeat once.
        hum += _find_hum(means_pa - _hum_at(places, hum), rate_hz=rate_hz / size)
    return Blocks(means_pa=means_pa - _hum_at(places, hum), size=size, hum=hum)


def _hum_at(places: Floats, sines: Sequence[tuple[float, float, float]]) -> Floats:
    """Return the sum of sines at positions in blocks."""
    hum_pa = np.zeros(len(places))
    for cycles, amplitude_pa, phase in sines:
        hum_pa += amplitude_pa * np.cos(2 * np.pi * cycles * places + phase)
    return hum_pa


def _find_hum(means_pa: Floats, *, rate_hz: float) -> list[tuple[float, float, float]]:
    """Return the sines of the hum in a current whose samples are the means of blocks."""
    level_pa = median_filter(means_pa, size=round(HUM_LEVEL_S * rate_hz) | 1, mode="nearest")
    rest_pa = means_pa - level_pa
    largest_pa = HUM_CLIP * DEVIATION * upper_median(np.abs(rest_pa))
    rest_pa = np.clip(rest_pa, -largest_pa, largest_pa)
    places = np.arange(len(rest_pa))
    best_hz = max(_find_strongest(rest_pa, rate_hz, mains_hz) for mains_hz in MAINS_HZ)[1]
    cycles = best_hz / rate_hz * np.arange(1, HARMONICS + 1)
    sines = 2 / len(rest_pa) * (np.exp(-2j * np.pi * np.outer(cycles, places)) @ rest_pa)
    noise_pa = float(rest_pa.std()) * np.sqrt(2 / len(rest_pa))
    amplitudes_pa, phases = np.abs(sines), np.angle(sines)
    return [
        (float(cycles[place]), float(amplitudes_pa[place]), float(phases[place]))
        for place in np.flatnonzero(amplitudes_pa > HUM_CLEAR * noise_pa)
    ]


def _find_strongest(rest_pa: Floats, rate_hz: float, mains_hz: float) -> tuple[float, float]:
    """Return the strength of the strongest sine near one frequency, and its frequency."""
    # Shifted down by the mains frequency, the hum is so slow that sums over 50 ms resolve it.
    size = max(1, round(0.05 * rate_hz))
    places = np.arange(len(rest_pa) // size * size)
    slow = (
        (rest_pa[: len(places)] * np.exp(-2j * np.pi * mains_hz / rate_hz * places))
        .reshape(-1, size)
        .sum(axis=1)
    )
    times_s = np.arange(len(slow)) * size / rate_hz
    strengths = np.abs(np.exp(-2j * np.pi * np.outer(OFFSETS_HZ, times_s)) @ slow)
    best = int(np.argmax(strengths))
    return float(strengths[best]), mains_hz + OFFSETS_HZ[best]


def find_edge(current_pa: Floats, before_pa: float, after_pa: float) -> int:
    """Return the first sample of the second level: the least-squares position of one jump."""
    low, high = sorted((before_pa, after_pa))
    # Clipped, so that a capacitive current has no more weight than a sample of the level.
    side = np.clip(current_pa.astype(np.float64), low, high) - (low + high) / 2
    towards = np.concatenate(([0.0], np.cumsum(side)))
    return int(np.argmin(towards) if after_pa > before_pa else np.argmax(towards))


def upper_median(values: Floats) -> float:
    """Return the median of finite numbers, the larger of two middle ones, without sorting."""
    place = len(values) // 2
    return float(np.partition(values, place)[place])
