"""Random rigs: the differences between laboratories, from the stimulus to the file.

A network that is trained on such recordings cannot rely on one rig. The ranges are those of usual
whole-cell recordings.
"""

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from scipy import fft, signal

from sts.base.types import Floats
from sts.recordings.recording import Recording, Sweep
from sts.recordings.simulated.neuron import Rig

# Onsets leave enough time after the test pulse.
_ONSET_S: Final = (0.3, 1.0)
# One step in three has the usual length.
_STEP_S: Final = (0.5, 2.0)
_USUAL_SHARE: Final = 1 / 3
_HOLDING_PA: Final = (-60.0, 30.0)
_GRIDS_PA: Final = (5, 10, 20, 30)
_SECOND_PA: Final = (30, 35, 40, 45, 50)
_RATES_HZ: Final = (4e3, 5e3, 10e3, 20e3, 50e3)
_FILTER_HZ: Final = (1.5e3, 10e3)
# A filter suits its sampling rate.
_FILTER_SHARE: Final = 0.4
_FILTER_POLES: Final = 4
_NOISE_MV: Final = (0.02, 0.5)
_COLOUR: Final = (0.0, 1.5)
_HUM_MV: Final = (0.003, 0.15)
_MAINS_HZ: Final = (50.0, 60.0)
_OFFSET_MV: Final = (-15.0, 15.0)
_BRIDGE_MOHM: Final = (-10.0, 20.0)
_DELAY_S: Final = (-1e-3, 1e-3)
# The part of the seed that separates the draws of noise from those of a rig.
_NOISE_SEED: Final = 1


@dataclass(frozen=True, kw_only=True)
class Amplifier:
    """The way of a voltage from the membrane to the file."""

    rate_hz: float
    filter_hz: float
    """Corner of a Bessel filter."""
    noise_mv: float
    """Deviation of the noise before the filter."""
    colour: float
    """The power of the noise falls with the frequency to this power: 0 is white, 1 pink."""
    hum_mv: float
    mains_hz: float
    offset_mv: float
    """Of the voltage, as from a junction potential."""
    bridge_mohm: float
    """Resistance of the electrode that is not compensated."""
    delay_s: float
    """Of the voltage after the current, beyond that of the filter."""


def draw_rig(seed: tuple[int, ...]) -> tuple[Rig, Amplifier]:
    """Return a random rig and its amplifier."""
    rng = np.random.default_rng(seed)
    rig = Rig(
        onset_s=rng.uniform(*_ONSET_S),
        noise_mv=0.0,
        step_s=1.0 if rng.random() < _USUAL_SHARE else rng.uniform(*_STEP_S),
        holding_pa=rng.uniform(*_HOLDING_PA),
        grid_pa=int(rng.choice(_GRIDS_PA)),
        second_pa=int(rng.choice(_SECOND_PA)),
    )
    rate_hz = float(rng.choice(_RATES_HZ))
    return rig, Amplifier(
        rate_hz=rate_hz,
        filter_hz=min(_draw_log(rng, _FILTER_HZ), _FILTER_SHARE * rate_hz),
        noise_mv=_draw_log(rng, _NOISE_MV),
        colour=rng.uniform(*_COLOUR),
        hum_mv=_draw_log(rng, _HUM_MV),
        mains_hz=float(rng.choice(_MAINS_HZ)),
        offset_mv=rng.uniform(*_OFFSET_MV),
        bridge_mohm=rng.uniform(*_BRIDGE_MOHM),
        delay_s=rng.uniform(*_DELAY_S),
    )


def _draw_log(rng: np.random.Generator, limits: tuple[float, float]) -> float:
    return float(np.exp(rng.uniform(*np.log(limits))))


def pass_amplifier(
    recording: Recording, rig: Rig, amplifier: Amplifier, *, seed: tuple[int, ...]
) -> Recording:
    """Return the recording as this amplifier stores it; its current contains the holding one."""
    rng = np.random.default_rng((*seed, _NOISE_SEED))
    sweeps = tuple(_pass_sweep(sweep, rig, amplifier, rng) for sweep in recording.sweeps)
    return replace(recording, sweeps=sweeps)


def _pass_sweep(sweep: Sweep, rig: Rig, amplifier: Amplifier, rng: np.random.Generator) -> Sweep:
    rate_hz, samples = sweep.rate_hz, len(sweep.voltage_mv)
    current_pa = sweep.current_pa.astype(np.float64) + rig.holding_pa
    # MOhm times pA is in microvolts.
    seen = sweep.voltage_mv + amplifier.offset_mv + 1e-3 * amplifier.bridge_mohm * current_pa
    seen += _make_noise(samples, amplifier, rng, rate_hz)
    poles = signal.bessel(_FILTER_POLES, amplifier.filter_hz, norm="mag", output="sos", fs=rate_hz)
    state = signal.sosfilt_zi(poles) * seen[0]
    filtered, _ = signal.sosfilt(poles, seen, zi=state)
    step = rate_hz / amplifier.rate_hz
    places = np.arange(int(samples / step)) * step
    return replace(
        sweep,
        voltage_mv=np.interp(
            places - amplifier.delay_s * rate_hz, np.arange(samples), filtered
        ).astype(np.float32),
        current_pa=current_pa[np.rint(places).astype(np.int64)].astype(np.float32),
        rate_hz=amplifier.rate_hz,
    )


def _make_noise(
    samples: int, amplifier: Amplifier, rng: np.random.Generator, rate_hz: float
) -> Floats:
    """Return coloured noise and hum in mV."""
    # The transform of some lengths is slow.
    length = fft.next_fast_len(samples, real=True)
    spectrum = fft.rfft(rng.standard_normal(length, dtype=np.float32))
    frequencies_hz = fft.rfftfreq(length, 1 / rate_hz).astype(np.float32)
    # Without its mean, which is an offset.
    spectrum[0] = 0
    spectrum[1:] *= frequencies_hz[1:] ** (-amplifier.colour / 2)
    noise = fft.irfft(spectrum, length)[:samples]
    turn = 2 * np.pi * amplifier.mains_hz / rate_hz
    hum = amplifier.hum_mv * np.sin(turn * np.arange(samples) + rng.uniform(0, 2 * np.pi))
    scaled: Floats = noise * (amplifier.noise_mv / noise.std()) + hum
    return scaled
