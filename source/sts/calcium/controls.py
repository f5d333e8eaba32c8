"""Controls: real windows from which relations in time or between neurons are removed."""

from typing import TypeVar

import numpy as np

from sts.base.types import Floats, Ints

_Windows = TypeVar("_Windows", Floats, Ints)


def shuffle_phases(windows: Floats, rng: np.random.Generator) -> Floats:
    """Return windows (n, neurons, frames) with random shifts of the phases of their spectra.

    All neurons of a window have the same shifts (Prichard and Theiler, 1994): spectra and linear
    correlations stay, the shape of a transient is lost.
    """
    frames = windows.shape[-1]
    spectra = np.fft.rfft(windows, axis=-1)
    phases = rng.uniform(0, 2 * np.pi, (len(windows), 1, spectra.shape[-1]))
    # The mean, and the highest frequency of an even number of frames, are real.
    phases[..., 0] = 0
    if frames % 2 == 0:
        phases[..., -1] = 0
    shifted = np.fft.irfft(spectra * np.exp(1j * phases), n=frames, axis=-1)
    return np.asarray(shifted, dtype=np.float32)


def shuffle_train_phases(trains: Ints, rng: np.random.Generator) -> Ints:
    """Return spike counts with shuffled phases, at the frames where the shuffled trace is highest.

    Each neuron of a window keeps its counts, which go to its highest frames in falling order.
    """
    shuffled = shuffle_phases(trains.astype(np.float32), rng)
    order = np.argsort(-shuffled, axis=-1, kind="stable")
    counts = -np.sort(-trains, axis=-1)
    result = np.zeros_like(trains)
    np.put_along_axis(result, order, counts, axis=-1)
    return result


def shuffle_neurons(windows: _Windows, rng: np.random.Generator) -> _Windows:
    """Return windows (n, neurons, frames) whose order is shuffled for each neuron separately.

    The statistics of each neuron stay; the relations between neurons are lost.
    """
    n, neurons, _ = windows.shape
    order = rng.permuted(np.tile(np.arange(n), (neurons, 1)), axis=1).T
    shuffled: _Windows = windows[order, np.arange(neurons)]
    return shuffled
