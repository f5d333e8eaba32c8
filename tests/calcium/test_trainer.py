"""Moments of windows by their definitions, and a distance that chance does not move off 0."""

import numpy as np
import pytest
import torch
from torch import Tensor

from sts.calcium.trainer import SLOW, compute_moments, lags_within, measure_moments

NEURONS, LENGTH = 4, 64


def traces(frames: int, *, shared: float = 0.6, seed: int = 0) -> Tensor:
    """Return neurons that follow one source, noisily, and remember it for some frames."""
    rng = np.random.default_rng(seed)
    source = shared * rng.standard_normal(frames)
    made = np.sqrt(1 - shared**2) * rng.standard_normal((NEURONS, frames)) + source
    kept = np.zeros_like(made)
    for frame in range(1, frames):
        kept[:, frame] = 0.8 * kept[:, frame - 1] + made[:, frame]
    return torch.from_numpy(3 + 0.1 * kept).float()


def windows(values: Tensor) -> Tensor:
    return values.reshape(NEURONS, -1, LENGTH).transpose(0, 1)


REAL = traces(LENGTH * 2000)
KNOWN = measure_moments(REAL, LENGTH)


def test_moments_are_those_of_numpy() -> None:
    values = traces(500)
    centred = values - values.mean(dim=1, keepdim=True)
    found = compute_moments(centred[None])
    lag = SLOW[2]
    expected = centred.numpy()[:, :-lag] @ centred.numpy()[:, lag:].T / (500 - lag)
    assert np.allclose(found[2 + 2], expected, atol=1e-5)  # float32
    steps = np.diff(centred.numpy(), axis=1)
    assert np.allclose(found[1], (steps**3).mean(axis=1), atol=1e-6)


def test_other_windows_of_the_same_kind_are_at_no_distance_on_average() -> None:
    other = windows(traces(LENGTH * 800, seed=1))
    found = [float(KNOWN.distance(some)) for some in other.split(8)]
    # the mean of 100 distances, each of which chance moves either way
    assert abs(np.mean(found)) < 4 * np.std(found) / 10
    assert min(found) < 0


@pytest.mark.parametrize(
    ("kind", "least"),
    # neurons that share nothing lose all covariances between them: one for each measured alike
    [("independent", 1.0), ("higher", 1.0), ("slower", 0.1)],
)
def test_what_differs_is_at_a_distance(kind: str, least: float) -> None:
    other = {
        "independent": lambda: traces(LENGTH * 400, shared=0.0, seed=1),
        "higher": lambda: traces(LENGTH * 400, seed=1) + KNOWN.deviation,
        "slower": lambda: traces(LENGTH * 800, seed=1)[:, ::2],
    }[kind]()
    assert float(KNOWN.distance(windows(other))) > least


def test_the_distance_leads_back() -> None:
    """Following its gradient brings shifted windows home."""
    shift = torch.full((NEURONS, 1), 0.2, requires_grad=True)
    some = windows(traces(LENGTH * 200, seed=1))
    optimiser = torch.optim.Adam([shift], lr=0.02)
    for _ in range(60):
        optimiser.zero_grad()
        KNOWN.distance(some + shift).backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    # a step of Adam, and chance in the mean of what is shifted
    assert shift.detach().abs().max() < 0.04


def test_short_windows_tell_of_short_lags_only() -> None:
    assert lags_within(SLOW, 33) == (0, 2, 4, 8, 16)
    assert len(compute_moments(torch.zeros(2, 3, 33))) == 2 + 5 + 4
