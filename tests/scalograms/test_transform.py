"""The transform at full resolution."""

import numpy as np
import pytest
import pywt
import torch

from sts.base.errors import StsError
from sts.base.types import Floats
from sts.scalograms import transform as module
from sts.scalograms.transform import Transform, compute_scalograms
from sts.scalograms.wavelet import (
    FREQS_HZ,
    PARITIES,
    compute_scales,
    sum_directly,
    transform_by_pywt,
)
from sts.signals.resample import RATE_HZ, SAMPLES

# What the study asks for, of the largest coefficient; float32 reaches 3e-7.
TOLERANCE = 1e-5
# Two ways through float32 that add in another order.
ROUNDING = 2e-6


def largest(coefficients: Floats) -> float:
    return float(np.abs(coefficients).max())


@pytest.fixture(scope="module")
def direct() -> Transform:
    return Transform()


def test_it_equals_the_direct_sum(traces: Floats) -> None:
    for trace in traces[0]:
        truth = sum_directly(trace)
        assert largest(compute_scalograms(trace[None])[0] - truth) < TOLERANCE * largest(truth)


@pytest.mark.parametrize("method", ["conv", "fft"])
def test_with_parity_pywt_it_equals_pywt(traces: Floats, method: str) -> None:
    # float64 in: in float32 pywt picks other samples of its wavelet, 1.3e-5 off by itself.
    trace = traces[1, 0].astype(np.float64)
    wanted, freqs_hz = pywt.cwt(
        trace, compute_scales(), "mexh", sampling_period=1 / RATE_HZ, method=method, precision=12
    )
    np.testing.assert_allclose(freqs_hz, FREQS_HZ)
    np.testing.assert_array_equal(transform_by_pywt(trace, method=method), wanted)
    ours = compute_scalograms(trace[None], parity="pywt")[0]
    assert largest(ours - wanted) < TOLERANCE * largest(wanted)


@pytest.mark.parametrize("tone_hz", [25, 60, 125, 180])
def test_a_tone_peaks_at_its_own_frequency(tone_hz: int) -> None:
    tone = np.sin(2 * np.pi * tone_hz * np.arange(SAMPLES) / RATE_HZ)
    power = np.abs(compute_scalograms(tone[None])[0][:, 1000:-1000]).max(axis=1)
    # The hat's spectrum peaks at sqrt(2) / (2 pi) cycles a scale, sqrt(5 / 2) with a^(-1/2) before
    # it; the frequency it is named after is 0.25.
    peak_hz = tone_hz * 0.25 / (np.sqrt(2.5) / (2 * np.pi))
    assert FREQS_HZ[power.argmax()] == pytest.approx(np.clip(peak_hz, 20, 199), abs=1)


@pytest.mark.parametrize("level_mv", [-70.0, 0.0, 1000.0])
def test_a_constant_is_dark(level_mv: float) -> None:
    # The mean of 400 float32 numbers is off by a few units in their last place.
    assert largest(compute_scalograms(np.full((1, SAMPLES), level_mv))) <= 1e-6 * abs(level_mv)


def test_edges_stay_dark_at_minus_70_mv(traces: Floats) -> None:
    trace = np.full(SAMPLES, -70.0)
    trace[2400] += 90
    trace[-1500:] += 15
    trace[2900:3300] = np.linspace(-70, -55, 400)
    scalogram = np.abs(compute_scalograms(trace[None])[0])
    edges = max(scalogram[:, :300].max(), scalogram[:, -300:].max())
    assert edges < 1e-5 * scalogram.max()
    # By pywt the same edges outshine the spike.
    by_zeros = np.abs(compute_scalograms(trace[None], parity="pywt")[0])
    assert by_zeros[:, :300].max() > by_zeros[:, 2000:2800].max()


def test_it_is_linear(traces: Floats) -> None:
    first, second = traces[2].astype(np.float64)
    mixed = compute_scalograms((2 * first - 0.5 * second)[None])[0]
    apart = compute_scalograms(traces[2])
    assert largest(mixed - (2 * apart[0] - 0.5 * apart[1])) < ROUNDING * largest(mixed)


def test_a_later_spike_has_the_same_scalogram_later() -> None:
    spike = np.zeros(SAMPLES)
    spike[2000:2004] = 90, 60, 30, 10
    shift = 777
    here, later = compute_scalograms(np.stack([spike, np.roll(spike, shift)]))
    assert largest(here[:, :-shift] - later[:, shift:]) < ROUNDING * largest(here)


def test_a_deeper_resting_potential_changes_nothing(traces: Floats) -> None:
    here = compute_scalograms(traces[0])
    there = compute_scalograms(traces[0] - 16)
    # float32 keeps fewer digits of larger voltages.
    assert largest(here - there) < ROUNDING * largest(here)


@pytest.mark.parametrize("parity", PARITIES)
def test_the_size_of_a_batch_and_its_chunks_do_not_matter(
    traces: Floats, parity: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweeps = torch.from_numpy(traces.reshape(-1, SAMPLES))
    whole = Transform(parity)(sweeps)
    alone = torch.stack([Transform(parity)(sweep[None])[0] for sweep in sweeps])
    monkeypatch.setattr(module, "TRACES_AT_ONCE", 3)
    monkeypatch.setattr(module, "CHUNK_BYTES", {"cpu": 2**23})
    odd = Transform(parity)(sweeps)
    for other in (alone, odd):
        assert float((whole - other).abs().max()) < ROUNDING * float(whole.abs().max())


def test_the_chunks_cover_every_row_of_every_trace_once(direct: Transform, traces: Floats) -> None:
    sweeps = torch.from_numpy(traces.reshape(-1, SAMPLES))
    visits = torch.zeros(len(sweeps), len(FREQS_HZ))
    whole = direct(sweeps)
    for chunk in direct.chunks(sweeps):
        visits[chunk.traces, chunk.rows] += 1
        assert torch.equal(whole[chunk.traces, chunk.rows], chunk.coefficients)
    assert torch.all(visits == 1)


def test_it_writes_where_it_is_told_and_leaves_its_input_alone(
    direct: Transform, traces: Floats
) -> None:
    sweeps = torch.from_numpy(traces[0].copy())
    out = torch.empty(2, len(FREQS_HZ), SAMPLES)
    assert direct(sweeps, out=out) is out
    assert torch.equal(sweeps, torch.from_numpy(traces[0]))
    assert torch.equal(out, direct(sweeps))


def test_an_empty_batch_gives_an_empty_batch(direct: Transform) -> None:
    assert direct(torch.empty(0, SAMPLES)).shape == (0, len(FREQS_HZ), SAMPLES)


def test_a_chunk_is_small_whatever_the_batch(direct: Transform, traces: Floats) -> None:
    sweeps = torch.from_numpy(traces.reshape(-1, SAMPLES)).repeat(20, 1)
    sizes = {chunk.coefficients.untyped_storage().nbytes() for chunk in direct.chunks(sweeps)}
    assert max(sizes) <= module.CHUNK_BYTES["cpu"]


def test_wrong_arguments_are_refused(direct: Transform) -> None:
    with pytest.raises(ValueError, match=r"shape \(n, 4800\), not \(2, 4000\)"):
        direct(torch.zeros(2, 4000))
    with pytest.raises(ValueError, match="floating-point mV"):
        direct(torch.zeros(2, SAMPLES, dtype=torch.int16))
    with pytest.raises(ValueError, match="out must be of shape"):
        direct(torch.zeros(2, SAMPLES), out=torch.empty(2, 10, SAMPLES))
    with pytest.raises(StsError, match="did you mean 'pywt'"):
        Transform("pywtt")


@pytest.mark.cuda
def test_cuda_gives_what_the_cpu_gives(cuda: torch.device, traces: Floats) -> None:
    for parity in PARITIES:
        here = compute_scalograms(traces.reshape(-1, SAMPLES), parity=parity)
        there = compute_scalograms(traces.reshape(-1, SAMPLES), parity=parity, device=cuda)
        assert largest(here - there) < TOLERANCE * largest(here)
