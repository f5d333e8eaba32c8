"""Conditional sampling: the features that added rows must have, and a generator of such rows.

Rows of any generator without these features are refused. What remains is distributed exactly as
the generator says that rows with these features are.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, Self

import numpy as np

from sts.augment.contract import Generator
from sts.augment.neurons import Neurons
from sts.augment.preparation import SET, Space
from sts.base.errors import StsError, one_of
from sts.base.types import Bools, Floats, Ints, Texts
from sts.datasets.allen import TABLES, find_allen, read_allen

# The annotation that can be given in addition to features. It is no feature of classifiers.
DENDRITE: Final = "dendrite"
# Rows of each class from which the share of accepted rows is estimated.
TRIED_ROWS: Final = 2000
# Smallest share of accepted rows for which a class gets rows: fewer would take too long.
LEAST_ACCEPTED: Final = 0.01
# Most rows that are generated at once.
MOST_AT_ONCE: Final = 20_000
# Fewest neurons with the given features on each side of a division whose fidelity is measured.
FEWEST_MEASURED: Final = 20
# The end of a note on a class without accepted rows.
NO_ROW: Final = "no row is added"


@dataclass(frozen=True, kw_only=True, eq=False)
class Condition:
    """The features that added rows must have, and the neurons that have them."""

    words: str
    """As given, such as `dendrite=spiny, tau=15:25`."""
    ranges: Mapping[str, tuple[float, float]]
    """The smallest and the largest value by feature, in units of the table."""
    dendrite: Bools | None
    """(neurons,) whether the dendrite is known and as given; None if none is given."""
    met: Bools
    """(neurons,) whether a neuron has all given features."""

    def is_measurable(self, fit: Ints, scored: Ints) -> bool:
        """Tell whether both sides have enough neurons with these features to compare rows with."""
        return all(self.met[side].sum() >= FEWEST_MEASURED for side in (fit, scored))


def make_condition(texts: Sequence[str], neurons: Neurons, data: Path) -> Condition:
    """Return the condition that texts such as `tau=15:25` describe.

    Parameters
    ----------
    data
        The folder with a table of the Allen Institute, for the dendrites.
    """
    ranges: dict[str, tuple[float, float]] = {}
    dendrite: Bools | None = None
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not value:
            raise StsError(
                f"--given {text!r}: name a feature and its values, such as tau=15:25 or "
                f"{DENDRITE}=spiny"
            )
        one_of(name, (*neurons.names, DENDRITE), "feature in --given")
        if name in ranges or (name == DENDRITE and dendrite is not None):
            raise StsError(f"--given {text!r}: {name} is given twice; give it once")
        if name == DENDRITE:
            known = _read_dendrites(neurons, data)
            dendrite = known == one_of(value, set(known.tolist()) - {""}, "dendrite in --given")
        else:
            ranges[name] = _read_range(text, value)
    columns = neurons.columns()
    met = np.ones(len(neurons), dtype=bool) if dendrite is None else dendrite.copy()
    for name, (low, high) in ranges.items():
        # Missing values are in no range.
        met &= (columns[name] >= low) & (columns[name] <= high)
    words = ", ".join(texts)
    if not met.any():
        shown = (f"{name} is {_span(columns[name])}" for name in ranges)
        raise StsError(f"no neuron has {words}: {'; '.join(shown)}; widen what is given")
    return Condition(words=words, ranges=ranges, dendrite=dendrite, met=met)


def _read_range(text: str, value: str) -> tuple[float, float]:
    """Return both ends of `15:25`; an empty end is open."""
    low, colon, high = value.partition(":")
    if not colon:
        raise StsError(
            f"--given {text!r}: hardly a row has exactly this value; give a range such as 15:25, "
            "15: or :25"
        )
    try:
        ends = float(low or "-inf"), float(high or "inf")
    except ValueError as error:
        raise StsError(f"--given {text!r}: {value!r} is no range of numbers") from error
    if not ends[0] <= ends[1]:
        raise StsError(f"--given {text!r}: the smaller end comes first")
    return ends


def _span(values: Floats) -> str:
    return f"{np.nanmin(values):.4g} to {np.nanmax(values):.4g}"


def _read_dendrites(neurons: Neurons, data: Path) -> Texts:
    """Return the type of the dendrite of each neuron, empty where it is not known."""
    tables = [read_allen(path) for path in find_allen([data])]
    known = {name: cell.dendrite for table in tables for name, cell in table.items()}
    dendrites = np.array([known.get(name, "") for name in neurons.specimen_id.tolist()])
    if not dendrites.astype(bool).any():
        raise StsError(
            f"--given {DENDRITE}: no table in {data} says which dendrite these neurons have; put "
            f"{' or '.join(TABLES)} there"
        )
    return dendrites


@dataclass(frozen=True, kw_only=True, eq=False)
class ConditionalGenerator:
    """A generator of which only rows with given features are used.

    A dendrite, which is no feature, becomes one more column of the rows that it is fitted on.
    """

    generator: Generator
    condition: Condition
    space: Space
    which: Ints
    """Indices of the training neurons among those of the condition."""
    accepted: Mapping[int, float] = field(default_factory=dict)
    """The share of accepted rows of each class with enough of them."""
    features: int = 0
    notes: tuple[str, ...] = ()

    def fit(self, X: Floats, y: Ints, rng: np.random.Generator) -> Self:
        """Return a generator fitted on all rows, with or without the given features."""
        if self.condition.dendrite is None:
            rows = X
        else:
            rows = np.column_stack([X, self.condition.dendrite[self.which]])
        generator = self.generator.fit(rows, y, rng)
        fitted = replace(self, generator=generator, features=X.shape[1])
        words, met = self.condition.words, self.condition.met[self.which]
        shares, notes = {}, []
        for label in np.unique(y).tolist():
            real = int(met[y == label].sum())
            if not real:
                notes.append(f"class {label}: no training neuron has {words}, so {NO_ROW}")
                continue
            count = int(fitted._accept(generator.sample(label, TRIED_ROWS, rng)).sum())
            if count < LEAST_ACCEPTED * TRIED_ROWS:
                notes.append(
                    f"class {label}: {count} of {TRIED_ROWS:,} rows have {words} ({real} training "
                    f"neurons have), so {NO_ROW}"
                )
                continue
            shares[label] = count / TRIED_ROWS
        if not shares:
            raise StsError(f"too few rows of any class have {words}: widen what is given")
        notes.append(
            f"{100 * min(shares.values()):.0f} to {100 * max(shares.values()):.0f} % of the rows "
            f"of a class have {words}"
        )
        return replace(fitted, accepted=shares, notes=(*generator.notes, *notes))

    def sample(self, label: int, n: int, rng: np.random.Generator) -> Floats:
        """Return `n` rows of a class with the given features, none if it has too few of them."""
        share = self.accepted.get(label)
        kept: list[Floats] = [np.empty((0, self.features))]
        missing = 0 if share is None else n
        while share is not None and missing:
            wanted = min(math.ceil(missing / share) + 1, MOST_AT_ONCE)
            rows = self.generator.sample(label, wanted, rng)
            kept.append(rows[self._accept(rows)][:missing, : self.features])
            missing -= len(kept[-1])
        return np.concatenate(kept)

    def _accept(self, rows: Floats) -> Bools:
        """Tell which rows of the generator have the given features."""
        features = self.space.names
        count = len(features)
        accepted = (
            np.ones(len(rows), dtype=bool)
            if self.condition.dendrite is None
            else rows[:, count] > SET
        )
        values = self.space.inverse_transform(rows[:, :count])
        for name, (low, high) in self.condition.ranges.items():
            if name not in features:
                return np.zeros(len(rows), dtype=bool)
            column = values[:, features.index(name)]
            accepted &= (column >= low) & (column <= high)
        return accepted
