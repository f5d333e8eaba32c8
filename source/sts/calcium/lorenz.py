"""Spike counts of neurons that follow a Lorenz system, as Kapoor et al. (2024) simulate them."""

from typing import Final

import numpy as np

from sts.base.types import Floats, Ints

# Parameters of the chaotic system (Lorenz, 1963), and its time in a frame.
PRANDTL, RAYLEIGH, BETA = 10.0, 28.0, 8 / 3
TIME_STEP: Final = 0.01
# Frames before the first one, and deviation of the starts.
BURNT_FRAMES: Final = 100
START_SPREAD: Final = 2.0
# Sharpness of the softplus that makes rates positive.
SHARPNESS: Final = 2.0
# Mean number of spikes of a neuron in a frame.
MEAN_COUNT: Final = 0.3


def simulate_lorenz_spikes(neurons: int, frames: int, rng: np.random.Generator) -> Ints:
    """Return Poisson counts (neurons, frames) of neurons that see one trajectory differently."""
    places = simulate_lorenz(frames, rng)
    loadings = rng.standard_normal((neurons, 3))
    loadings /= np.linalg.norm(loadings, axis=1, keepdims=True)
    drive = SHARPNESS * (loadings @ places + np.log(MEAN_COUNT))
    rates = np.logaddexp(0.0, drive)
    return np.asarray(rng.poisson(MEAN_COUNT * rates / rates.mean(axis=1, keepdims=True)))


def simulate_lorenz(frames: int, rng: np.random.Generator) -> Floats:
    """Return a trajectory (3, frames), each coordinate with mean 0 and deviation 1."""
    place = START_SPREAD * rng.standard_normal(3)
    places = np.empty((frames, 3))
    for frame in range(-BURNT_FRAMES, frames):
        first = _move(place)
        second = _move(place + TIME_STEP / 2 * first)
        third = _move(place + TIME_STEP / 2 * second)
        fourth = _move(place + TIME_STEP * third)
        place = place + TIME_STEP / 6 * (first + 2 * second + 2 * third + fourth)
        if frame >= 0:
            places[frame] = place
    return np.asarray(((places - places.mean(axis=0)) / places.std(axis=0)).T)


def _move(place: Floats) -> Floats:
    x, y, z = place
    return np.array([PRANDTL * (y - x), x * (RAYLEIGH - z) - y, x * y - BETA * z])
