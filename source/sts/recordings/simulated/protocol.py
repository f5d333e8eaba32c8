"""What is injected: a test pulse, then long squares, short squares or a ramp, named as by MIES."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from sts.base.types import Floats
from sts.recordings.simulated.integrate import STEP_MS

RATE_HZ: Final = 1000 / STEP_MS
# 0.1 pA; a hair less, as the amplitudes of the archives read like 249.99998 pA.
A_PER_COUNT: Final = 1e-13 * (1 - 6e-8)
PA_PER_COUNT: Final = A_PER_COUNT * 1e12
# 16 bits then reach this far.
LARGEST_PA: Final = 3200
PULSE_S: Final = (0.1, 0.12)
PULSE_PA: Final = -20.0
LONG_S: Final = 1.0
SHORT_S: Final = 0.003
RAMP_S: Final = 3.0
# Enough for troughs, and for the 0.1 s after a long square that a scalogram shows.
AFTER_LONG_S: Final = 0.25
AFTER_SHORT_S: Final = 0.5
SUBTHRESHOLD_PA: Final = tuple(range(-110, 0, 20))
SEARCH_PA: Final = 10
SUPRATHRESHOLD_PA: Final = (20, 40, 60)
# Above rheobase, of the second sweep of a pair.
STEP_PA: Final = 40
SHORT_SQUARES: Final = 3


@dataclass(frozen=True, kw_only=True)
class Rig:
    """What differs between the two data sets: where stimuli begin, and the recording noise."""

    onset_s: float
    noise_mv: float


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

    @property
    def is_short(self) -> bool:
        """Tell whether it is over before a spike has peaked."""
        return self.end - self.onset == round(SHORT_S * RATE_HZ)

    def row(self) -> Floats:
        """Return the stimulus as the integrator takes it."""
        pulse = [round(second * RATE_HZ) for second in PULSE_S]
        slope = self.slope_pa_per_s / RATE_HZ
        return np.array([*pulse, PULSE_PA, self.onset, self.end, self.amplitude_pa, slope])

    def current_pa(self) -> Floats:
        """Return the command as a file holds it."""
        begin, end = (round(second * RATE_HZ) for second in PULSE_S)
        current_pa = np.zeros(self.samples)
        current_pa[begin:end] = PULSE_PA
        steps = np.arange(self.end - self.onset)
        current_pa[self.onset : self.end] += (
            self.amplitude_pa + self.slope_pa_per_s / RATE_HZ * steps
        )
        return (np.rint(current_pa / PA_PER_COUNT) * PA_PER_COUNT).astype(np.float32)


def long_square(
    amplitude_pa: float, *, bench: Rig, name: str = "X2LP_Search_DA_0"
) -> SimulatedStimulus:
    """Return a step of one second."""
    return _stimulus(name, amplitude_pa, bench=bench, seconds=LONG_S, after_s=AFTER_LONG_S)


def short_square(amplitude_pa: float, *, bench: Rig) -> SimulatedStimulus:
    """Return a step of 3 ms."""
    return _stimulus(
        "X6SP_Rheo_DA_0", amplitude_pa, bench=bench, seconds=SHORT_S, after_s=AFTER_SHORT_S
    )


def ramp(rheobase_pa: int, *, bench: Rig) -> SimulatedStimulus:
    """Return a ramp of 3 s, in steps of 25 pA/s as steep as it takes to pass rheobase well."""
    slope = 25 * np.ceil(1.5 * rheobase_pa / RAMP_S / 25)
    return _stimulus(
        "X7Ramp_DA_0", 0.0, bench=bench, seconds=RAMP_S, after_s=AFTER_LONG_S, slope=float(slope)
    )


def long_squares(rheobase_pa: int, *, bench: Rig) -> list[SimulatedStimulus]:
    """Return the steps below, at and above rheobase, in the order of recording."""
    search = [each for each in (rheobase_pa - SEARCH_PA, rheobase_pa) if each > 0]
    steps = {
        "X1PS_SubThresh_DA_0": SUBTHRESHOLD_PA,
        "X3LP_Rheo_DA_0": search,
        "X4PS_SupraThresh_DA_0": [rheobase_pa + above for above in SUPRATHRESHOLD_PA],
    }
    return [
        long_square(amplitude_pa, bench=bench, name=name)
        for name, amplitudes in steps.items()
        for amplitude_pa in amplitudes
    ]


def pair_squares(rheobase_pa: int, *, bench: Rig) -> list[SimulatedStimulus]:
    """Return the long squares that a pair of sweeps is picked from, and none besides."""
    wanted = rheobase_pa - SEARCH_PA, rheobase_pa, rheobase_pa + STEP_PA
    squares = long_squares(rheobase_pa, bench=bench)
    return [each for each in squares if each.amplitude_pa in wanted]


def _stimulus(
    name: str,
    amplitude_pa: float,
    *,
    bench: Rig,
    seconds: float,
    after_s: float,
    slope: float = 0.0,
) -> SimulatedStimulus:
    onset, length, after = (round(each * RATE_HZ) for each in (bench.onset_s, seconds, after_s))
    return SimulatedStimulus(
        name=name,
        onset=onset,
        end=onset + length,
        samples=onset + length + after,
        amplitude_pa=amplitude_pa,
        slope_pa_per_s=slope,
    )
