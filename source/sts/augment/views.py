"""One division made ready: training and scored rows as generators and classifiers see them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from sklearn.linear_model import Ridge

from sts.augment.neurons import Neurons
from sts.augment.reducers import NONE, Identity, Reducer, fit_reducer, reduced
from sts.augment.space import Space, fit_space
from sts.base.types import Floats, Ints

SPACES: Final = ("native", "reduced")
# What keeps the guess of a morphology from following every neuron it was learnt from.
PENALTY: Final = 30.0


@dataclass(frozen=True, kw_only=True)
class Preparing:
    """How rows are made ready."""

    reducer: str = NONE
    components: int = 15
    space: str = "native"
    """Where generators work: before or behind the reducer."""


@dataclass(frozen=True, eq=False)
class ViewedRows:
    """Rows of one side as classifiers take them."""

    complete: Floats
    missing: Floats
    """NaN where a value is missing; the complete ones behind a reducer."""

    def joined(self, other: "ViewedRows") -> "ViewedRows":
        """Return these rows and then the other ones."""
        return ViewedRows(
            np.concatenate([self.complete, other.complete]),
            np.concatenate([self.missing, other.missing]),
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class RowView:
    """What was learnt from training rows, and both sides of the division through it."""

    space: Space
    reducer: Reducer
    preparing: Preparing
    native: Floats
    """Training rows, complete and scaled."""
    y: Ints
    train: ViewedRows
    scored: ViewedRows
    native_scored: Floats

    @property
    def learnt_from(self) -> Floats:
        """Return the training rows that a generator sees."""
        return self.train.complete if self.preparing.space == "reduced" else self.native

    def made(self, rows: Floats) -> ViewedRows:
        """Return what a generator made as classifiers take it."""
        if self.preparing.space == "reduced":
            return ViewedRows(rows, rows)
        return _rows(self.space, self.reducer, rows)


def make_view(
    fit: Neurons, scored: Floats, preparing: Preparing, *, seed: int, names: Sequence[str]
) -> RowView:
    """Learn the space and the reducer from training neurons alone; take both sides through."""
    space = fit_space(fit.X, names)
    native, native_scored = space.transform(fit.X), space.transform(scored)
    reducer = fit_reducer(
        preparing.reducer, native, fit.y, components=preparing.components, seed=seed
    )
    return RowView(
        space=space,
        reducer=reducer,
        preparing=preparing,
        native=native,
        y=fit.y,
        train=_rows(space, reducer, native),
        scored=_rows(space, reducer, native_scored),
        native_scored=native_scored,
    )


def _rows(space: Space, reducer: Reducer, native: Floats) -> ViewedRows:
    if isinstance(reducer, Identity):
        return ViewedRows(native, space.with_missing(native))
    small = reduced(reducer, native)
    return ViewedRows(small, small)


def borrowed(view: RowView, lenders: Neurons) -> ViewedRows:
    """Return neurons that lack whole columns as rows of the view.

    Classifiers that take missing values see them missing. For the others they are guessed from
    the columns that are there, by ridge regression on the training rows that have both.
    """
    space = view.space
    native = space.transform(lenders.X)
    scaled = space.scaled(lenders.X)
    count = len(space.kept)
    absent = np.flatnonzero(np.isnan(scaled).all(axis=0))
    # Flags of what is never there would tell who was borrowed, and nothing else.
    silent = [count + at for at, places in enumerate(space.flags) if np.isin(places, absent).all()]
    native[:, silent] = 0.0
    if len(absent):
        there = np.setdiff1d(np.arange(native.shape[1]), [*absent, *silent])
        guess = Ridge(PENALTY).fit(view.native[:, there], view.native[:, absent])
        native[:, absent] = guess.predict(native[:, there]).reshape(len(native), -1)
    if isinstance(view.reducer, Identity):
        return ViewedRows(native, scaled)
    small = reduced(view.reducer, native)
    return ViewedRows(small, small)
