"""OASIS solves what it says it solves, and finds real spikes."""

from pathlib import Path

import numpy as np
import pytest
from scipy.optimize import nnls

from sts.base.errors import StsError
from sts.base.types import Floats
from sts.calcium.fluorescence import (
    CalciumModel,
    OasisSettings,
    check_decay,
    deconvolve,
    estimate_decay,
    estimate_noise,
    simulate_calcium,
    simulate_fluorescence,
)
from sts.calcium.true_spikes import CascadeTrial, read_trials
from sts.studies.calcium.source import correlate_spikes

FRAMES = 200
SECOND = (1.7, -0.712)


def spikes_of(seed: int, *, frames: int = FRAMES, chance: float = 0.08) -> Floats:
    return (np.random.default_rng(seed).random(frames) < chance).astype(np.float64)


def noisy(spikes: Floats, decay: tuple[float, ...], *, noise: float = 0.3) -> Floats:
    model = CalciumModel(decay=decay, noise=noise)
    return simulate_fluorescence(spikes, model, np.random.default_rng(7)).astype(np.float64)


def kernel_matrix(decay: tuple[float, ...], frames: int = FRAMES) -> Floats:
    return simulate_calcium(np.eye(frames), decay).T.astype(np.float64)


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


def first_by_the_book(y: Floats, g: float, smallest: float) -> Floats:
    """Return the spikes of algorithm 1 of Friedrich et al. (2017), every pool fitted anew."""
    pools: list[tuple[int, int]] = []

    def value(begin: int, end: int) -> float:
        shape = g ** np.arange(end - begin)
        return float(shape @ y[begin:end] / (shape @ shape))

    for t in range(len(y)):
        pools.append((t, t + 1))
        while len(pools) > 1:
            (begin, end), (_, last) = pools[-2:]
            if value(end, last) >= value(begin, end) * g ** (end - begin) + smallest:
                break
            pools[-2:] = [(begin, last)]
    calcium = np.zeros(len(y))
    for begin, end in pools:
        top = value(begin, end)
        if top >= (smallest if begin else 0):
            calcium[begin:end] = top * g ** np.arange(end - begin)
    return np.append(0.0, calcium[1:] - g * calcium[:-1])


def second_by_the_book(y: Floats, decay: tuple[float, ...], smallest: float) -> Floats:
    """Return the spikes of their greedy algorithm: each pool is run through the model anew."""
    g1, g2 = decay
    slow = max(np.roots([1.0, -g1, -g2]).real)
    curves: list[Floats] = []

    def curve(begin: int, end: int) -> Floats:
        if begin == 0:
            shape = slow ** np.arange(end)
            return np.asarray(max(shape @ y[:end] / (shape @ shape), 0.0) * shape)
        # Beginning with no and with one unit, behind what the pool before it has left.
        runs = np.array([[curves[-1][-1], 0.0], [0.0, 1.0]])
        for _ in range(end - begin - 1):
            runs = np.column_stack([runs, g1 * runs[:, -1] + g2 * runs[:, -2]])
        rest, shape = runs[:, 1:]
        return np.asarray(rest + shape * (shape @ (y[begin:end] - rest)) / (shape @ shape))

    for t in range(len(y)):
        begin = t
        new = curve(t, t + 1)
        while curves:
            past = np.concatenate(curves)
            left = g1 * past[-1] + g2 * past[-2] if len(curves) > 1 else slow * past[-1]
            if new[0] - left >= smallest:
                break
            begin -= len(curves.pop())
            new = curve(begin, t + 1)
        curves.append(new)
    calcium = np.concatenate(curves)
    spikes = calcium[2:] - g1 * calcium[1:-1] - g2 * calcium[:-2]
    return np.append([0.0, 0.0], spikes)


def oracle(y: Floats, decay: tuple[float, ...], smallest: float, penalty: float = 0.0) -> Floats:
    """Return spikes, the penalty on their sum written as one on the calcium of each frame."""
    sums = np.eye(len(y))
    for lag, g in enumerate(decay, start=1):
        sums -= g * np.eye(len(y), k=-lag)
    shifted = y - penalty * sums.sum(axis=0)
    if len(decay) == 1:
        return first_by_the_book(shifted, decay[0], smallest)
    return second_by_the_book(shifted, decay, smallest)


@pytest.mark.parametrize("decay", [(0.95,), SECOND, (1.8, -0.81)])
@pytest.mark.parametrize(("smallest", "penalty"), [(0.0, 0.0), (0.0, 0.4), (0.55, 0.0), (0.3, 0.1)])
def test_both_orders_do_what_the_paper_says(
    decay: tuple[float, ...], smallest: float, penalty: float
) -> None:
    for seed in range(3):
        trace = noisy(spikes_of(seed), decay, noise=0.5) - 0.5
        settings = OasisSettings(decay=decay, smallest=smallest, penalty=penalty)
        found = deconvolve(trace, settings).spikes
        assert (found > 0).sum() > 3
        # float32 of the result
        assert np.abs(found - oracle(trace, decay, smallest, penalty)).max() < 1e-5


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


@pytest.mark.parametrize("decay", [(0.95,), SECOND])
def test_behind_values_below_zero_no_spike_is_too_small(decay: tuple[float, ...]) -> None:
    trace = np.append(np.full(63, -5.0), 0.3)
    assert not deconvolve(trace, OasisSettings(decay=decay, smallest=0.55)).spikes.any()
    assert deconvolve(trace, OasisSettings(decay=decay, smallest=0.25)).spikes.any()


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


def test_an_estimated_decay_never_grows_nor_rings() -> None:
    drifting = np.arange(500.0) ** 2
    ringing = np.cos(np.arange(500) * 2.0)
    for order, trace in ((1, drifting), (2, drifting), (1, ringing), (2, ringing)):
        check_decay(estimate_decay(trace, order, 0.0, shrinkage=0.98))
    found = deconvolve(np.stack([drifting, ringing]), OasisSettings(decay=None, smallest=0.0))
    assert np.isfinite(found.spikes).all()


def test_a_baseline_is_taken_off() -> None:
    trace = noisy(spikes_of(6, chance=0.02), (0.9,), noise=0.0)
    settings = OasisSettings(decay=(0.9,), baseline=None)
    lifted = deconvolve(trace + 5.0, settings)
    assert np.abs(lifted.spikes - deconvolve(trace, settings).spikes).max() < 1e-4  # float32


def test_many_traces_are_treated_each_alone() -> None:
    # As many as are handed to threads in blocks of several, the last one shorter, on up to 6 cores.
    traces = noisy(spikes_of(3, frames=3 * 33 * 32), (0.95,)).reshape(3, 33, 32)
    together = deconvolve(traces)
    for name in ("calcium", "spikes"):
        alone = [[getattr(deconvolve(trace), name) for trace in some] for some in traces]
        assert np.array_equal(getattr(together, name), alone)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"decay": (1.2,)}, "does not die away"),
        ({"decay": (0.5, 0.2, 0.1)}, "has 1 or 2 coefficients, not 3"),
        ({"decay": (1.0, -0.9)}, "does not die away"),  # rings
        ({"decay": (-0.5,)}, "does not die away"),
        ({"decay": (0.5, 0.3)}, "does not die away"),  # one root below zero
        ({"decay": (float("nan"),)}, "decay must be at least -2 and at most 2, not nan"),
        ({"penalty": None}, "exclude each other"),
        ({"smallest": -1.0}, "smallest must be at least 0"),
    ],
)
def test_settings_that_contradict_are_refused(settings: dict[str, object], said: str) -> None:
    with pytest.raises(StsError, match=said):
        OasisSettings(**settings)  # type: ignore[arg-type]


def test_a_trace_too_short_to_tell_is_refused() -> None:
    with pytest.raises(StsError, match="at least 32 frames are needed, not 10"):
        deconvolve(np.zeros((2, 10)))


@pytest.fixture(scope="module")
def real(data_dir: Path) -> list[CascadeTrial]:
    """Return trials of neurons with patched truth, of three kinds and two indicators (Cascade)."""
    files = sorted((data_dir / "calcium" / "cascade").glob("DS2*/*.mat"))[::6]
    trials = [trial for path in files for trial in read_trials(path)[:2]]
    return [trial for trial in trials if len(trial.at(25.0)[0]) > 400]


@pytest.mark.data
@pytest.mark.parametrize("decay", [(0.95,), SECOND])
@pytest.mark.parametrize(("smallest", "penalty"), [(0.0, 0.0), (0.0, 0.2), (0.1, 0.0)])
def test_on_real_traces_too(
    decay: tuple[float, ...], smallest: float, penalty: float, real: list[CascadeTrial]
) -> None:
    settings = OasisSettings(decay=decay, smallest=smallest, penalty=penalty)
    assert len(real) >= 5
    for trial in real:
        trace = trial.at(25.0)[0][:400]
        trace -= np.percentile(trace, 15)
        found = deconvolve(trace, settings).spikes
        # float32 of the result
        assert np.abs(found - oracle(trace, decay, smallest, penalty)).max() < 1e-5


@pytest.mark.data
@pytest.mark.parametrize(
    ("settings", "least"),
    [
        # measured: 0.46 with the default decay, 0.61 estimated, over the trials below
        (OasisSettings(smallest=0.0, baseline=None), 0.35),
        (OasisSettings(decay=None, smallest=0.0, penalty=None, baseline=None), 0.5),
    ],
)
def test_spikes_of_real_neurons_are_found(
    settings: OasisSettings, least: float, data_dir: Path
) -> None:
    """Interneurons with patched truth (Cascade, PV, GCaMP6f), median over the trials."""
    folder = data_dir / "calcium" / "cascade" / "DS24-GCaMP6f-m-PV-V1"
    found = []
    for path in sorted(folder.glob("*.mat"))[:4]:
        for trial in read_trials(path):
            traces, spikes = trial.at(25.0)
            if spikes.sum() >= 20:
                found.append(correlate_spikes(deconvolve(traces, settings).spikes, spikes, 25.0))
    assert len(found) >= 5
    assert np.median(found) > least
