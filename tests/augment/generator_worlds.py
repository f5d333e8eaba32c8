"""Small tables whose law is known, and settings under which every generator learns them quickly."""

from typing import Any

import numpy as np

from sts.base.types import Floats, Ints

SMALL: dict[str, Any] = {"width": 32, "depth": 1}
SHORT: dict[str, Any] = {"steps": 20, "batch": 32, "check_every": 10}
LONG: dict[str, Any] = {"steps": 700, "batch": 256, "learning_rate": 3e-3, "held_out": 0.2}
WIDE: dict[str, Any] = {"width": 64, "depth": 2}

# Enough to keep the contract, not to be good.
QUICK: dict[str, dict[str, Any]] = {
    "gan": {"layers": SMALL, "loop": SHORT, "noise": 4},
    "vae": {"layers": SMALL, "loop": SHORT, "latent": 4},
    "flow": {"loop": SHORT, "transforms": 2, "width": 16, "depth": 1},
    "ddpm": {"layers": SMALL, "loop": SHORT, "sampling_steps": 5},
}
# Enough to learn a table of two features.
ABLE: dict[str, dict[str, Any]] = {
    "gan": {
        "layers": {"width": 96, "depth": 1},
        # The distance that would stop it needs more held-out rows than there are.
        "loop": LONG | {"steps": 500, "batch": 128, "weight_decay": 0.0, "held_out": 0.0},
        "noise": 8,
        "critic_steps": 4,
        "penalty": 1.0,
    },
    "vae": {"layers": WIDE, "loop": LONG, "latent": 2},
    "flow": {"loop": LONG, "transforms": 4, "width": 64, "depth": 2},
    "ddpm": {"layers": WIDE, "loop": LONG, "sampling_steps": 20},
}


def clouds(
    counts: dict[int, int], rng: np.random.Generator, *, features: int = 4, apart: float = 12.0
) -> tuple[Floats, Ints]:
    """Return normal clouds, so many rows of each label, their centres `apart` deviations apart."""
    y = np.repeat(list(counts), list(counts.values()))
    centres = {label: apart * place for place, label in enumerate(counts)}
    X = rng.standard_normal((len(y), features))
    X[:, 0] += [centres[label] for label in y.tolist()]
    return X, y


def moons(count: int, rng: np.random.Generator, *, gap: float = 0.2) -> tuple[Floats, Ints]:
    """Return two crescents, one a class, back to back, the second shifted down by a gap."""
    y = np.repeat([0, 1], count)
    angle = np.pi * rng.random(2 * count)
    upper = np.column_stack([np.cos(angle), np.sin(angle)])
    lower = np.column_stack([1 - np.cos(angle), -gap - np.sin(angle)])
    X = np.where(y[:, None] == 0, upper, lower)
    return X + 0.15 * rng.standard_normal(X.shape), y


def bent(count: int, rng: np.random.Generator) -> tuple[Floats, Ints]:
    """Return two classes with skewed features that rise together in one and not in the other."""
    y = np.repeat([0, 1], count)
    normal = rng.standard_normal((2 * count, 2))
    along = np.array([0.9, -0.7])[y]
    normal[:, 1] = along * normal[:, 0] + np.sqrt(1 - along**2) * normal[:, 1]
    return np.exp(0.6 * normal) + 3.0 * y[:, None], y
