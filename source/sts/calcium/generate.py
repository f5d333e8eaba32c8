"""Windows out of a generator."""

from typing import Final

import numpy as np
import torch

from sts.base.types import Floats
from sts.calcium.networks import Generator, draw_fresh

BATCH: Final = 64
# Enough to validate with: as many as there are in a quarter of an hour of short windows.
COUNT: Final = 128


def sample(generator: Generator, count: int = COUNT, *, seed: int | tuple[int, ...]) -> Floats:
    """Return `count` windows (count, neurons, length) in 0..1, the same for a seed."""
    rng = np.random.default_rng(seed)
    noise = rng.standard_normal((count, generator.settings.noise), dtype=np.float32)
    # On the CPU, so that a seed gives the same windows everywhere.
    random = torch.Generator().manual_seed(int(rng.integers(2**63)))
    device = next(generator.parameters()).device
    made = []
    with torch.inference_mode():
        for begin in range(0, count, BATCH):
            some = torch.from_numpy(noise[begin : begin + BATCH]).to(device)
            fresh = draw_fresh(generator.settings, len(some), random)
            made.append(generator(some, [each.to(device) for each in fresh]).float().cpu().numpy())
    return np.concatenate(made)
