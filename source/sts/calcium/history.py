"""Spike counts that depend on the history of their neuron: a generalised linear model."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from scipy.signal import lfilter
from scipy.special import ndtr

from sts.base.types import Floats, Ints

# Time constants of the exponentials by which a model remembers earlier spikes; the first one is
# little more than the last frame.
MEMORIES_S: Final = (0.02, 0.1, 0.5, 2.0)
# Precision of the normal prior of weights, of features in units of their deviation.
PRIOR_PRECISION: Final = 1.0
# Newton steps; a convex problem of this size needs about eight.
NEWTON_STEPS: Final = 25
# Largest change of a weight at which a fit has ended, and largest change in one step.
CLOSE_WEIGHT: Final = 1e-6
LARGEST_STEP: Final = 2.0
# Frames before a window that are drawn and left out, in units of the longest memory.
BURN_IN: Final = 3.0
# Samples by which rates are matched: rounds, windows and frames of a window.
RATE_ROUNDS: Final = 5
RATE_WINDOWS: Final = 100
RATE_FRAMES: Final = 200
# Part of the logarithm of a rate's error that a round corrects: spikes that cause spikes add to it.
RATE_STEP: Final = 0.7


@dataclass(frozen=True, kw_only=True, eq=False)
class SharedNoise:
    """Gaussians whose quantiles are the counts of neurons: correlated, with a short memory."""

    correlations: Floats
    """(neurons, neurons) in a frame."""
    keep: float = 0.0
    """Correlation of a neuron's noise from frame to frame."""

    def draw(self, count: int, rng: np.random.Generator) -> Iterator[Floats]:
        """Yield standard normal values (count, neurons), a frame at a time, without end."""
        root = np.linalg.cholesky(self.correlations).T
        values = rng.standard_normal((count, len(root))) @ root
        while True:
            yield values
            fresh = rng.standard_normal(values.shape) @ root
            values = self.keep * values + np.sqrt(1 - self.keep**2) * fresh


@dataclass(frozen=True, kw_only=True, eq=False)
class HistoryModel:
    """Poisson counts whose log rate is a constant plus remembered spikes plus a given drive."""

    weights: Floats
    """(neurons, 1 + memories): constant, then the weights of a neuron's own memories.

    Weights of the memories of other neurons make a sparse population run away in simulation.
    """
    keeps: Floats
    """(memories,) factor of each memory from frame to frame."""
    highest: Floats
    """(neurons, memories) in the training data: memories above count as this."""
    most: int
    """Most spikes of a neuron in a frame of the training data."""

    def sample(
        self,
        count: int,
        frames: int,
        rng: np.random.Generator,
        drive: Floats | None = None,
        noise: SharedNoise | None = None,
    ) -> Ints:
        """Return counts (count, neurons, frames).

        Parameters
        ----------
        drive
            (count, neurons, frames) that is added to the log rates; None: 0.
        noise
            None: counts are independent of each other, given their rates.
        """
        normals = None if noise is None else noise.draw(count, rng)
        neurons, size = len(self.weights), len(self.keeps)
        burn = int(np.ceil(BURN_IN / -np.log(self.keeps.max()))) if drive is None else 0
        memory = np.zeros((count, neurons, size))
        if drive is not None:
            # Windows begin in the middle of a recording: memories begin at their mean.
            memory[:] = np.minimum(np.exp(drive).mean(axis=(0, 2)), self.most)[:, None]
        result = np.zeros((count, neurons, frames), dtype=np.int64)
        for frame in range(-burn, frames):
            features = np.minimum(memory, self.highest)
            log_rates = self.weights[:, 0] + np.einsum("bnf,nf->bn", features, self.weights[:, 1:])
            if drive is not None:
                log_rates = log_rates + drive[:, :, frame]
            rates = np.exp(np.minimum(log_rates, np.log(self.most)))
            if normals is None:
                spikes = np.minimum(rng.poisson(rates), self.most)
            else:
                spikes = find_quantiles(rates, next(normals), self.most)
            if frame >= 0:
                result[:, :, frame] = spikes
            memory = self.keeps * memory + (1 - self.keeps) * spikes[..., None]
        return result

    def weaken(self, strength: float) -> "HistoryModel":
        """Return a model in which a spike changes later rates by this part."""
        weights = self.weights.copy()
        weights[:, 1:] *= strength
        return replace(self, weights=weights)

    def correct_rates(self, training: Sequence[Ints], sample: Ints) -> "HistoryModel":
        """Return a model with constant rates by which samples come closer to the training counts.

        Spikes that cause spikes raise the rates of samples above those of the training counts.
        """
        joined = np.concatenate(training, axis=1)
        # Half a spike is added: a neuron may have none.
        half = 0.5 / joined.shape[1]
        errors = np.log((joined.mean(axis=1) + half) / (sample.mean(axis=(0, 2)) + half))
        weights = self.weights.copy()
        weights[:, 0] += RATE_STEP * errors
        return replace(self, weights=weights)


def find_quantiles(rates: Floats, normal: Floats, most: int) -> Ints:
    """Return Poisson counts, at most `most`, at the quantiles of standard normal values."""
    left, chance = ndtr(normal), np.exp(-rates)
    counts = np.zeros(rates.shape, dtype=np.int64)
    for count in range(1, most + 1):
        left = left - chance
        counts += left > 0
        chance = chance * rates / count
    return counts


def match_rates(model: HistoryModel, training: Sequence[Ints]) -> HistoryModel:
    """Return a model whose samples have the rates of the training counts, as far as they can."""
    rng = np.random.default_rng(0)
    rates = np.concatenate(training, axis=1).mean(axis=1)
    tried = []
    for _ in range(RATE_ROUNDS):
        sample = model.sample(RATE_WINDOWS, RATE_FRAMES, rng)
        tried.append((float(np.abs(sample.mean(axis=(0, 2)) - rates).mean()), model))
        model = model.correct_rates(training, sample)
    # Spikes that cause many spikes have no stable rate: a correction can make it worse.
    return min(tried, key=lambda each: each[0])[1]


def fit_history(
    pieces: Sequence[Ints],
    rate_hz: float,
    drives: Sequence[Floats] | None = None,
) -> HistoryModel:
    """Fit the weights of every neuron to spike counts (neurons, frames) without pauses.

    Parameters
    ----------
    drives
        Log rates of each piece that are known already; None: 0.
    """
    keeps = np.exp(-1 / (np.array(MEMORIES_S) * rate_hz))
    memories = np.concatenate([_remember(piece, keeps) for piece in pieces], axis=1)
    counts = np.concatenate(pieces, axis=1)
    drive = np.zeros(counts.shape) if drives is None else np.concatenate(drives, axis=1)
    fitted, highest = [], []
    for neuron, own in enumerate(memories):
        fitted.append(_fit_neuron(own, counts[neuron], drive[neuron]))
        highest.append(own.max(axis=0))
    return HistoryModel(
        weights=np.array(fitted),
        keeps=keeps,
        highest=np.array(highest),
        most=max(int(counts.max()), 1),
    )


def _remember(piece: Ints, keeps: Floats) -> Floats:
    """Return the memories of earlier frames, (neurons, frames, memories)."""
    before = np.pad(piece, ((0, 0), (1, 0)))[:, :-1].astype(np.float64)
    rows = [lfilter([1 - keep], [1.0, -keep], before, axis=1) for keep in keeps]
    return np.stack(rows, axis=2)


def _fit_neuron(features: Floats, counts: Ints, drive: Floats) -> Floats:
    """Return constant and weights that maximise the posterior of a neuron's counts."""
    scale = np.maximum(features.std(axis=0), 1e-9)
    design = np.column_stack([np.ones(len(features)), features / scale])
    precision = np.r_[0.0, np.full(features.shape[1], PRIOR_PRECISION)]
    weights = np.zeros(design.shape[1])
    weights[0] = np.log((counts.sum() + 0.5) / max(np.exp(drive).sum(), 1e-9))
    for _ in range(NEWTON_STEPS):
        rates = np.exp(np.clip(design @ weights + drive, -30.0, 10.0))
        slope = design.T @ (counts - rates) - precision * weights
        curvature = (design * rates[:, None]).T @ design + np.diag(precision + 1e-9)
        step = np.linalg.solve(curvature, slope)
        weights += step * min(1.0, LARGEST_STEP / max(float(np.abs(step).max()), 1e-12))
        if np.abs(step).max() < CLOSE_WEIGHT:
            break
    return np.append(weights[:1], weights[1:] / scale)
