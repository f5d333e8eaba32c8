"""OASIS solves what it says it solves, and finds real spikes."""

from pathlib import Path

import numpy as np
import pytest
from scipy.optimize import nnls

from sts.base.errors import StsError
from sts.base.types import Floats
from sts.calcium.deconvolve import (
    OasisSettings,
    deconvolve,
    estimate_decay,
    estimate_noise,
)
from sts.calcium.fluorescence import CalciumModel, calcium_of, fluorescence
from sts.calcium.readers.ground_truth import read_trials
from sts.studies.calcium.spikes import correlation

FRAMES = 200
SECOND = (1.7, -0.712)


def spikes_of(seed: int, *, frames: int = FRAMES, chance: float = 0.08) -> Floats:
    return (np.random.default_rng(seed).random(frames) < chance).astype(np.float64)


def noisy(spikes: Floats, decay: tuple[float, ...], *, noise: float = 0.3) -> Floats:
    model = CalciumModel(decay=decay, noise=noise)
    return fluorescence(spikes, model, np.random.default_rng(7)).astype(np.float64)


def kernel_matrix(decay: tuple[float, ...], frames: int = FRAMES) -> Floats:
    return calcium_of(np.eye(frames), decay).T.astype(np.float64)


@pytest.mark.parametrize("penalty", [0.0, 0.5])
@pytest.mark.parametrize("seed", range(3))
def test_the_first_order_is_the_exact_optimum(seed: int, penalty: float) -> None:
    """The oracle is non-negative least squares (Lawson and Hanson) on the same problem."""
    trace, kernel = noisy(spikes_of(seed), (0.9,)), kernel_matrix((0.9,))
    # |K s - y|^2 / 2 + penalty sum(s), completed to a square
    target = np.linalg.solve(kernel.T, kernel.T @ trace - penalty)
    best, _ = nnls(kernel, target)
    settings = OasisSettings(decay=(0.9,), smallest=0.0, penalty=penalty)
    found = deconvolve(trace, settings)
    # float32 of the result
    assert np.abs(found.calcium - kernel @ best).max() < 1e-5
    assert np.abs(found.spikes[1:] - best[1:]).max() < 1e-5


def test_the_second_order_is_nearly_optimal() -> None:
    trace, kernel = noisy(spikes_of(0), SECOND), kernel_matrix(SECOND)
    best, residual = nnls(kernel, trace)
    found = deconvolve(trace, OasisSettings(decay=SECOND, smallest=0.0))
    ours = np.linalg.norm(found.calcium - trace)
    # the algorithm for the second order is greedy
    assert residual <= ours < 1.1 * residual
    assert np.corrcoef(found.spikes, best)[0, 1] > 0.85


@pytest.mark.parametrize("decay", [(0.95,), SECOND])
def test_without_noise_the_spikes_come_back(decay: tuple[float, ...]) -> None:
    spikes = spikes_of(1)
    spikes[0] = 0
    found = deconvolve(noisy(spikes, decay, noise=0.0), OasisSettings(decay=decay, smallest=0.5))
    # float32 calcium, summed over transients
    assert np.abs(found.spikes - spikes).max() < 1e-3


@pytest.mark.parametrize("decay", [(0.95,), SECOND])
def test_no_spike_is_smaller_than_allowed(decay: tuple[float, ...]) -> None:
    found = deconvolve(noisy(spikes_of(2), decay), OasisSettings(decay=decay, smallest=0.55))
    sizes = found.spikes[found.spikes > 0]
    assert len(sizes) > 5
    assert sizes.min() >= 0.55 - 1e-5  # float32


def test_calcium_and_spikes_obey_the_model() -> None:
    found = deconvolve(noisy(spikes_of(3), (0.9,)), OasisSettings(decay=(0.9,), smallest=0.0))
    left = found.calcium[1:] - 0.9 * found.calcium[:-1]
    assert np.abs(left - found.spikes[1:]).max() < 1e-5  # float32
    assert (found.calcium >= 0).all()
    assert (found.spikes >= 0).all()


def test_the_penalty_by_noise_leaves_residuals_as_large_as_the_noise() -> None:
    trace = noisy(spikes_of(4, frames=3000), (0.95,))
    settings = OasisSettings(smallest=0.0, penalty=None, noise=0.3)
    left = deconvolve(trace, settings).calcium - trace
    # found by halving until far below this
    assert np.sqrt(np.mean(left**2)) == pytest.approx(0.3, rel=1e-3)


def test_noise_and_decay_are_estimated() -> None:
    trace = noisy(spikes_of(5, frames=20_000, chance=0.02), (0.95,), noise=0.3)
    # single spikes are steep: a little of them is taken for noise
    assert estimate_noise(trace) == pytest.approx(0.3, rel=0.1)
    assert estimate_decay(trace, 1, 0.3)[0] == pytest.approx(0.95, abs=0.01)
    slower = noisy(spikes_of(5, frames=20_000, chance=0.02), SECOND, noise=0.3)
    assert estimate_decay(slower, 2, 0.3) == pytest.approx(SECOND, abs=0.05)


def test_a_baseline_is_taken_off() -> None:
    trace = noisy(spikes_of(6, chance=0.02), (0.9,), noise=0.0)
    settings = OasisSettings(decay=(0.9,), baseline=None)
    lifted = deconvolve(trace + 5.0, settings)
    assert np.abs(lifted.spikes - deconvolve(trace, settings).spikes).max() < 1e-4  # float32


def test_many_traces_are_treated_each_alone() -> None:
    traces = np.stack([[noisy(spikes_of(s), (0.95,)) for s in range(3)] for _ in range(2)])
    together = deconvolve(traces).spikes
    assert together.shape == traces.shape
    assert np.array_equal(together[1, 2], deconvolve(traces[1, 2]).spikes)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"decay": (1.2,)}, "does not die away"),
        ({"decay": (0.5, 0.2, 0.1)}, "has 1 or 2 coefficients, 3 came"),
        ({"decay": (1.0, -0.9)}, "does not die away"),  # rings
        ({"penalty": 1.0}, "exclude each other"),
        ({"smallest": -1.0}, "smallest must be 0 or more"),
    ],
)
def test_settings_that_contradict_are_refused(settings: dict[str, object], said: str) -> None:
    with pytest.raises(StsError, match=said):
        OasisSettings(**settings)  # type: ignore[arg-type]


def test_a_trace_too_short_to_tell_is_refused() -> None:
    with pytest.raises(StsError, match="at least 32 frames are wanted, 10 came"):
        deconvolve(np.zeros((2, 10)))


@pytest.mark.data
def test_spikes_of_real_neurons_are_found(data_dir: Path) -> None:
    """Interneurons with patched truth (Cascade, PV, GCaMP6f), median over the trials."""
    folder = data_dir / "calcium" / "cascade" / "DS24-GCaMP6f-m-PV-V1"
    settings = OasisSettings(smallest=0.0, baseline=None)
    found = []
    for path in sorted(folder.glob("*.mat"))[:4]:
        for trial in read_trials(path):
            traces, spikes = trial.at(25.0)
            if spikes.sum() >= 20:
                found.append(correlation(deconvolve(traces, settings).spikes, spikes, 25.0))
    assert len(found) >= 5
    # measured: 0.5 to 0.6 over all trials of this set
    assert np.median(found) > 0.35
