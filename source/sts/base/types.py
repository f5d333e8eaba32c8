"""Types of arrays and of precision, and the four classes of neurons in their fixed order."""

from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]
Ints = NDArray[np.integer[Any]]
Bools = NDArray[np.bool_]
Texts = NDArray[np.str_]

# Precision of the layers of a network; "auto" is bfloat16 on devices that are built for it.
Precision = Literal["auto", "float32", "tf32", "bfloat16"]
PRECISIONS: Final[tuple[Precision, ...]] = ("auto", "float32", "tf32", "bfloat16")

CLASSES: Final = ("Pvalb", "Excitatory", "Vip/Lamp5", "Sst")
