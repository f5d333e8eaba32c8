"""Weights of a bilinear resize, against torch's own resize."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from sts.scalograms.resize import Taps, bilinear, second_difference

COLUMNS = [(4800, width) for width in (1, 224, 240, 244, 299, 4799, 4800, 7000)]
ROWS = [(180, height) for height in (1, 96, 180, 224)]


@pytest.mark.parametrize("antialias", [False, True])
@pytest.mark.parametrize(("size", "outputs"), [*COLUMNS, *ROWS, (1, 5)])
def test_it_resizes_as_interpolate_does(size: int, outputs: int, antialias: bool) -> None:
    line = np.random.default_rng(size + outputs).normal(size=size)
    image = torch.from_numpy(line)[None, None, None]
    wanted = functional.interpolate(
        image, size=(1, outputs), mode="bilinear", antialias=antialias
    ).flatten()
    ours = bilinear(size, outputs, antialias=antialias).dense(size) @ line
    # Half of what float32 moves a position by, 1.5e-4 of a sample, times steps of up to 8.
    np.testing.assert_allclose(ours, wanted.numpy(), atol=1.5e-3 if size > 180 else 1e-4)


@pytest.mark.parametrize("antialias", [False, True])
def test_weights_sum_to_one(antialias: bool) -> None:
    for outputs in (1, 96, 224, 5000):
        weights = bilinear(4800, outputs, antialias=antialias).weights
        np.testing.assert_allclose(weights.sum(axis=1), 1, atol=1e-12)


def test_second_differences_of_a_triangle_are_few_and_do_the_same() -> None:
    taps = bilinear(4800, 224, antialias=True)
    sparse = second_difference(taps)
    assert np.count_nonzero(sparse.weights, axis=1).max() <= 7
    # One sample more at either end: that is where the differences of the first and last lie.
    line = np.random.default_rng(3).normal(size=4802)
    wanted = taps.dense(4800) @ np.diff(line, n=2)
    ours = Taps(sparse.first + 1, sparse.weights).dense(4802) @ line
    # float64 either way.
    np.testing.assert_allclose(ours, wanted, atol=1e-12)
