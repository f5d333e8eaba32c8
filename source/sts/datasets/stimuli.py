"""The features that are missing if a recording has fewer stimuli."""

from collections.abc import Sequence
from typing import Final

import numpy as np

from sts.base.types import Bools
from sts.datasets.formulas import FORMULAS, ingredients_of

RAMP, SHORT_SQUARE, SUBTHRESHOLD = "ramp", "short_square", "subthreshold"
# Features measured on steps below the threshold, which some protocols do not have.
PASSIVE: Final = frozenset({"ri", "sag", "tau", "vm_for_sag"})
# Names of protocols, and the stimuli that each protocol does not have.
PROTOCOLS: Final = {
    "without ramp": (RAMP,),
    "without short square": (SHORT_SQUARE,),
    "without subthreshold steps": (SUBTHRESHOLD,),
    "long square alone": (RAMP, SHORT_SQUARE),
    "spiking long square alone": (RAMP, SHORT_SQUARE, SUBTHRESHOLD),
}


def needs_stimulus(name: str, stimulus: str) -> bool:
    """Tell whether a feature, measured or derived, needs a stimulus."""
    raw = ingredients_of(FORMULAS[name]) if name in FORMULAS else {name}
    if stimulus == SUBTHRESHOLD:
        return not PASSIVE.isdisjoint(raw)
    return any(feature.endswith(f"_{stimulus}") for feature in raw)


def protocol_mask(names: Sequence[str], protocol: str) -> Bools:
    """Return which features are missing in a protocol of PROTOCOLS, (features,)."""
    missing = PROTOCOLS[protocol]
    return np.array([any(needs_stimulus(name, one) for one in missing) for name in names])


def protocol_masks(names: Sequence[str]) -> Bools:
    """Return the masks of all protocols, (protocols, features)."""
    return np.array([protocol_mask(names, protocol) for protocol in PROTOCOLS])


def without_indicators(names: Sequence[str]) -> tuple[str, ...]:
    """Return features without the indicators that another feature is missing.

    An indicator has the same value for a spike without a slow trough and for a missing stimulus.
    """
    return tuple(name for name in names if not name.startswith("missing_"))
