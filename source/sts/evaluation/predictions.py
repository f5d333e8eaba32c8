"""What a classifier says of each cell, beside what the cell is known to be."""

import hashlib
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from sts.base.errors import StsError
from sts.base.types import CLASSES, Bools, Floats, Ints

Texts = NDArray[np.str_]

UNKNOWN: Final = -1
# A softmax in float32 misses 1 by 1e-6; what misses it by more was never normalised.
SUM_TOLERANCE: Final = 1e-4


@dataclass(frozen=True, kw_only=True, eq=False)
class Predictions:
    """The class probabilities of n cells; row i of every array is cell i."""

    specimen_id: Texts
    dataset: Texts
    """Where a cell comes from, "" if that is not known."""
    truth: Ints
    """Index into `classes`, -1 if it is not known."""
    probabilities: Floats
    """(n, classes), float64."""
    classes: tuple[str, ...] = CLASSES
    donor_id: Texts | None = None
    """The animal or person a cell is from, "" if that is not known; None: of no cell."""

    def __post_init__(self) -> None:
        n, count = len(self.specimen_id), len(self.classes)
        shapes = {"dataset": (n,), "truth": (n,), "probabilities": (n, count)}
        shapes |= {"donor_id": (n,)} if self.donor_id is not None else {}
        for name, shape in shapes.items():
            if (came := getattr(self, name).shape) != shape:
                raise ValueError(f"{name} must have shape {shape}, not {came}")
        if not ((self.truth >= UNKNOWN) & (self.truth < count)).all():
            raise ValueError(f"truth must lie between {UNKNOWN} and {count - 1}")
        self._check_cells()

    def _check_cells(self) -> None:
        ids, times = np.unique(self.specimen_id, return_counts=True)
        if (times > 1).any():
            raise StsError(
                f"specimen {ids[times > 1][0]} is predicted {times.max()} times: keep one of them"
            )
        with np.errstate(invalid="ignore"):
            gaps = np.abs(self.probabilities.sum(axis=1) - 1.0)
            fair = (self.probabilities >= 0.0).all(axis=1) & (gaps <= SUM_TOLERANCE)
        if not fair.all():
            row = int(np.argmin(fair))
            came = ", ".join(f"{value:.4g}" for value in self.probabilities[row])
            raise StsError(
                f"the probabilities of specimen {self.specimen_id[row]} are {came}: "
                "numbers from 0 to 1 with a sum of 1 are wanted; did the training diverge?"
            )

    def __len__(self) -> int:
        return len(self.specimen_id)

    @property
    def prediction(self) -> Ints:
        """Return the most probable class of each cell; of equals the first."""
        most_probable: Ints = self.probabilities.argmax(axis=1)
        return most_probable

    @property
    def labelled(self) -> Bools:
        """Tell which cells are of a known class."""
        known: Bools = self.truth != UNKNOWN
        return known

    def rows(self, which: Bools | Ints) -> "Predictions":
        """Return the cells that a mask or indices choose, in that order."""
        return Predictions(
            specimen_id=self.specimen_id[which],
            dataset=self.dataset[which],
            truth=self.truth[which],
            probabilities=self.probabilities[which],
            classes=self.classes,
            donor_id=None if self.donor_id is None else self.donor_id[which],
        )

    @property
    def donors(self) -> Texts:
        """Return the donor of each cell, "" where it is not known."""
        none: Texts = np.full(len(self), "", dtype=np.str_)
        return none if self.donor_id is None else self.donor_id

    def fingerprint(self) -> str:
        """Return a digest of who the cells are, whatever their order."""
        ids = "\n".join(sorted(self.specimen_id.tolist()))
        return hashlib.sha256(ids.encode("utf-8", "surrogatepass")).hexdigest()[:16]

    def scorable(self) -> "Predictions":
        """Return the cells of known class, ordered by id: the order they came in must not count."""
        order = np.argsort(self.specimen_id)
        return self.rows(order[self.labelled[order]])
