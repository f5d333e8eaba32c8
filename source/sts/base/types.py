"""The types that signatures speak of, and the four classes in their fixed order."""

from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]
Ints = NDArray[np.integer[Any]]
Bools = NDArray[np.bool_]

# What layers multiply in; "auto": bfloat16 where the device is built for it.
Precision = Literal["auto", "float32", "tf32", "bfloat16"]
PRECISIONS: Final[tuple[Precision, ...]] = ("auto", "float32", "tf32", "bfloat16")

CLASSES: Final = ("Pvalb", "Excitatory", "Vip/Lamp5", "Sst")
