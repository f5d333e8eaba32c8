"""Prepare rows for generators and classifiers: scaled, complete, and with fewer dimensions.

Everything here is fitted on training rows only.
"""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np
from sklearn.decomposition import PCA, FastICA, TruncatedSVD
from sklearn.linear_model import Ridge
from sklearn.manifold import Isomap, LocallyLinearEmbedding
from sklearn.neighbors import NeighborhoodComponentsAnalysis
from sklearn.preprocessing import QuantileTransformer, RobustScaler, StandardScaler

from sts.augment.curation import DERIVED, family_of
from sts.augment.neurons import Neurons
from sts.base.errors import StsError, one_of
from sts.base.types import Bools, Floats, Ints

# Number of quantiles from which ranks are interpolated.
RANKED_QUANTILES: Final = 200
# The middle of a column, as quantiles. Values are clipped at one width of the middle outside it: a
# latency of half a second, or a ratio with a denominator near 0, would dominate all other neurons.
CLIPPED_QUANTILES: Final = (0.005, 0.995)
# Value above which a flag is set: generators return values between 0 and 1.
SET: Final = 0.5
# Neighbours of a neuron on a manifold.
MANIFOLD_NEIGHBOURS: Final = 15
NONE: Final = "none"
SPACES: Final = ("native", "reduced")
# Penalty of the regression that predicts a morphology; it prevents overfitting to single neurons.
PENALTY: Final = 30.0


def _rank_scaler(rows: int) -> Any:
    # Quotients have long tails, so they are ranked. Without subsampling, ranks are not random.
    return QuantileTransformer(
        n_quantiles=min(RANKED_QUANTILES, rows), output_distribution="normal", subsample=None
    )


# The scaling of each family as in Vasques and Cif (2025), who have no derived features.
SCALERS: Final[dict[str, Callable[[int], Any] | None]] = {
    "timing": lambda rows: RobustScaler(),
    "voltage": lambda rows: StandardScaler(),
    "continuous": lambda rows: StandardScaler(),
    "morphology": lambda rows: StandardScaler(),
    "ratio": None,
    DERIVED: _rank_scaler,
}


@dataclass(frozen=True, kw_only=True, eq=False)
class Space:
    """Scales, medians and missing values of training rows."""

    names: tuple[str, ...]
    """The columns that have a value in some training row, then the flags."""
    kept: Ints
    """The indices of those columns among the features."""
    scalers: tuple[tuple[Ints, Any], ...]
    """Indices among the kept columns, and their scaler."""
    low: Floats
    """(kept,) the smallest scaled values; smaller ones are clipped."""
    high: Floats
    """(kept,) the largest scaled values; larger ones are clipped."""
    fill: Floats
    """(kept,) scaled medians, which replace missing values."""
    flags: tuple[Ints, ...]
    """For each flag, the kept columns that lack values in the same training rows."""

    def scale(self, X: Floats) -> Floats:
        """Return the kept columns scaled and clipped, NaN where a value is missing."""
        Z: Floats = np.array(X[:, self.kept], dtype=np.float64)
        for places, scaler in self.scalers:
            Z[:, places] = scaler.transform(Z[:, places])
        return np.clip(Z, self.low, self.high)

    def transform(self, X: Floats) -> Floats:
        """Return complete rows: scaled columns with missing values filled, then the flags."""
        Z = self.scale(X)
        missing = np.isnan(Z)
        flags = [missing[:, places].all(axis=1) for places in self.flags]
        return np.column_stack([np.where(missing, self.fill, Z), *flags])

    def restore_missing(self, Z: Floats) -> Floats:
        """Return the scaled columns of complete rows, NaN where a flag is set."""
        count = len(self.kept)
        scaled = np.array(Z[:, :count])
        for place, columns in enumerate(self.flags):
            rows = np.flatnonzero(Z[:, count + place] > SET)
            scaled[np.ix_(rows, columns)] = np.nan
        return scaled

    def inverse_transform(self, Z: Floats) -> Floats:
        """Return complete rows in the units of the table, NaN where a flag is set."""
        X = self.restore_missing(Z)
        for places, scaler in self.scalers:
            X[:, places] = scaler.inverse_transform(X[:, places])
        return X


def fit_space(X: Floats, names: Sequence[str]) -> Space:
    """Fit scales, medians and flags on training rows X (n, features), NaN where one is missing.

    A column without any value is left out; a constant one becomes zeros.
    """
    present = np.isfinite(X)
    kept = np.flatnonzero(present.any(axis=0))
    if not len(kept):
        raise StsError("all values of the training rows are missing: nothing can be learnt")
    known = np.asarray(X[:, kept], dtype=np.float64)
    labels = tuple(names[column] for column in kept.tolist())
    families = [family_of(name) for name in labels]
    scalers = []
    scaled = known.copy()
    for family, make in SCALERS.items():
        places = np.flatnonzero(np.array(families) == family)
        if make is not None and len(places):
            scaler = make(len(X)).fit(known[:, places])
            scaled[:, places] = scaler.transform(known[:, places])
            scalers.append((places, scaler))
    low, high = np.nanquantile(scaled, CLIPPED_QUANTILES, axis=0)
    width = high - low
    # The middle of an almost constant column has no width: the column is not clipped.
    varies = width > 0
    flags = _group_columns(~present[:, kept])
    marks = tuple(f"missing_{labels[places[0]]}" for places in flags)
    return Space(
        names=(*labels, *marks),
        kept=kept,
        scalers=tuple(scalers),
        low=np.where(varies, low - width, np.nanmin(scaled, axis=0)),
        high=np.where(varies, high + width, np.nanmax(scaled, axis=0)),
        fill=np.nanmedian(scaled, axis=0),
        flags=flags,
    )


def _group_columns(missing: Bools) -> tuple[Ints, ...]:
    """Return groups of columns with missing values in the same rows, without complete columns."""
    groups: dict[bytes, list[int]] = {}
    for column in np.flatnonzero(missing.any(axis=0)).tolist():
        groups.setdefault(np.packbits(missing[:, column]).tobytes(), []).append(column)
    return tuple(np.array(columns) for columns in groups.values())


class Reducer(Protocol):
    """A fitted transformation from the full space to a small one."""

    def transform(self, X: Floats) -> Floats:
        """Return (n, components)."""


@dataclass(frozen=True)
class Identity:
    """Do not change the dimensions."""

    def transform(self, X: Floats) -> Floats:
        """Return the rows themselves."""
        return X


def _make_lle(components: int, seed: int, rows: int) -> Any:
    return LocallyLinearEmbedding(
        n_neighbors=min(max(MANIFOLD_NEIGHBOURS, components + 1), rows - 1),
        n_components=components,
        eigen_solver="dense",
        random_state=seed,
    )


# Name -> function of components, seed and number of rows.
REDUCERS: Final[dict[str, Callable[[int, int, int], Any] | None]] = {
    NONE: None,
    "pca": lambda components, seed, rows: PCA(components, svd_solver="full"),
    "ica": lambda components, seed, rows: FastICA(
        components, whiten="unit-variance", max_iter=500, random_state=seed
    ),
    "svd": lambda components, seed, rows: TruncatedSVD(components, random_state=seed),
    # The sparse solver draws from the global generator; the dense one draws nothing.
    "isomap": lambda components, seed, rows: Isomap(
        n_neighbors=min(MANIFOLD_NEIGHBOURS, rows - 1),
        n_components=components,
        eigen_solver="dense",
    ),
    "lle": _make_lle,
    "nca": lambda components, seed, rows: NeighborhoodComponentsAnalysis(
        components, init="pca", max_iter=50, random_state=seed
    ),
}


def fit_reducer(name: str, X: Floats, y: Ints, *, components: int, seed: int) -> Reducer:
    """Fit a reducer on complete training rows; only NCA uses the classes."""
    make = REDUCERS[one_of(name, REDUCERS, "reducer")]
    if make is None:
        return Identity()
    if not 1 <= components < min(X.shape):
        raise StsError(
            f"--components must lie between 1 and {min(X.shape) - 1} for {X.shape[0]} rows of "
            f"{X.shape[1]} features, not {components}"
        )
    with warnings.catch_warnings():
        # scikit-learn warns if it connects parts of a manifold or reaches a limit of iterations.
        warnings.simplefilter("ignore")
        fitted: Reducer = make(components, seed, len(X)).fit(X, y)
    return fitted


def reduce_rows(reducer: Reducer, X: Floats) -> Floats:
    """Return rows in the small space as float64."""
    return np.asarray(reducer.transform(X), dtype=np.float64)


@dataclass(frozen=True, kw_only=True)
class RowPreparation:
    """How rows are prepared."""

    reducer: str = NONE
    components: int = 15
    space: str = "native"
    """The space of generators: `native`, before the reducer, or `reduced`, after it."""


@dataclass(frozen=True, eq=False)
class ViewedRows:
    """Rows as inputs of classifiers."""

    complete: Floats
    missing: Floats
    """With NaN for missing values; after a reducer, the complete rows."""

    def join(self, other: "ViewedRows") -> "ViewedRows":
        """Return these rows, then the other ones."""
        return ViewedRows(
            np.concatenate([self.complete, other.complete]),
            np.concatenate([self.missing, other.missing]),
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class RowView:
    """Training and scored rows of one division, and the preparation fitted on training rows."""

    space: Space
    reducer: Reducer
    preparation: RowPreparation
    native: Floats
    """Training rows, complete and scaled."""
    native_scored: Floats
    y: Ints
    train: ViewedRows
    scored: ViewedRows

    @property
    def generator_rows(self) -> Floats:
        """Return the training rows that a generator is fitted on."""
        return self.train.complete if self.preparation.space == "reduced" else self.native

    def take(self, rows: Floats) -> ViewedRows:
        """Return the rows of a generator as inputs of classifiers."""
        if self.preparation.space == "reduced":
            return ViewedRows(rows, rows)
        return _view_rows(self.space, self.reducer, rows)


def make_view(fit: Neurons, scored: Floats, preparation: RowPreparation, *, seed: int) -> RowView:
    """Fit the space and the reducer on training neurons alone; transform both sides."""
    space = fit_space(fit.X, fit.names)
    native, native_scored = space.transform(fit.X), space.transform(scored)
    reducer = fit_reducer(
        preparation.reducer, native, fit.y, components=preparation.components, seed=seed
    )
    return RowView(
        space=space,
        reducer=reducer,
        preparation=preparation,
        native=native,
        native_scored=native_scored,
        y=fit.y,
        train=_view_rows(space, reducer, native),
        scored=_view_rows(space, reducer, native_scored),
    )


def _view_rows(space: Space, reducer: Reducer, native: Floats) -> ViewedRows:
    if isinstance(reducer, Identity):
        return ViewedRows(native, space.restore_missing(native))
    small = reduce_rows(reducer, native)
    return ViewedRows(small, small)


def view_borrowed(view: RowView, borrowed: Neurons) -> ViewedRows:
    """Return real neurons that lack whole columns as rows of the view.

    Classifiers that accept missing values get NaN. For the others, ridge regression predicts the
    missing columns from the existing columns; it is fitted on the training rows.
    """
    space = view.space
    native = space.transform(borrowed.X)
    scaled = space.scale(borrowed.X)
    count = len(space.kept)
    absent = np.flatnonzero(np.isnan(scaled).all(axis=0))
    # Flags of columns that are always missing would only identify the borrowed neurons.
    silent = [count + at for at, places in enumerate(space.flags) if np.isin(places, absent).all()]
    native[:, silent] = 0.0
    if len(absent):
        present = np.setdiff1d(np.arange(native.shape[1]), [*absent, *silent])
        regression = Ridge(PENALTY).fit(view.native[:, present], view.native[:, absent])
        native[:, absent] = regression.predict(native[:, present]).reshape(len(native), -1)
    if isinstance(view.reducer, Identity):
        return ViewedRows(native, scaled)
    small = reduce_rows(view.reducer, native)
    return ViewedRows(small, small)
