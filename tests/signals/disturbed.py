"""What amplifiers add to a current when it is measured: each disturbance alone, and all of them."""

from collections.abc import Callable
from dataclasses import replace
from typing import Final

import numpy as np
from scipy.signal import lfilter

from sts.base.types import Floats
from sts.recordings.recording import Recording, Sweep

HOLDING_PA: Final = -35.0
NOISE_PA: Final = 5.0
NOISE_SHARE: Final = 0.05
ARTEFACT_PA: Final = 40.0
# The steepest upstroke, which the full artefact belongs to; a sweep without a spike shows less.
STEEPEST_MV_PER_MS: Final = 200.0
DRIFT_PA: Final = 2.0
HUM_PA: Final = 2.0


def noise(sweep: Sweep, rng: np.random.Generator) -> Floats:
    """Return white noise of 5 pA, or of 5 % of the highest step."""
    deviation_pa = max(NOISE_PA, NOISE_SHARE * float(np.ptp(sweep.current_pa)))
    return rng.normal(0, deviation_pa, len(sweep.current_pa))


def artefacts(sweep: Sweep, rng: np.random.Generator) -> Floats:
    """Return what the voltage's derivative leaks into the current, through a slow amplifier."""
    slope = np.gradient(sweep.voltage_mv.astype(np.float64)) * sweep.rate_hz / 1000
    share = -np.expm1(-1 / (sweep.rate_hz * 50e-6))
    smooth = lfilter([share], [1, share - 1], slope)
    return rng.choice([-1, 1]) * ARTEFACT_PA / STEEPEST_MV_PER_MS * smooth


def transients(sweep: Sweep, rng: np.random.Generator) -> Floats:
    """Return what charges the pipette at every edge: as high as the step, over within a ms."""
    added = np.zeros(len(sweep.current_pa))
    rises = np.diff(sweep.current_pa.astype(np.float64))
    for edge in np.flatnonzero(np.abs(rises) > 1)[:10]:
        tau = rng.uniform(0.1e-3, 0.3e-3) * sweep.rate_hz
        places = np.arange(min(len(added) - edge - 1, round(10 * tau)))
        height_pa = rng.choice([-1, 1]) * rises[edge]
        added[edge + 1 : edge + 1 + len(places)] += height_pa * np.exp(-places / tau)
    return added


def drift(sweep: Sweep, rng: np.random.Generator) -> Floats:
    """Return a slow sine, of which a sweep shows a half."""
    time = np.linspace(0, np.pi, len(sweep.current_pa))
    return DRIFT_PA * np.sin(time + rng.uniform(0, 2 * np.pi))


def hum(sweep: Sweep, rng: np.random.Generator) -> Floats:
    """Return the mains and their third harmonic."""
    time_s = np.arange(len(sweep.current_pa)) / sweep.rate_hz
    turn = 2 * np.pi * rng.choice([49.97, 50.0, 60.0, 60.02]) * time_s + rng.uniform(0, 2 * np.pi)
    return HUM_PA * (np.sin(turn) + 0.3 * np.sin(3 * turn))


DISTURBANCES: Final[dict[str, tuple[Callable[[Sweep, np.random.Generator], Floats], ...]]] = {
    "noise": (noise,),
    "artefacts": (artefacts,),
    "transients": (transients,),
    "drift": (drift,),
    "hum": (hum,),
    "all": (noise, artefacts, transients, drift, hum),
}


def disturbed_sweep(sweep: Sweep, kind: str, *, seed: int = 0) -> Sweep:
    """Return a sweep whose current was measured."""
    rng = np.random.default_rng((seed, sweep.number))
    current_pa = sweep.current_pa.astype(np.float64) + HOLDING_PA
    for add in DISTURBANCES[kind]:
        current_pa += add(sweep, rng)
    return replace(sweep, current_pa=current_pa.astype(np.float32))


def disturbed_recording(recording: Recording, kind: str, *, seed: int = 0) -> Recording:
    """Return a recording whose currents were measured."""
    sweeps = tuple(disturbed_sweep(sweep, kind, seed=seed) for sweep in recording.sweeps)
    return replace(recording, sweeps=sweeps)


def sweep_at_rate(sweep: Sweep, rate_hz: float) -> Sweep:
    """Return a sweep at another rate, its command held and its voltage interpolated."""
    count = len(sweep.voltage_mv)
    places = np.arange(round(count * rate_hz / sweep.rate_hz)) * (sweep.rate_hz / rate_hz)
    held = np.minimum(np.floor(places + 1e-6).astype(int), count - 1)
    voltage_mv = np.interp(places, np.arange(count), sweep.voltage_mv).astype(np.float32)
    return replace(sweep, rate_hz=rate_hz, voltage_mv=voltage_mv, current_pa=sweep.current_pa[held])
