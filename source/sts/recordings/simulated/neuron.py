"""One neuron at the bench: its rheobase is searched, then every sweep is recorded."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

import numpy as np

from sts.base.types import Ints
from sts.recordings.simulated.integrate import SPIKE_MV, first_spike, integrate
from sts.recordings.simulated.membrane import Membrane, Parameters, membrane_of
from sts.recordings.simulated.protocol import (
    LARGEST_PA,
    RATE_HZ,
    SEARCH_PA,
    SHORT_SQUARES,
    Rig,
    SimulatedStimulus,
    long_square,
    long_squares,
    ramp,
    short_square,
)

Recorded: TypeAlias = tuple[SimulatedStimulus, Ints]

V_PER_COUNT: Final = 6.25e-6
MV_PER_COUNT: Final = V_PER_COUNT * 1e3
# One cell in a thousand of the archives needs more.
HIGHEST_RHEOBASE_PA: Final = 800
# The search leaves out the quiet time before the onset, but for what the noise needs to settle.
LEAD_S: Final = 0.1
# Between this and SPIKE_MV one definition sees a spike and another none; so with a spike that
# begins in the last millisecond of a step and peaks after it.
DOUBTFUL_MV: Final = -30.0
LATE: Final = 50
# A spike that a short square evokes peaks within so long after it.
WAIT_S: Final = 0.01
# Noise shifts rheobase by a step between search and recording in a few cells of a hundred.
TRIALS: Final = 6


class Unfit(Exception):  # noqa: N818 - a verdict on a neuron, not an error of a program
    """Say why a neuron cannot be taken through the protocol."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Neuron:
    """A membrane with its noise, on the bench of one data set."""

    membrane: Membrane
    noise_pa: float
    seed: tuple[int, ...]
    bench: Rig

    def fires(self, stimulus: SimulatedStimulus) -> bool:
        """Tell whether a stimulus evokes a spike."""
        membrane = self.membrane
        begin = stimulus.onset - round(LEAD_S * RATE_HZ)
        # A spike of the last moments of a long square need not peak inside it.
        end = stimulus.end + (round(WAIT_S * RATE_HZ) if stimulus.is_short else 0)
        spike = first_spike(
            membrane.table,
            membrane.constants,
            membrane.rest,
            membrane.step_ms,
            stimulus.row()[None],
            self._key(stimulus),
            self.noise_pa,
            begin,
            end,
        )
        if 0 <= spike < stimulus.onset:
            raise Unfit("it fires without a current")
        return spike >= 0

    def record(self, stimuli: Sequence[SimulatedStimulus]) -> list[Recorded]:
        """Return the voltage of every sweep, in counts, beside its stimulus."""
        samples = max(each.samples for each in stimuli)
        counts = np.empty((len(stimuli), samples), dtype=np.int16)
        membrane = self.membrane
        integrate(
            membrane.table,
            membrane.constants,
            membrane.rest,
            membrane.step_ms,
            np.array([each.row() for each in stimuli]),
            np.array([self._key(each) for each in stimuli]),
            self.noise_pa,
            self.bench.noise_mv,
            1 / MV_PER_COUNT,
            counts,
        )
        return [(each, counts[place, : each.samples]) for place, each in enumerate(stimuli)]

    def _key(self, stimulus: SimulatedStimulus) -> np.uint64:
        """Return the key of a sweep's noise: the same for the same stimulus."""
        length, level = stimulus.end - stimulus.onset, round(stimulus.amplitude_pa) + LARGEST_PA
        sequence = np.random.SeedSequence((*self.seed, length, level, stimulus.repeat))
        return np.uint64(sequence.generate_state(1, np.uint64)[0])


def neuron_of(parameters: Parameters, *, seed: tuple[int, ...], bench: Rig) -> Neuron:
    """Return a neuron at the bench."""
    return Neuron(
        membrane=membrane_of(parameters),
        noise_pa=parameters["noise_pa"],
        seed=seed,
        bench=bench,
    )


def record_long_squares(
    neuron: Neuron, squares: Callable[..., list[SimulatedStimulus]] = long_squares
) -> tuple[int, list[Recorded]]:
    """Return rheobase, and the long squares around it: it is the lowest of them that fires."""
    rheobase_pa = _lowest(neuron, long_square, step_pa=SEARCH_PA, highest_pa=HIGHEST_RHEOBASE_PA)
    for _ in range(TRIALS):
        recorded = neuron.record(squares(rheobase_pa, bench=neuron.bench))
        lowest_pa = _lowest_recorded(recorded)
        if lowest_pa == rheobase_pa:
            return rheobase_pa, recorded
        rheobase_pa = lowest_pa
    raise Unfit("its rheobase does not settle")


def short_square_pa(neuron: Neuron) -> int:
    """Return an amplitude at which short squares fire: a step above the lowest, for the noise."""
    step_pa = 2 * SEARCH_PA
    return step_pa + _lowest(neuron, short_square, step_pa=step_pa, highest_pa=LARGEST_PA - step_pa)


def record_others(neuron: Neuron, *, rheobase_pa: int, short_pa: int) -> list[Recorded]:
    """Return three short squares and a ramp."""
    squares = [
        replace(short_square(short_pa, bench=neuron.bench), repeat=repeat)
        for repeat in range(SHORT_SQUARES)
    ]
    return neuron.record(squares) + neuron.record([ramp(rheobase_pa, bench=neuron.bench)])


def _lowest(
    neuron: Neuron, make: Callable[..., SimulatedStimulus], *, step_pa: int, highest_pa: int
) -> int:
    """Return the lowest amplitude that fires, by doubling and then halving."""
    silent, firing = 0, 8
    while not neuron.fires(make(firing * step_pa, bench=neuron.bench)):
        if firing * step_pa >= highest_pa:
            raise Unfit(f"it is silent at {highest_pa} pA")
        silent, firing = firing, min(2 * firing, highest_pa // step_pa)
    while firing - silent > 1:
        middle = (silent + firing) // 2
        if neuron.fires(make(middle * step_pa, bench=neuron.bench)):
            firing = middle
        else:
            silent = middle
    return firing * step_pa


def _lowest_recorded(recorded: Sequence[Recorded]) -> int:
    """Return the lowest amplitude whose step holds a spike; refuse spikes where none belong."""
    level = SPIKE_MV / MV_PER_COUNT
    amplitudes = []
    for stimulus, counts in recorded:
        if counts[: stimulus.onset].max() > level:
            raise Unfit("it fires without a current")
        if counts[stimulus.onset : stimulus.end - LATE].max() > level:
            amplitudes.append(round(stimulus.amplitude_pa))
        elif counts[stimulus.onset : stimulus.end].max() > DOUBTFUL_MV / MV_PER_COUNT:
            raise Unfit("whether it fires is in doubt")
    if not amplitudes or min(amplitudes) < 0:
        raise Unfit("it fires at rest or not at all")
    return min(amplitudes)
