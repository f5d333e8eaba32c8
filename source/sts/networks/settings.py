"""How a network is trained, and the space that the published search looked through."""

from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal

from sts.base.bounds import Bounds, Count, Part, Seed, Share, check_fields
from sts.base.errors import StsError, one_of
from sts.base.types import PRECISIONS, Precision

Schedule = Literal["step", "one_cycle"]

# Field of TrainSettings -> kind and its arguments, as Amprimo et al. (2025) searched.
SPACE: Final[dict[str, tuple[Any, ...]]] = {
    "batch": ("choice", (32, 64)),
    "learning_rate": ("log_float", 1e-3, 8e-2),
    # 1.0: the published "none".
    "factor": ("choice", (1.0, 0.1, 0.01)),
    "every": ("int", 5, 20),
    "patience": ("int", 10, 20),
    "dropout": ("choice", (0.0, 0.3, 0.5, 0.7)),
}


@dataclass(frozen=True, kw_only=True)
class TrainSettings:
    """One way to train a network; defaults lie inside the published space."""

    # One image has no batch statistics.
    batch: Annotated[int, Bounds(2, 65536)] = 32
    learning_rate: Share = 1e-3
    factor: Share = 1.0
    """What the learning rate is multiplied with every `every` epochs."""
    every: Count = 10
    patience: Count = 15
    """Epochs without a better validation loss after which training stops."""
    dropout: Part = 0.0
    epochs: Count = 100
    schedule: Schedule = "step"
    """`one_cycle` rises to `learning_rate` and falls to nothing within `epochs`."""
    class_weights: bool = False
    seed: Seed = 0
    compile: bool = False
    precision: Precision = "auto"
    """What layers multiply in; `auto`: bfloat16 on a GPU or CPU that is built for it. On a GPU
    `float32` keeps convolutions from TF32 too."""

    def __post_init__(self) -> None:
        """Refuse what cannot be trained with."""
        check_fields(self)
        if self.schedule not in ("step", "one_cycle"):
            raise StsError(f"schedule must be step or one_cycle, not {self.schedule!r}")
        one_of(self.precision, PRECISIONS, "precision")
