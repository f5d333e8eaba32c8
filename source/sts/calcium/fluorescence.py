"""From spikes to calcium: a decay of first or second order, and noise."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.signal import lfilter

from sts.base.errors import StsError
from sts.base.types import Floats, Ints

# The published decay and noise (Li et al., 2020), at 24 frames a second.
DECAY: Final = (0.95,)
ROUNDING: Final = 1e-12


@dataclass(frozen=True, kw_only=True)
class CalciumModel:
    """How calcium follows spikes: c(t) = g1 c(t-1) + g2 c(t-2) + spikes(t), and what is seen."""

    decay: tuple[float, ...] = DECAY
    """g of a first-order model, or g1 and g2 of one that also rises slowly."""
    noise: float = 0.3
    """Deviation of what is added, in units of a spike."""
    amplitude: float = 1.0
    """Of a spike."""
    baseline: float = 0.0

    def __post_init__(self) -> None:
        """Refuse a decay that grows, and noise below nothing."""
        check_decay(self.decay)
        if self.noise < 0 or self.amplitude <= 0:
            raise StsError(
                f"noise must be 0 or more and amplitude above 0, not {self.noise} and "
                f"{self.amplitude}"
            )


def check_decay(decay: tuple[float, ...]) -> None:
    """Refuse coefficients whose response to a spike does not decay without ringing."""
    if len(decay) not in (1, 2):
        raise StsError(f"a decay has 1 or 2 coefficients, {len(decay)} came: give g, or g1 and g2")
    first, second = (*decay, 0.0)[:2]
    # What rounding leaves of two equal roots is no ringing.
    rings = first**2 + 4 * second < -ROUNDING
    if not np.isfinite(decay).all() or rings or not all(0 < root < 1 for root in roots_of(decay)):
        raise StsError(
            f"the decay {', '.join(map(str, decay))} does not die away: its roots must be real, "
            "between 0 and 1, such as 0.95, or 1.7 and -0.712"
        )


def roots_of(decay: tuple[float, ...]) -> Floats:
    """Return the roots of the model, largest first: each a factor from frame to frame."""
    if len(decay) == 1:
        return np.array(decay)
    first, second = decay
    apart = np.sqrt(max(first**2 + 4 * second, 0.0))
    return np.array([first + apart, first - apart]) / 2


def fluorescence(spikes: Ints | Floats, model: CalciumModel, rng: np.random.Generator) -> Floats:
    """Return what is seen of spikes (..., frames), float32 of the same shape."""
    seen = calcium_of(spikes, model.decay) * np.float32(model.amplitude)
    seen += np.float32(model.baseline)
    if model.noise:
        seen += np.float32(model.noise) * rng.standard_normal(seen.shape, dtype=np.float32)
    return seen


def calcium_of(spikes: Ints | Floats, decay: tuple[float, ...]) -> Floats:
    """Return calcium without noise of spikes (..., frames), float32."""
    denominator = np.array([1.0, *(-g for g in decay)], dtype=np.float32)
    found = lfilter(np.ones(1, np.float32), denominator, spikes.astype(np.float32), axis=-1)
    return np.asarray(found, dtype=np.float32)
