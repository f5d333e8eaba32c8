"""The simulated recording of one neuron: stimuli, the search for its rheobase, and its sweeps.

Every sweep starts with a test pulse. A long square, a short square or a ramp follows, with the
names that MIES uses.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

import numpy as np

from sts.base.types import Floats, Ints
from sts.recordings.simulated.membrane import (
    SPIKE_MV,
    STEP_MS,
    Membrane,
    Parameters,
    first_spike,
    integrate,
    membrane_of,
)

SIMULATED_RATE_HZ: Final = 1000 / STEP_MS
# One count of a stored current: slightly less than 0.1 pA, since the archives contain amplitudes
# such as 249.99998 pA.
A_PER_COUNT: Final = 1e-13 * (1 - 6e-8)
PA_PER_COUNT: Final = A_PER_COUNT * 1e12
# Largest current in 16 bits.
LARGEST_PA: Final = 3200
# One count of a stored voltage.
V_PER_COUNT: Final = 6.25e-6
MV_PER_COUNT: Final = V_PER_COUNT * 1e3

# Start and end of the test pulse, and its amplitude.
TEST_PULSE_SPAN_S: Final = (0.1, 0.12)
PULSE_PA: Final = -20.0
# Lengths of the stimuli.
LONG_SQUARE_S: Final = 1.0
SHORT_SQUARE_S: Final = 0.003
RAMP_LENGTH_S: Final = 3.0
# Duration after a stimulus: enough for troughs, and for the 0.1 s after a long square in a
# scalogram.
AFTER_LONG_S: Final = 0.25
AFTER_SHORT_S: Final = 0.5
# Amplitudes of the long squares: below 0 pA, and above rheobase.
SUBTHRESHOLD_PA: Final = tuple(range(-110, 0, 20))
SUPRATHRESHOLD_PA: Final = (20, 40, 60)
# Difference of the second sweep of a pair from rheobase.
SECOND_PA: Final = 40
SHORT_SQUARES: Final = 3

# Rheobase is a multiple of this.
SEARCH_PA: Final = 10
# One cell in a thousand in the archives needs more.
HIGHEST_RHEOBASE_PA: Final = 800
# The search integrates only this time before the onset, until the noise is stationary.
LEAD_S: Final = 0.1
# A peak between this and SPIKE_MV is a spike by some definitions only. The same is true for a spike
# in the last samples of a step, whose peak may be after the step.
DOUBTFUL_MV: Final = -30.0
LATE_SAMPLES: Final = 50
# No real neuron stays above this voltage for 50 ms at currents close to rheobase.
_BLOCKED_MV: Final = -30.0
_BLOCK_MS: Final = 50
# A spike that a short square evokes has its peak within this time after it.
EVOKED_WITHIN_S: Final = 0.01
# Largest number of recordings of the long squares: in a few percent of the cells, noise changes
# rheobase by a step between search and recording.
MOST_RECORDINGS: Final = 6


class Unfit(Exception):  # noqa: N818 - a verdict on a neuron, not an error of a program
    """Explain why a neuron does not suit the protocol."""


@dataclass(frozen=True, kw_only=True)
class Rig:
    """The stimuli, the holding current and the noise of the voltage."""

    onset_s: float
    noise_mv: float
    step_s: float = LONG_SQUARE_S
    holding_pa: float = 0.0
    grid_pa: int = SEARCH_PA
    """Rheobase is a multiple of this."""
    second_pa: int = SECOND_PA
    """Difference of the second sweep of a pair from rheobase."""


BENCHES: Final = {
    "PatchClamp": Rig(onset_s=1.02, noise_mv=0.033),
    "PatchSeq": Rig(onset_s=0.6, noise_mv=0.045),
}


@dataclass(frozen=True, kw_only=True)
class SimulatedStimulus:
    """One sweep's stimulus, in samples and pA."""

    name: str
    onset: int
    end: int
    samples: int
    amplitude_pa: float
    slope_pa_per_s: float = 0.0
    repeat: int = 0

    def row(self) -> Floats:
        """Return the stimulus in the form that the integrator needs."""
        pulse = [round(second * SIMULATED_RATE_HZ) for second in TEST_PULSE_SPAN_S]
        slope = self.slope_pa_per_s / SIMULATED_RATE_HZ
        return np.array([*pulse, PULSE_PA, self.onset, self.end, self.amplitude_pa, slope])

    def current_pa(self) -> Floats:
        """Return the command as it is stored in a file."""
        begin, end = (round(second * SIMULATED_RATE_HZ) for second in TEST_PULSE_SPAN_S)
        current_pa = np.zeros(self.samples, dtype=np.float32)
        current_pa[begin:end] = _round_to_counts(np.array(PULSE_PA))
        # One value of a step is enough, which saves memory.
        steps = np.arange(self.end - self.onset if self.slope_pa_per_s else 1)
        current_pa[self.onset : self.end] = _round_to_counts(
            self.amplitude_pa + self.slope_pa_per_s / SIMULATED_RATE_HZ * steps
        )
        return current_pa


def _round_to_counts(current_pa: Floats) -> Floats:
    counts: Floats = np.rint(current_pa / PA_PER_COUNT)
    return counts * PA_PER_COUNT


Recorded: TypeAlias = tuple[SimulatedStimulus, Ints]


@dataclass(frozen=True, kw_only=True, eq=False)
class Neuron:
    """A membrane with its noise, recorded as in one data set."""

    membrane: Membrane
    noise_pa: float
    seed: tuple[int, ...]
    bench: Rig

    def fires(self, stimulus: SimulatedStimulus) -> bool:
        """Tell whether a stimulus evokes a spike."""
        is_short = stimulus.end - stimulus.onset == round(SHORT_SQUARE_S * SIMULATED_RATE_HZ)
        spike = first_spike(
            self.membrane,
            stimulus.row()[None],
            self._key(stimulus),
            self.noise_pa,
            stimulus.onset - round(LEAD_S * SIMULATED_RATE_HZ),
            # A spike at the very end of a long square may have its peak after it.
            stimulus.end + (round(EVOKED_WITHIN_S * SIMULATED_RATE_HZ) if is_short else 0),
        )
        if 0 <= spike < stimulus.onset:
            raise Unfit("it fires without a current")
        return spike >= 0

    def record(self, stimuli: Sequence[SimulatedStimulus]) -> list[Recorded]:
        """Return the stimulus and the voltage, in counts, of every sweep."""
        samples = max(each.samples for each in stimuli)
        counts = np.empty((len(stimuli), samples), dtype=np.int16)
        integrate(
            self.membrane,
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


def make_neuron(parameters: Parameters, *, seed: tuple[int, ...], bench: Rig) -> Neuron:
    """Return the neuron with these parameters, ready for recording."""
    membrane = membrane_of(parameters, holding_pa=bench.holding_pa)
    return Neuron(membrane=membrane, noise_pa=parameters["noise_pa"], seed=seed, bench=bench)


def long_squares(rheobase_pa: int, *, bench: Rig) -> list[SimulatedStimulus]:
    """Return the steps below, at and above rheobase, in the order of recording."""
    search = [each for each in (rheobase_pa - bench.grid_pa, rheobase_pa) if each > 0]
    above = sorted({*SUPRATHRESHOLD_PA, bench.second_pa})
    steps = {
        "X1PS_SubThresh_DA_0": SUBTHRESHOLD_PA,
        "X3LP_Rheo_DA_0": search,
        "X4PS_SupraThresh_DA_0": [rheobase_pa + each for each in above],
    }
    return [
        _long_square(amplitude_pa, bench=bench, name=name)
        for name, amplitudes in steps.items()
        for amplitude_pa in amplitudes
    ]


def record_long_squares(neuron: Neuron, *, pair: bool = False) -> tuple[int, list[Recorded]]:
    """Return rheobase, the lowest amplitude that fires, and the long squares around it.

    Parameters
    ----------
    pair
        Return only the long squares from which the two sweeps are selected.
    """
    bench = neuron.bench
    rheobase_pa = _find_lowest(
        neuron, _long_square, step_pa=bench.grid_pa, highest_pa=HIGHEST_RHEOBASE_PA
    )
    for _ in range(MOST_RECORDINGS):
        firing = rheobase_pa, rheobase_pa + bench.second_pa
        selected = rheobase_pa - bench.grid_pa, *firing
        checked = SUBTHRESHOLD_PA[0], *firing, rheobase_pa + SUPRATHRESHOLD_PA[-1]
        squares = long_squares(rheobase_pa, bench=bench)
        if pair:
            squares = [each for each in squares if each.amplitude_pa in {*selected, *checked}]
        recorded = neuron.record(squares)
        lowest_pa = _lowest_recorded(recorded)
        if lowest_pa == rheobase_pa:
            # The same sweeps for every protocol, so that all protocols use the same neurons.
            if any(_is_blocked(v) for each, v in recorded if each.amplitude_pa in checked):
                raise Unfit("it stays depolarised")
            if pair:
                recorded = [each for each in recorded if each[0].amplitude_pa in selected]
            return rheobase_pa, recorded
        rheobase_pa = lowest_pa
    raise Unfit("its rheobase varies")


def _is_blocked(counts: Ints) -> bool:
    """Tell whether a voltage stays depolarised in or after a step."""
    every_ms = counts[:: round(1 / STEP_MS)]
    parts = every_ms[: len(every_ms) // _BLOCK_MS * _BLOCK_MS].reshape(-1, _BLOCK_MS)
    return bool(np.median(parts, axis=1).max() * MV_PER_COUNT > _BLOCKED_MV)


def short_square_pa(neuron: Neuron) -> int:
    """Return an amplitude at which short squares fire despite noise: a step above the lowest."""
    step_pa = 2 * SEARCH_PA
    return step_pa + _find_lowest(
        neuron, _short_square, step_pa=step_pa, highest_pa=LARGEST_PA - step_pa
    )


def record_others(neuron: Neuron, *, rheobase_pa: int, short_pa: int) -> list[Recorded]:
    """Return three short squares and a ramp of 3 s.

    The slope of the ramp is the multiple of 25 pA/s that takes it to 1.5 times rheobase or more.
    """
    square = _short_square(short_pa, bench=neuron.bench)
    squares = [replace(square, repeat=repeat) for repeat in range(SHORT_SQUARES)]
    slope = 25 * np.ceil(1.5 * rheobase_pa / RAMP_LENGTH_S / 25)
    ramp = _stimulus(
        "X7Ramp_DA_0",
        0.0,
        bench=neuron.bench,
        seconds=RAMP_LENGTH_S,
        after_s=AFTER_LONG_S,
        slope=slope,
    )
    return neuron.record(squares) + neuron.record([ramp])


def _long_square(
    amplitude_pa: float, *, bench: Rig, name: str = "X2LP_Search_DA_0"
) -> SimulatedStimulus:
    return _stimulus(name, amplitude_pa, bench=bench, seconds=bench.step_s, after_s=AFTER_LONG_S)


def _short_square(amplitude_pa: float, *, bench: Rig) -> SimulatedStimulus:
    return _stimulus(
        "X6SP_Rheo_DA_0", amplitude_pa, bench=bench, seconds=SHORT_SQUARE_S, after_s=AFTER_SHORT_S
    )


def _stimulus(
    name: str,
    amplitude_pa: float,
    *,
    bench: Rig,
    seconds: float,
    after_s: float,
    slope: float = 0.0,
) -> SimulatedStimulus:
    onset, length, after = (
        round(each * SIMULATED_RATE_HZ) for each in (bench.onset_s, seconds, after_s)
    )
    return SimulatedStimulus(
        name=name,
        onset=onset,
        end=onset + length,
        samples=onset + length + after,
        amplitude_pa=amplitude_pa,
        slope_pa_per_s=float(slope),
    )


def _find_lowest(
    neuron: Neuron, stimulus: Callable[..., SimulatedStimulus], *, step_pa: int, highest_pa: int
) -> int:
    """Return the lowest amplitude that fires, by doubling and then halving."""
    silent, firing, most = 0, 8, highest_pa // step_pa
    while not neuron.fires(stimulus(firing * step_pa, bench=neuron.bench)):
        if firing >= most:
            raise Unfit(f"it is silent at {most * step_pa} pA")
        silent, firing = firing, min(2 * firing, most)
    while firing - silent > 1:
        middle = (silent + firing) // 2
        if neuron.fires(stimulus(middle * step_pa, bench=neuron.bench)):
            firing = middle
        else:
            silent = middle
    return firing * step_pa


def _lowest_recorded(recorded: Sequence[Recorded]) -> int:
    """Return the lowest amplitude whose step contains a spike; refuse spikes outside steps."""
    spike = SPIKE_MV / MV_PER_COUNT
    amplitudes = []
    for stimulus, counts in recorded:
        if counts[: stimulus.onset].max() > spike:
            raise Unfit("it fires without a current")
        if counts[stimulus.onset : stimulus.end - LATE_SAMPLES].max() > spike:
            amplitudes.append(round(stimulus.amplitude_pa))
        elif counts[stimulus.onset : stimulus.end].max() > DOUBTFUL_MV / MV_PER_COUNT:
            raise Unfit("whether it fires is in doubt")
    if not amplitudes or min(amplitudes) < 0:
        raise Unfit("it fires at rest or not at all")
    return min(amplitudes)
