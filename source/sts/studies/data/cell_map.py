"""Where cells lie among each other: a map of two dimensions, nearest cells, class quartiles."""

from dataclasses import dataclass
from itertools import pairwise
from typing import Final, Literal

import numpy as np
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE
from sklearn.neighbors import NearestNeighbors

from sts.base.types import CLASSES, Bools, Floats, Ints, Texts
from sts.signals.resample import BEFORE_S, RATE_HZ

MapKind = Literal["pca", "tsne"]
# A value further from the mean is drawn in: one cell with a wrong unit must not fill the map.
FARTHEST_SD: Final = 5.0
NEIGHBOURS: Final = 6
# Cells that a t-SNE counts as near, at most a third of all.
PERPLEXITY: Final = 30.0
# The bands of spectra, for cells without features: 20 to 200 Hz.
_BANDS_HZ: Final = np.geomspace(20.0, 200.0, 16)


@dataclass(frozen=True, kw_only=True, eq=False)
class CellMap:
    """The places of n cells."""

    points: Floats
    """(n, 2), NaN for a cell without any value."""
    neighbours: list[list[int]]
    words: str
    """How the places were found."""


def map_cells(X: Floats, what: str, *, kind: MapKind = "pca", seed: int = 0) -> CellMap:
    """Return the places of cells by their standardised values (n, columns).

    Parameters
    ----------
    what
        What the columns are, such as "features".
    """
    points = np.full((len(X), 2), np.nan)
    neighbours: list[list[int]] = [[] for _ in X]
    rows = np.flatnonzero(np.isfinite(X).any(axis=1)) if X.size else np.empty(0, dtype=np.int64)
    values = standardise(X[rows]) if len(rows) > 2 else np.empty((0, 0))
    if not values.size:
        words = f"No map: fewer than three cells have {what} that differ."
        return CellMap(points=points, neighbours=neighbours, words=words)
    words = f"{values.shape[1]} standardised {what}"
    if kind == "tsne":
        points[rows] = _place_by_tsne(values, seed)
        words = f"t-SNE of {words}, seed {seed}: near cells are alike, distances mean nothing"
    else:
        pca = PCA(n_components=min(2, values.shape[1]), svd_solver="full").fit(values)
        points[rows] = 0.0
        points[rows, : pca.n_components_] = pca.transform(values)
        shares = " and ".join(f"{100 * share:.0f} %" for share in pca.explained_variance_ratio_)
        words = f"Principal components of {words}: {shares} of their variance"
    for row, near in zip(rows.tolist(), find_nearest(values), strict=True):
        neighbours[row] = rows[near].tolist()
    return CellMap(points=points, neighbours=neighbours, words=f"{words}.")


def standardise(X: Floats) -> Floats:
    """Return columns of mean 0 and deviation 1; a missing value is the median of its column.

    Columns without differences are left out.
    """
    known = X[:, np.isfinite(X).any(axis=0)]
    medians = np.nanmedian(known, axis=0)
    whole = np.where(np.isfinite(known), known, medians)
    deviations = whole.std(axis=0)
    differs = deviations > 1e-12 * np.maximum(1.0, np.abs(medians))
    scaled = (whole - whole.mean(axis=0))[:, differs] / deviations[differs]
    return np.asarray(scaled.clip(-FARTHEST_SD, FARTHEST_SD))


def find_nearest(values: Floats, count: int = NEIGHBOURS) -> Ints:
    """Return the nearest other rows of each row, (n, count or fewer), the nearest first."""
    count = min(count, len(values) - 1)
    finder = NearestNeighbors(n_neighbors=count).fit(values)
    # Without an argument a row is not a neighbour of itself.
    return np.asarray(finder.kneighbors(return_distance=False))


def find_quartiles(X: Floats, label: Texts) -> dict[str, list[list[float]]]:
    """Return lower quartile, median and upper quartile of every column, for each class."""
    found = {}
    for name in CLASSES:
        own = X[label == name]
        if len(own) and X.shape[1]:
            found[name] = [_three_quartiles(column) for column in own.T]
    return found


def measure_bands(traces_mv: Floats) -> Floats:
    """Return the strength of both sweeps in bands of frequencies, (n, 2 * bands), in log mV.

    It serves the map where no table of features is there.
    """
    resting = traces_mv[..., : round(BEFORE_S * RATE_HZ)].mean(axis=-1, keepdims=True)
    spectrum = np.abs(np.fft.rfft(traces_mv - resting, axis=-1))
    freqs_hz = np.fft.rfftfreq(traces_mv.shape[-1], 1 / RATE_HZ)
    bands = [_between(freqs_hz, low, high) for low, high in pairwise(_BANDS_HZ)]
    strengths = [spectrum[..., band].mean(axis=-1) for band in bands]
    return np.asarray(np.log(np.stack(strengths, axis=-1) + 1.0).reshape(len(traces_mv), -1))


def _between(values: Floats, low: float, high: float) -> Bools:
    return np.asarray((values >= low) & (values < high))


def _three_quartiles(values: Floats) -> list[float]:
    known = values[np.isfinite(values)]
    return np.percentile(known, (25, 50, 75)).tolist() if len(known) else [np.nan] * 3


def _place_by_tsne(values: Floats, seed: int) -> Floats:
    perplexity = min(PERPLEXITY, (len(values) - 1) / 3)
    start = "pca" if values.shape[1] > 1 else "random"
    tsne = TSNE(perplexity=perplexity, init=start, random_state=seed)
    return np.asarray(tsne.fit_transform(values), dtype=np.float64)
