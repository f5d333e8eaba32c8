"""Sweeps and cells whose truth is known by construction."""

from collections.abc import Sequence
from pathlib import Path

import h5py
import numpy as np

from sts.base.types import Floats
from sts.recordings.recording import Recording, Sweep
from sts.signals.steps import Ramp, Step, stimulus_of

# Corners of one made-up spike: ms after its threshold, mV.
THRESHOLD_MV, PEAK_MV, TROUGH_MV = -50.0, 30.0, -75.0
UPSTROKE, DOWNSTROKE = 200.0, -100.0
PEAK_MS, TROUGH_MS = 0.4, 1.45
REST_MV = -70.0


def sweep_of(
    voltage_mv: Floats, current_pa: Floats, rate_hz: float, *, number: int = 0, name: str = ""
) -> Sweep:
    return Sweep(
        voltage_mv=np.asarray(voltage_mv, dtype=np.float32),
        current_pa=np.asarray(current_pa, dtype=np.float32),
        rate_hz=float(rate_hz),
        name=name,
        number=number,
    )


def recording_of(sweeps: Sequence[Sweep]) -> Recording:
    return Recording(specimen_id="made up", sweeps=tuple(sweeps))


def long_square(sweep: Sweep) -> Step | None:
    """Return the first step of 0.4 to 2 s that stands alone, if the sweep has one."""
    return stimulus_of(sweep).long_square


def short_square(sweep: Sweep) -> Step | None:
    """Return the one positive step of 1 to 10 ms of a sweep, after an optional test pulse."""
    return stimulus_of(sweep).short_square


def ramp(sweep: Sweep) -> Ramp | None:
    """Return the rising ramp of a sweep, if it has one."""
    return stimulus_of(sweep).ramp


def current_of(
    pulses: Sequence[tuple[float, float, float]],
    *,
    rate_hz: float = 50_000,
    duration_s: float = 2.2,
    holding_pa: float = 0.0,
) -> Floats:
    """Return a command of pulses (onset s, length s, amplitude pA) upon a holding current."""
    current_pa = np.full(round(duration_s * rate_hz), float(holding_pa))
    for onset_s, length_s, amplitude_pa in pulses:
        current_pa[round(onset_s * rate_hz) : round((onset_s + length_s) * rate_hz)] += amplitude_pa
    return current_pa


def spike_train(
    times_s: Sequence[float], *, rate_hz: float, duration_s: float, trough_mv: float = TROUGH_MV
) -> Floats:
    """Return a voltage of straight lines that spikes at the given thresholds.

    A slow rise of 1 mV/ms leads to every threshold from rest or, between near spikes, from what
    that slope leaves of the way from the trough.
    """
    trough_ms = PEAK_MS + (trough_mv - PEAK_MV) / DOWNSTROKE
    knots_ms, knots_mv = [0.0], [REST_MV]
    for time_ms in 1000 * np.asarray(times_s, dtype=np.float64):
        begin_ms = max(time_ms - (THRESHOLD_MV - REST_MV), knots_ms[-1] + 1e-6)
        knots_ms += [begin_ms, time_ms, time_ms + PEAK_MS, time_ms + trough_ms]
        knots_mv += [
            max(REST_MV, THRESHOLD_MV - (time_ms - begin_ms)),
            THRESHOLD_MV,
            PEAK_MV,
            trough_mv,
        ]
    knots_ms += [knots_ms[-1] + 20.0, 1000 * duration_s + 20.0]
    knots_mv += [REST_MV, REST_MV]
    samples_ms = np.arange(round(duration_s * rate_hz)) * (1000 / rate_hz)
    return np.interp(samples_ms, knots_ms, knots_mv)


def charging(
    current_pa: Floats, *, rate_hz: float, resistance_mohm: float, tau_ms: float
) -> Floats:
    """Return the voltage of a resistor and a capacitor, exact at every sample."""
    decay = np.exp(-1000 / (rate_hz * tau_ms))
    steady_mv = REST_MV + current_pa * resistance_mohm / 1000
    voltage_mv = np.empty_like(steady_mv)
    state = REST_MV
    edges = np.flatnonzero(np.diff(steady_mv)) + 1
    for start, stop in zip([0, *edges], [*edges, len(steady_mv)], strict=True):
        # The voltage answers from the sample after the current's.
        steps = np.arange(stop - start)
        voltage_mv[start:stop] = steady_mv[start] + (state - steady_mv[start]) * decay**steps
        state = steady_mv[start] + (state - steady_mv[start]) * decay ** (stop - start)
    return voltage_mv


def long_square_sweep(
    amplitude_pa: float,
    spikes_s: Sequence[float] = (),
    *,
    number: int = 0,
    rate_hz: float = 50_000,
    onset_s: float = 0.6,
    length_s: float = 1.0,
    duration_s: float = 2.2,
) -> Sweep:
    """Return a long square that evokes spikes at times after the onset, or charges a membrane."""
    pulses = [(0.1, 0.01, -10.0), (onset_s, length_s, amplitude_pa)]
    current_pa = current_of(pulses, rate_hz=rate_hz, duration_s=duration_s)
    if len(spikes_s):
        times_s = onset_s + np.asarray(spikes_s)
        voltage_mv = spike_train(times_s, rate_hz=rate_hz, duration_s=duration_s)
    else:
        small_pa = np.minimum(current_pa, 50)
        voltage_mv = charging(small_pa, rate_hz=rate_hz, resistance_mohm=150, tau_ms=20)
    return sweep_of(voltage_mv, current_pa, rate_hz, number=number)


def allen_sweeps(data_dir: Path) -> dict[str, Sweep]:
    """Return the real Allen steps by file name."""
    sweeps = {}
    for path in sorted((data_dir / "sweeps").glob("allen_*.npz")):
        with np.load(path) as arrays:
            rate_hz = 1000 / float(arrays["dt_ms"])
            sweeps[path.stem] = sweep_of(arrays["voltage_mv"], arrays["current_pa"], rate_hz)
    return sweeps


def nwb_sweeps(path: Path) -> tuple[Sweep, ...]:
    """Return the current-clamp sweeps of a real NWB2 file, read without a reader's help."""
    sweeps = []
    with h5py.File(path) as file:
        for number, name in enumerate(sorted(file["acquisition"])):
            response = file["acquisition"][name]
            stimulus = file["stimulus/presentation"][name.replace("Series", "StimulusSeries")]
            sweeps.append(
                sweep_of(
                    response["data"][()] * 1e3,
                    stimulus["data"][()] * 1e12,
                    round(float(response["starting_time"].attrs["rate"])),
                    number=number,
                )
            )
    return tuple(sweeps)
