"""Does it help? A decoder trained on few real windows, with and without generated ones."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from sts.base.types import Floats
from sts.evaluation.bootstrap import Interval, interval_of

# A neuron is read from what the others do up to so many frames before and after.
REACH: Final = 3
# Penalties tried, of the mean variance of a predictor; the validation windows choose.
PENALTIES: Final = tuple(10.0**k for k in range(-4, 4))
# How much the generated windows together may count, of the real ones; 0 leaves them out.
WEIGHTS: Final = (0.0, 0.1, 0.3, 1.0, 3.0)
RESAMPLES: Final = 2000


@dataclass(frozen=True, kw_only=True)
class Helped:
    """Variance of held-out windows that a decoder explains, by how it was trained."""

    windows: int
    """Real ones it was trained on."""
    real: Interval
    """On these alone."""
    both: Interval
    """With generated windows as well, counting as the validation windows found best."""
    difference: Interval
    """Paired, over the same held-out windows."""
    weight: float


@dataclass(frozen=True, kw_only=True, eq=False)
class Stretches:
    """Windows (n, neurons, frames) of each kind."""

    training: Floats
    validation: Floats
    test: Floats
    generated: Floats


def does_it_help(
    stretches: Stretches, counts: Sequence[int], rng: np.random.Generator
) -> list[Helped]:
    """Return the decoders' scores for each number of real training windows.

    Each neuron's trace is predicted from all others by ridge regression, a task for which any
    window serves as teacher. Penalty and weight are chosen on the validation windows.
    """
    # Traces in units of the training stretch: all neurons count alike.
    mean = stretches.training.mean(axis=(0, 2), keepdims=True)
    deviation = stretches.training.std(axis=(0, 2), keepdims=True)
    scaled = {
        name: (np.asarray(getattr(stretches, name), dtype=np.float64) - mean) / deviation
        for name in ("training", "validation", "test", "generated")
    }
    order = rng.permutation(len(scaled["training"]))
    generated = moments(scaled["generated"])
    found = []
    for count in counts:
        real = moments(scaled["training"][order[:count]])
        alone, _ = _best(real, None, scaled["validation"])
        both, weight = _best(real, generated, scaled["validation"])
        found.append(_helped(count, alone, both, weight, scaled["test"], rng))
    return found


def moments(windows: Floats) -> tuple[Floats, float]:
    """Return the mean product of every lagged trace with every other, (p, p), and the frames."""
    rows = lagged(windows)
    size = rows.shape[0] * rows.shape[2]
    return np.asarray(np.einsum("npt,nqt->pq", rows, rows, optimize=True) / size), float(size)


def lagged(windows: Floats) -> Floats:
    """Return (n, lags * neurons, frames): all neurons at each lag from -REACH to REACH."""
    frames = windows.shape[2] - 2 * REACH
    shifts = [windows[:, :, lag : lag + frames] for lag in range(2 * REACH + 1)]
    return np.concatenate(shifts, axis=1)


def decoder(products: Floats, neurons: int, penalty: float) -> Floats:
    """Return weights (neurons, lags * neurons) that predict each neuron from the others."""
    size = len(products)
    lifted = products + penalty * np.eye(size)
    weights = np.zeros((neurons, size))
    middle = REACH * neurons
    for neuron in range(neurons):
        others = np.flatnonzero(np.arange(size) % neurons != neuron)
        target = products[others, middle + neuron]
        weights[neuron, others] = np.linalg.solve(lifted[np.ix_(others, others)], target)
    return weights


def residuals(weights: Floats, windows: Floats) -> tuple[Floats, Floats]:
    """Return squared errors and squared traces of each window, summed over neurons and frames."""
    rows = lagged(windows)
    target = windows[:, :, REACH : windows.shape[2] - REACH]
    error = target - np.einsum("np,wpt->wnt", weights, rows, optimize=True)
    return np.sum(error**2, axis=(1, 2)), np.sum(target**2, axis=(1, 2))


def explained(weights: Floats, windows: Floats) -> float:
    """Return the part of the variance that is explained; below 0 is worse than the mean."""
    errors, squares = residuals(weights, windows)
    return float(1 - errors.sum() / squares.sum())


def _best(
    real: tuple[Floats, float], generated: tuple[Floats, float] | None, validation: Floats
) -> tuple[Floats, float]:
    neurons = validation.shape[1]
    tried = []
    for weight in WEIGHTS if generated is not None else WEIGHTS[:1]:
        products = real[0]
        if generated is not None:
            products = (real[0] + weight * generated[0]) / (1 + weight)
        for penalty in PENALTIES:
            found = decoder(products, neurons, penalty)
            tried.append((explained(found, validation), found, weight))
    best = max(tried, key=lambda each: each[0])
    return best[1], best[2]


def _helped(
    count: int,
    alone: Floats,
    both: Floats,
    weight: float,
    test: Floats,
    rng: np.random.Generator,
) -> Helped:
    errors, squares = residuals(alone, test)
    joint, _ = residuals(both, test)
    drawn = rng.integers(len(test), size=(RESAMPLES, len(test)))
    total = squares[drawn].sum(axis=1)

    def interval(some: Floats) -> Interval:
        return interval_of(
            float(1 - some.sum() / squares.sum()), 1 - some[drawn].sum(axis=1) / total
        )

    apart = errors - joint
    return Helped(
        windows=count,
        real=interval(errors),
        both=interval(joint),
        difference=interval_of(
            float(apart.sum() / squares.sum()), apart[drawn].sum(axis=1) / total
        ),
        weight=weight,
    )
