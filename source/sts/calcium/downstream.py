"""A test of generated windows: a decoder is trained on real windows, with and without them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from sts.base.types import Floats
from sts.evaluation.scores import Interval, interval_of

# Largest lag in frames, before and after, between a neuron and those that predict it.
REACH: Final = 3
# Penalties that are tried, relative to the mean variance of a predictor.
PENALTIES: Final = tuple(10.0**k for k in range(-4, 4))
# Total weights of the generated windows that are tried, relative to the real ones.
TRIED_WEIGHTS: Final = (0.0, 0.1, 0.3, 1.0, 3.0)
# Bootstrap samples of an interval.
DECODER_RESAMPLES: Final = 2000


@dataclass(frozen=True, kw_only=True)
class DecoderScore:
    """Explained variance of held-out windows, by the training windows of the decoder."""

    windows: int
    """Number of real training windows."""
    real: Interval
    """With these alone."""
    both: Interval
    """With generated windows too, at the weight that is best for the validation windows."""
    difference: Interval
    """Paired, over the same held-out windows."""
    weight: float


@dataclass(frozen=True, kw_only=True, eq=False)
class DecoderWindows:
    """Windows (n, neurons, frames) of each kind."""

    training: Floats
    validation: Floats
    test: Floats
    generated: Floats


def compare_decoders(
    stretches: DecoderWindows, counts: Sequence[int], rng: np.random.Generator
) -> list[DecoderScore]:
    """Return the scores of decoders for each number of real training windows.

    The trace of each neuron is predicted from all others by ridge regression, which can be trained
    on any window. Penalty and weight are chosen on the validation windows.
    """
    # Traces are scaled by the training stretch, so that all neurons have the same weight.
    mean = stretches.training.mean(axis=(0, 2), keepdims=True)
    deviation = stretches.training.std(axis=(0, 2), keepdims=True)
    scaled = {
        name: (np.asarray(getattr(stretches, name), dtype=np.float64) - mean) / deviation
        for name in ("training", "validation", "test", "generated")
    }
    order = rng.permutation(len(scaled["training"]))
    generated, validation = sum_products(scaled["generated"]), sum_products(scaled["validation"])[0]
    scores = []
    for count in counts:
        real = sum_products(scaled["training"][order[:count]])
        alone, _ = _choose_decoder(real, None, validation)
        both, weight = _choose_decoder(real, generated, validation)
        scores.append(_score(count, alone, both, weight, scaled["test"], rng))
    return scores


def sum_products(windows: Floats) -> tuple[Floats, float]:
    """Return the mean products of all lagged traces, (p, p), and the number of frames."""
    size = windows.shape[1] * (2 * REACH + 1)
    products, frames = np.zeros((size, size)), 0
    # One window at a time: all of them at all lags would not fit into memory.
    for window in windows:
        rows = stack_lags(window)
        products += rows @ rows.T
        frames += rows.shape[1]
    return products / frames, float(frames)


def stack_lags(window: Floats) -> Floats:
    """Return (lags * neurons, frames): all neurons at each lag from -REACH to REACH."""
    frames = window.shape[1] - 2 * REACH
    return np.concatenate([window[:, lag : lag + frames] for lag in range(2 * REACH + 1)])


def fit_decoder(products: Floats, neurons: int, penalty: float) -> Floats:
    """Return weights (neurons, lags * neurons) that predict each neuron from the others.

    One inverse P serves all neurons: with S the lags of a neuron and o all others, the products A
    satisfy A_oo P_oS + A_oS P_SS = 0, and the weights are A_oo^-1 A_oS = -P_oS P_SS^-1.
    """
    size = len(products)
    inverse = np.linalg.inv(products + penalty * np.eye(size))
    weights = np.zeros((neurons, size))
    for neuron in range(neurons):
        own = np.arange(neuron, size, neurons)
        now = np.eye(len(own))[REACH]
        weights[neuron] = -inverse[:, own] @ np.linalg.solve(inverse[np.ix_(own, own)], now)
        weights[neuron, own] = 0.0
    return weights


def measure_residuals(weights: Floats, windows: Floats) -> tuple[Floats, Floats]:
    """Return squared errors and squared traces of each window, summed over neurons and frames."""
    errors, squares = np.zeros(len(windows)), np.zeros(len(windows))
    for at, window in enumerate(windows):
        target = window[:, REACH : window.shape[1] - REACH]
        errors[at] = np.sum((target - weights @ stack_lags(window)) ** 2)
        squares[at] = np.sum(target**2)
    return errors, squares


def measure_explained(weights: Floats, products: Floats) -> float:
    """Return the explained fraction of variance in windows with these products.

    Below 0 the prediction is worse than the mean.
    """
    neurons = len(weights)
    now = slice(REACH * neurons, (REACH + 1) * neurons)
    variance = np.trace(products[now, now])
    crossed = np.sum(weights * products[now])
    predicted = np.sum((weights @ products) * weights)
    return float((2 * crossed - predicted) / variance)


def _choose_decoder(
    real: tuple[Floats, float], generated: tuple[Floats, float] | None, validation: Floats
) -> tuple[Floats, float]:
    """Return the best decoder for the validation products, and its weight of generated windows."""
    neurons = len(validation) // (2 * REACH + 1)
    tried = []
    for weight in TRIED_WEIGHTS if generated is not None else TRIED_WEIGHTS[:1]:
        products = real[0]
        if generated is not None:
            products = (real[0] + weight * generated[0]) / (1 + weight)
        for penalty in PENALTIES:
            decoder = fit_decoder(products, neurons, penalty)
            tried.append((measure_explained(decoder, validation), decoder, weight))
    best = max(tried, key=lambda each: each[0])
    return best[1], best[2]


def _score(
    count: int,
    alone: Floats,
    both: Floats,
    weight: float,
    test: Floats,
    rng: np.random.Generator,
) -> DecoderScore:
    errors, squares = measure_residuals(alone, test)
    joint, _ = measure_residuals(both, test)
    drawn = rng.integers(len(test), size=(DECODER_RESAMPLES, len(test)))
    total = squares[drawn].sum(axis=1)

    def interval(some: Floats) -> Interval:
        return interval_of(
            float(1 - some.sum() / squares.sum()), 1 - some[drawn].sum(axis=1) / total
        )

    gain = errors - joint
    return DecoderScore(
        windows=count,
        real=interval(errors),
        both=interval(joint),
        difference=interval_of(float(gain.sum() / squares.sum()), gain[drawn].sum(axis=1) / total),
        weight=weight,
    )
