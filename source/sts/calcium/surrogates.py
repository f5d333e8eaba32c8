"""Controls that keep some of what real windows are like and lose the rest by design."""

import numpy as np

from sts.base.types import Floats


def phase_shuffled(windows: Floats, rng: np.random.Generator) -> Floats:
    """Return windows (n, neurons, frames) with the phases of their spectra moved at random.

    All neurons of a window are moved alike (Prichard and Theiler, 1994): spectra and linear
    correlations stay, the shape of a transient is lost.
    """
    frames = windows.shape[-1]
    spectra = np.fft.rfft(windows, axis=-1)
    phases = rng.uniform(0, 2 * np.pi, (len(windows), 1, spectra.shape[-1]))
    # The mean, and the highest frequency of an even number of frames, are real.
    phases[..., 0] = 0
    if frames % 2 == 0:
        phases[..., -1] = 0
    moved = np.fft.irfft(spectra * np.exp(1j * phases), n=frames, axis=-1)
    return np.asarray(moved, dtype=np.float32)


def independent(windows: Floats, rng: np.random.Generator) -> Floats:
    """Return windows in which each neuron is as it was at some other time than its neighbours.

    Every neuron stays what it is alone; nothing is left that neurons do together.
    """
    n, neurons, _ = windows.shape
    order = rng.permuted(np.tile(np.arange(n), (neurons, 1)), axis=1).T
    return np.asarray(windows[order, np.arange(neurons)])
