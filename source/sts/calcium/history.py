"""Spike counts that depend on the history of their neuron: a generalised linear model."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.signal import lfilter

from sts.base.types import Floats, Ints

# Time constants of the exponentials by which a model remembers earlier spikes.
MEMORIES_S: Final = (0.1, 0.5, 2.0)
# Precision of the normal prior of weights, of features in units of their deviation.
PRIOR_PRECISION: Final = 1.0
# Newton steps; a convex problem of this size needs about eight.
NEWTON_STEPS: Final = 25
# Largest change of a weight at which a fit has ended, and largest change in one step.
CLOSE_WEIGHT: Final = 1e-6
LARGEST_STEP: Final = 2.0
# Frames before a window that are drawn and left out, in units of the longest memory.
BURN_IN: Final = 3.0


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
        self, count: int, frames: int, rng: np.random.Generator, drive: Floats | None = None
    ) -> Ints:
        """Return counts (count, neurons, frames).

        Parameters
        ----------
        drive
            (count, neurons, frames) that is added to the log rates; None: 0.
        """
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
            spikes = np.minimum(rng.poisson(rates), self.most)
            if frame >= 0:
                result[:, :, frame] = spikes
            memory = self.keeps * memory + (1 - self.keeps) * spikes[..., None]
        return result


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
