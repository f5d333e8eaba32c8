"""How a network is trained, and the space that the published search looked through."""

from dataclasses import dataclass
from typing import Any, Final, Literal

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

    batch: int = 32
    learning_rate: float = 1e-3
    factor: float = 1.0
    """What the learning rate is multiplied with every `every` epochs."""
    every: int = 10
    patience: int = 15
    """Epochs without a better validation loss after which training stops."""
    dropout: float = 0.0
    epochs: int = 100
    schedule: Schedule = "step"
    """`one_cycle` rises to `learning_rate` and falls to nothing within `epochs`."""
    class_weights: bool = False
    seed: int = 0
    compile: bool = False
    precision: Precision = "auto"
    """What layers multiply in; `auto`: bfloat16 on a GPU or CPU that is built for it. On a GPU
    `float32` keeps convolutions from TF32 too."""

    def __post_init__(self) -> None:
        """Refuse what cannot be trained with."""
        # One image has no batch statistics.
        for name, least in (("batch", 2), ("every", 1), ("patience", 1), ("epochs", 1)):
            if (value := getattr(self, name)) < least:
                raise StsError(f"{name} must be at least {least}, not {value}")
        if self.seed < 0:
            raise StsError(f"seed must be 0 or more, not {self.seed}")
        if not 0 < self.learning_rate <= 1:
            raise StsError(f"learning_rate must be above 0, at most 1, not {self.learning_rate}")
        if not 0 < self.factor <= 1:
            raise StsError(f"factor must be above 0, at most 1, not {self.factor}")
        if not 0 <= self.dropout < 1:
            raise StsError(f"dropout must be at least 0, below 1, not {self.dropout}")
        if self.schedule not in ("step", "one_cycle"):
            raise StsError(f"schedule must be step or one_cycle, not {self.schedule!r}")
        one_of(self.precision, PRECISIONS, "precision")
