"""What there is to evaluate: the grid, and one method on one division of it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from sts.augment.division import Division
from sts.augment.grid import BASELINE, BORROW, ScoreKey
from sts.augment.neurons import Neurons
from sts.augment.views import Preparing
from sts.tabular.classifiers import CLASSIFIERS, VOTE

# Parts of the training rows at which the learning curve is drawn; all of them are the baseline.
CURVE: Final = (0.2, 0.4, 0.6, 0.8)
WEIGHTS: Final = "weights"


@dataclass(frozen=True, kw_only=True)
class Grid:
    """Which cells there are, and how each is made."""

    added: tuple[int, ...] = (100, 500, 1000)
    classifiers: tuple[str, ...] = (*CLASSIFIERS, VOTE)
    preparing: Preparing = field(default_factory=Preparing)
    tune: bool = False
    curves: bool = True
    seed: int = 0
    device: str = "cpu"


@dataclass(frozen=True, kw_only=True, eq=False)
class Item:
    """One method on one division, with all that is needed to work on it anywhere."""

    method: str
    task: str
    division: Division
    neurons: Neurons
    grid: Grid
    lenders: Neurons | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Of the generator, where they differ from the tuned ones."""

    def cells(self) -> list[ScoreKey]:
        """Return the cells of this item."""
        return [
            ScoreKey(
                method=self.method,
                repeat=self.division.repeat,
                fold=self.division.fold,
                added=added,
                part=part,
                classifier=name,
            )
            for added, part in self._levels()
            for name in self.grid.classifiers
        ]

    def _levels(self) -> Iterator[tuple[int, float]]:
        if self.method in (BORROW, WEIGHTS):
            yield 0, 1.0
        elif self.method == BASELINE:
            # One repeat is enough for a curve.
            parts = CURVE if self.grid.curves and self.division.repeat == 0 else ()
            yield from ((0, part) for part in (*parts, 1.0))
        else:
            yield from ((added, 1.0) for added in self.grid.added)
