"""Small sweep stores of made-up numbers."""

import numpy as np

from sts.base.types import CLASSES
from sts.datasets.store import SweepStore
from sts.signals.resample import SAMPLES


def make_store(n: int = 4) -> SweepStore:
    """Return a sound store of n cells, no two alike."""
    generator = np.random.default_rng(n)
    return SweepStore(
        traces=generator.normal(-70.0, 2.0, (n, 2, SAMPLES)).astype(np.float32),
        specimen_id=np.array([f"60000{i}" for i in range(n)], dtype=np.str_),
        donor_id=np.array([f"donor {i // 2} µ" for i in range(n)], dtype=np.str_),
        label=np.array([CLASSES[i % 4] for i in range(n)], dtype=np.str_),
        dataset=np.array(["PatchSeq", "PatchClamp"] * n, dtype=np.str_)[:n],
        claimed_id=np.full(n, ""),
        rheobase_pa=50.0 + 10.0 * np.arange(n),
        step_pa=90.0 + 10.0 * np.arange(n),
        onset_s=np.full(n, 1.02),
    )
