"""Cells whose class shows in how they fire, few and small enough for a network in a test."""

import numpy as np
import torch

from sts.base.types import CLASSES, Ints
from sts.datasets.store import SweepStore
from sts.signals.resample import RATE_HZ, SAMPLES

# Spikes a second, and width and height of a spike, by class: few cells and epochs shall do.
RATES_HZ = (80.0, 5.0, 15.0, 35.0)
WIDTHS_MS = (0.5, 2.0, 1.0, 1.5)
HEIGHTS_MV = (40.0, 100.0, 60.0, 80.0)


def make_world(n: int = 16, *, seed: int = 0) -> SweepStore:
    """Return a store of n cells, class by class in turn."""
    rng = np.random.default_rng(seed)
    classes = np.arange(n) % len(CLASSES)
    traces = np.stack([[_sweep(rng, c, 1.0), _sweep(rng, c, 1.5)] for c in classes])
    return SweepStore(
        traces=traces.astype(np.float32),
        specimen_id=np.array([f"7000{i:02d}" for i in range(n)], dtype=np.str_),
        donor_id=np.array([f"donor {i}" for i in range(n)], dtype=np.str_),
        label=np.array([CLASSES[c] for c in classes], dtype=np.str_),
        dataset=np.array(["PatchSeq", "PatchClamp"] * n, dtype=np.str_)[:n],
        claimed_id=np.full(n, ""),
        rheobase_pa=np.full(n, 100.0),
        step_pa=np.full(n, 140.0),
        onset_s=np.full(n, 1.02),
    )


def labels_of(store: SweepStore) -> Ints:
    return np.array([CLASSES.index(label) for label in store.label])


def _sweep(rng: np.random.Generator, label: int, faster: float) -> np.ndarray:
    time_s = np.arange(SAMPLES) / RATE_HZ
    trace = -70 + rng.normal(scale=0.2, size=SAMPLES)
    trace[400:4400] += 15
    gap_s = 1 / (RATES_HZ[label] * faster * rng.uniform(0.9, 1.1))
    for spike_s in np.arange(0.11 + gap_s * rng.uniform(0, 1), 1.09, gap_s):
        shape = np.exp(-0.5 * ((time_s - spike_s) / (WIDTHS_MS[label] * 1e-3)) ** 2)
        trace += HEIGHTS_MV[label] * shape
    return trace


def same_state(one: torch.nn.Module, other: torch.nn.Module) -> bool:
    """Tell whether two networks agree in every bit."""
    mine, theirs = one.state_dict(), other.state_dict()
    return mine.keys() == theirs.keys() and all(torch.equal(mine[k], theirs[k]) for k in mine)
