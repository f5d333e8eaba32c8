"""The array types that signatures speak of, and the four classes in their fixed order."""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]
Ints = NDArray[np.integer[Any]]
Bools = NDArray[np.bool_]

CLASSES: Final = ("Pvalb", "Excitatory", "Vip/Lamp5", "Sst")
