"""Bilinear resizing of one axis as a table of weights, as torch's interpolate does it."""

from dataclasses import dataclass

import numpy as np

from sts.base.types import Floats, Ints


@dataclass(frozen=True)
class Taps:
    """What each output sums: output[i] = sum over k of weights[i, k] * input[first[i] + k]."""

    first: Ints
    """(outputs,) may lie outside of the input where the weight is 0."""
    weights: Floats
    """(outputs, taps) float64."""

    def dense(self, size: int) -> Floats:
        """Return the same as a matrix (outputs, size)."""
        matrix = np.zeros((len(self.first), size))
        for k, column in enumerate(self.weights.T):
            (used,) = np.nonzero(column)
            matrix[used, self.first[used] + k] += column[used]
        return matrix


def bilinear(size: int, outputs: int, *, antialias: bool) -> Taps:
    """Return the weights of `interpolate(mode="bilinear", align_corners=False)` on one axis."""
    exact, position = _positions(size, outputs)
    if antialias and outputs < size:
        return _triangles(size, size / outputs, exact, position)
    # Two taps, whose first may be the last sample of the input: what is beyond it weighs nothing.
    first = np.floor(np.clip(exact, 0, size - 1)).astype(int)
    beyond = np.clip(position, 0, size - 1) - first
    return Taps(first, np.stack([1 - beyond, beyond], axis=1))


def second_difference(taps: Taps) -> Taps:
    """Return taps which do to an input what `taps` do to its second difference."""
    # A triangle is straight but for three corners: dozens of taps become six.
    wide = np.diff(np.pad(taps.weights, ((0, 0), (2, 2))), n=2, axis=1)
    tiny = np.abs(wide) < 1e-12 * np.abs(wide).max()
    return Taps(taps.first - 1, np.where(tiny, 0.0, wide))


def _positions(size: int, outputs: int) -> tuple[Floats, Floats]:
    """Return where in the input each output lies: exactly, and as it is used."""
    at = np.arange(outputs)
    exact = (at + 0.5) * (size / outputs) - 0.5
    # torch reckons in float32, up to 3e-4 of a sample beside the exact place: at 299 columns that
    # is 1.2e-4 of the largest coefficient. Half way between the two is within 1e-4 of both.
    single = np.float32(size) / np.float32(outputs) * (at.astype(np.float32) + np.float32(0.5))
    return exact, (exact + (single - np.float32(0.5))) / 2


def _triangles(size: int, scale: float, exact: Floats, position: Floats) -> Taps:
    first = np.floor(exact - scale).astype(int)
    sources = first[:, None] + np.arange(int(np.ceil(2 * scale)) + 2)
    weights = np.clip(1 - np.abs(sources - position[:, None]) / scale, 0, None)
    weights[(sources < 0) | (sources >= size)] = 0
    return Taps(first, weights / weights.sum(axis=1, keepdims=True))
